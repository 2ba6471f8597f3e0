"""Bundles that must be refused, each for one reason: the semantic half of the attack list.

Bytes that change on the way are the other half (tests/integration/test_tamper.py).  Here
somebody with a key, or with somebody else's signatures, makes a bundle that is consistent
in every other way.  ``reference`` is what ``appliance verify`` calls the reason.
"""

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.model.jsonform import canonical_json
from appliance.trust.dsse import STATEMENT_PAYLOAD_TYPE, encode_signature_file, pae
from tests.support.bundles import (
    FILES,
    FIRST,
    NOW,
    RETIRED,
    SECOND,
    STRANGER,
    Change,
    Recipe,
    Written,
    edit_json,
    encoded,
    key,
    keyid,
    root_chain,
    root_document,
    sign_root,
)

EMPTY = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
PAST = NOW - timedelta(seconds=5)


def _leave(written: Written) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """One bad bundle.  ``after`` changes it on disk once it is signed.

    ``script`` is False for what verify.sh says that it leaves to ``appliance verify``.
    """

    name: str
    reference: str
    recipe: Recipe
    after: Callable[[Written], None] = _leave
    script: bool = True

    def write(self, folder: Path) -> Written:
        """Make it below ``folder``."""
        written = self.recipe.write(folder)
        self.after(written)
        return written


# --- tools of the trade -----------------------------------------------------------------


def put(path: str, value: Any) -> Change:
    """Set the value at ``a/b/0/c``; a DELETE value takes it away."""

    def change(document: dict[str, Any]) -> None:
        place: Any = document
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in parents:
            place = place[part]
        if value is DELETE:
            del place[last]
        else:
            place[last] = value

    return change


DELETE = object()


def listing(path: bytes) -> Callable[[bytes], bytes]:
    """SHA256SUMS with one more line, in its place."""

    def change(sums: bytes) -> bytes:
        lines = [*sums.splitlines(keepends=True), b"%b  %b\n" % (EMPTY, path)]
        return b"".join(sorted(lines, key=lambda line: line[66:-1]))

    return change


def spare_bits(text: str) -> str:
    """Other base64 of the same bytes: bits that decoders ignore are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    last = alphabet[alphabet.index(body[-1]) | 1]
    other = body[:-1] + last + "=" * (len(text) - len(body))
    assert other != text
    assert base64.b64decode(other) == base64.b64decode(text)
    return other


def loose_signature(content: bytes) -> bytes:
    """A signature file whose signature is in non-canonical base64."""
    value = json.loads(content)
    signer = next(number for number in (FIRST, SECOND) if keyid(number) in content.decode())
    message = pae(STATEMENT_PAYLOAD_TYPE, base64.b64decode(value["dsseEnvelope"]["payload"]))
    while len(signature := key(signer).sign(message)) % 3 == 0:
        pass
    value["dsseEnvelope"]["signatures"][0]["sig"] = spare_bits(encoded(signature))
    return canonical_json(value)


def signature_with(change: Change) -> Callable[[bytes], bytes]:
    """Each signature file, changed."""
    return partial(edit_json, change=change)


def new_signature(payload_type: str | None) -> Callable[[bytes], bytes]:
    """Each statement signed as another type, or (None) raw, without DSSE's encoding."""

    def change(content: bytes) -> bytes:
        value = json.loads(content)
        envelope = value["dsseEnvelope"]
        signer = next(number for number in (FIRST, SECOND) if keyid(number) in content.decode())
        payload = base64.b64decode(envelope["payload"])
        message = payload if payload_type is None else pae(payload_type, payload)
        envelope["signatures"][0]["sig"] = encoded(key(signer).sign(message))
        envelope["payloadType"] = payload_type or STATEMENT_PAYLOAD_TYPE
        return canonical_json(value)

    return change


def twice(data: bytes) -> bytes:
    """A JSON object whose first key is there twice."""
    first = data[1:].split(b",", 1)[0]
    return b"{" + first + b"," + data[1:]


def spaced(data: bytes) -> bytes:
    """JSON that means the same and has other bytes."""
    return data[:1] + b" " + data[1:]


def newest(change: Change) -> tuple[bytes, bytes]:
    """The chain, with a change to its second document before that is signed."""
    return (
        root_chain()[0],
        root_document(2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED), revoked=(RETIRED,), change=change),
    )


def envelope(change: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    """The chain, with a change to its second document after that was signed."""
    return root_chain()[0], change(root_chain()[1])


def payload(change: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
    """The chain, with other bytes in its second document, rightly signed."""
    data = base64.b64decode(json.loads(root_chain()[1])["payload"])
    return root_chain()[0], sign_root(change(data), (FIRST, SECOND, RETIRED))


def other_key(change: Callable[[dict[str, Any]], None]) -> tuple[bytes, bytes]:
    """The chain; the second document holds one more key, described by ``change``."""

    def add(document: dict[str, Any]) -> None:
        entry = {"label": "extra", "use": "production", "spki": ""}
        change(entry)
        document["keys"][entry.pop("id")] = entry

    return newest(add)


def _key_entry(spki: bytes, wanted: str | None = None) -> Callable[[dict[str, Any]], None]:
    import hashlib

    return lambda entry: entry.update(spki=encoded(spki), id=wanted or hashlib.sha256(spki).hexdigest())


def _der(curve: ec.EllipticCurve) -> bytes:
    public = ec.derive_private_key(5, curve).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _add(path: str, data: bytes) -> Callable[[Written], None]:
    def after(written: Written) -> None:
        target = written.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    return after


def _move(old: str, new: str) -> Callable[[Written], None]:
    return lambda written: (written.path / old).rename(written.path / new) and None


def _add_signature(number: int) -> Callable[[Written], None]:
    def after(written: Written) -> None:
        statement = (written.path / "statement.json").read_bytes()
        signature = key(number).sign(pae(STATEMENT_PAYLOAD_TYPE, statement))
        content = encode_signature_file(keyid(number), statement, signature)
        (written.path / f"sigs/{keyid(number)}.sigstore.json").write_bytes(content)

    return after


def _one_key_under_two_names(*, hint: bool) -> Callable[[Written], None]:
    def after(written: Written) -> None:
        content = (written.path / f"sigs/{keyid(FIRST)}.sigstore.json").read_bytes()
        if hint:
            content = content.replace(keyid(FIRST).encode(), keyid(SECOND).encode())
        (written.path / f"sigs/{keyid(SECOND)}.sigstore.json").write_bytes(content)

    return after


def _replay(*, payload_too: bool) -> Callable[[Written], None]:
    """Put signatures of another bundle of the same signers in place."""

    def after(written: Written) -> None:
        other = put("predicate/version", "2.0.0")
        source = Recipe(statement=other).write(written.path.parent / "other")
        statement = (written.path / "statement.json").read_bytes()
        for path in (source.path / "sigs").iterdir():
            content = path.read_bytes()
            if payload_too:
                content = edit_json(content, put("dsseEnvelope/payload", encoded(statement)))
            (written.path / "sigs" / path.name).write_bytes(content)

    return after


GOOD = Recipe()
_ATTACKER = (root_document(1, (STRANGER,), threshold=1),)
_P256 = key(77).public.der()

ROOTS = (
    Case("another root is trusted", "root-unknown", GOOD.but(trusted=_ATTACKER[0])),
    Case(
        "attacker's own root and signatures",
        "root-unknown",
        GOOD.but(roots=_ATTACKER, signers=(STRANGER,), trusted=root_chain()[0]),
    ),
    Case(
        "attacker's root goes on the chain",
        "root-threshold",
        GOOD.but(roots=(*root_chain(), root_document(3, (STRANGER,), threshold=1)), signers=(STRANGER,)),
    ),
    Case(
        "one old key brings in the attacker's",
        "root-threshold",
        GOOD.but(
            roots=(*root_chain(), root_document(3, (STRANGER,), threshold=1, signed_by=(FIRST, STRANGER))),
            signers=(STRANGER,),
        ),
    ),
    Case(
        "new keys have not signed",
        "root-threshold",
        GOOD.but(roots=(root_chain()[0], root_document(2, (SECOND, STRANGER), signed_by=(FIRST, RETIRED)))),
    ),
    Case(
        "a version is skipped",
        "root-chain",
        GOOD.but(roots=(root_chain()[0], root_document(3, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED)))),
    ),
    Case("a document is missing in between", "root-chain", GOOD, _move("trust/2.root.json", "trust/3.root.json")),
    Case("reordered", "root-unknown", GOOD.but(roots=root_chain()[::-1], trusted=root_chain()[0])),
    Case("chain older than the trusted root", "root-stale", GOOD.but(roots=root_chain()[:1], trusted=root_chain()[1])),
    Case("no chain", "root-chain", GOOD.but(roots=(), trusted=root_chain()[0])),
    Case("the trusted root is empty", "root-malformed", GOOD, lambda written: written.trusted.write_bytes(b"") and None),
    Case("the trusted root is the statement", "root-malformed", GOOD, lambda written: _trust(written, "statement.json")),
    Case(
        "expired root",
        "root-expired",
        GOOD.but(roots=(root_chain()[0], *newest(lambda document: put("expires", _text(PAST))(document))[1:])),
    ),
    Case("stray signature on a root", "root-signature", GOOD.but(roots=envelope(lambda data: _cosign(data, STRANGER)))),
    Case(
        "one signature more, and it does not hold",
        "root-signature",
        GOOD.but(roots=envelope(lambda data: _spoil_signature(data, RETIRED)), trusted=root_chain()[1]),
        lambda written: _trust(written, "trust/2.root.json"),
    ),
    Case("signature of a root spoilt", "root-threshold", GOOD.but(roots=envelope(lambda d: _spoil_signature(d, SECOND)))),
    Case("envelope has white space", "root-malformed", GOOD.but(roots=envelope(spaced))),
    Case("envelope has a key twice", "root-malformed", GOOD.but(roots=envelope(twice))),
    Case("envelope twice in one file", "root-malformed", GOOD.but(roots=envelope(lambda data: data + data))),
    Case("envelope with a further key", "root-malformed", GOOD.but(roots=envelope(partial(edit_json, change=put("x", 1))))),
    Case("envelope is a list", "root-malformed", GOOD.but(roots=envelope(lambda data: b"[" + data + b"]"))),
    Case(
        "envelope of a statement",
        "root-malformed",
        GOOD.but(roots=envelope(partial(edit_json, change=put("payloadType", STATEMENT_PAYLOAD_TYPE)))),
    ),
    Case("signatures unsorted", "root-malformed", GOOD.but(roots=envelope(partial(edit_json, change=_reverse := (
        lambda value: value["signatures"].reverse()
    ))))),
    Case(
        "one key signs a root twice",
        "root-malformed",
        GOOD.but(
            roots=envelope(
                partial(edit_json, change=lambda value: value["signatures"].insert(0, value["signatures"][0]))
            )
        ),
    ),
    Case("root payload has a key twice", "root-malformed", GOOD.but(roots=payload(twice))),
    Case("root payload has white space", "root-malformed", GOOD.but(roots=payload(spaced))),
    Case("root payload twice", "root-malformed", GOOD.but(roots=payload(lambda data: data + data))),
    Case("root payload empty", "root-malformed", GOOD.but(roots=payload(lambda data: b""))),
    Case("version is text", "root-malformed", GOOD.but(roots=newest(put("version", "2")))),
    Case("unknown schema", "root-malformed", GOOD.but(roots=newest(put("schema", "appliance.root/v2")))),
    Case("unknown key in a root", "root-malformed", GOOD.but(roots=newest(put("comment", "x")))),
    Case("root without revoked", "root-malformed", GOOD.but(roots=newest(put("revoked", DELETE)))),
    Case("threshold 0", "root-malformed", GOOD.but(roots=newest(put("roles/release/threshold", 0)), signers=())),
    Case("threshold true", "root-malformed", GOOD.but(roots=newest(put("roles/release/threshold", True)))),
    Case("unreachable threshold", "root-malformed", GOOD.but(roots=newest(put("roles/release/threshold", 3)))),
    Case(
        "role names a key twice",
        "root-malformed",
        GOOD.but(roots=newest(put("roles/release/keyids", [keyid(FIRST), keyid(FIRST)])), signers=(FIRST,)),
    ),
    Case("role of an unknown key", "root-malformed", GOOD.but(roots=newest(put("roles/release/keyids/0", "0" * 64)))),
    Case("role of a revoked key", "root-malformed", GOOD.but(roots=newest(put("revoked", [keyid(SECOND)])))),
    Case("no expiry", "root-malformed", GOOD.but(roots=newest(put("expires", "never")))),
    Case("a third role", "root-malformed", GOOD.but(roots=newest(put("roles/admin", {"keyids": [], "threshold": 1})))),
    Case("unknown use", "root-malformed", GOOD.but(roots=newest(put(f"keys/{keyid(FIRST)}/use", "test")))),
    Case("label over two lines", "root-malformed", GOOD.but(
        roots=payload(lambda data: data.replace(b'"label":"signer 11"', b'"label":"signer\\n11"'))
    )),
    Case("key under another id", "root-malformed", GOOD.but(roots=other_key(_key_entry(_P256, "0" * 64)))),
    Case("key of another curve", "root-malformed", GOOD.but(roots=other_key(_key_entry(_der(ec.SECP384R1()))))),
    Case("point that is not on the curve", "root-malformed", GOOD.but(
        roots=other_key(_key_entry(_P256[:-1] + bytes([_P256[-1] ^ 1])))
    )),
    Case("key with bytes behind it", "root-malformed", GOOD.but(roots=other_key(_key_entry(_P256 + b"\0")))),
)
