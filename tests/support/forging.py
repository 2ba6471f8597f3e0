"""What a forger does to a bundle, as small functions that the tables of bad bundles combine.

There are three times to act: before anything is signed (a hostile signer), between
signing and writing (somebody who edits signed documents), and on the disk.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.model.jsonform import canonical_json
from appliance.trust.dsse import STATEMENT_PAYLOAD_TYPE, encode_signature_file, pae
from tests.support.bundles import (
    FIRST,
    RETIRED,
    SECOND,
    Change,
    Recipe,
    Written,
    encoded,
    key,
    keyid,
    root_chain,
    root_document,
    sign_root,
)

EditBytes = Callable[[bytes], bytes]
EditDisk = Callable[[Written], None]
_EMPTY = hashlib.sha256(b"").hexdigest().encode()
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def leave(written: Written) -> None:
    """Change nothing on the disk."""


@dataclass(frozen=True)
class Case:
    """One bad bundle: what is wrong, and what ``appliance verify`` calls it.

    ``after`` changes the disk once all is signed.  ``script`` is False for what verify.sh
    says that it leaves to ``appliance verify``.
    """

    name: str
    reference: str
    recipe: Recipe
    after: EditDisk = leave
    script: bool = True

    def write(self, folder: Path) -> Written:
        """Make it below ``folder``."""
        written = self.recipe.write(folder)
        self.after(written)
        return written


# Before signing: documents -----------------------------------------------------------------


def put(path: str, value: Any) -> Change:
    """Set what stands at ``a/b/0/c``."""

    def change(document: dict[str, Any]) -> None:
        parent, last = _find(document, path)
        parent[last] = value

    return change


def delete(path: str) -> Change:
    """Take away what stands at ``a/b/0/c``."""

    def change(document: dict[str, Any]) -> None:
        parent, last = _find(document, path)
        del parent[last]

    return change


def _find(document: Any, path: str) -> tuple[Any, str | int]:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        document = document[part]
    return document, last


def listing(path: bytes) -> EditBytes:
    """SHA256SUMS with one more line, in its place."""

    def change(sums: bytes) -> bytes:
        lines: list[bytes] = [*sums.splitlines(keepends=True), b"%b  %b\n" % (_EMPTY, path)]
        lines.sort(key=lambda line: line[66:-1])
        return b"".join(lines)

    return change


# Before signing: the second document of the root chain --------------------------------------


def next_root(change: Change) -> tuple[bytes, ...]:
    """The chain; its second document is changed and then signed by all who have to."""
    return (
        root_chain()[0],
        root_document(2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED), revoked=(RETIRED,), change=change),
    )


def next_root_bytes(change: EditBytes) -> tuple[bytes, ...]:
    """The same with a change to the bytes that are signed."""
    return root_chain()[0], sign_root(change(payload_of(root_chain()[1])), (FIRST, SECOND, RETIRED))


def next_root_with_key(spki: bytes, name: str | None = None) -> tuple[bytes, ...]:
    """The chain; the second document holds a further key, under its own id or ``name``."""
    entry = {"label": "extra", "use": "production", "spki": encoded(spki)}
    return next_root(lambda document: document["keys"].update({name or hashlib.sha256(spki).hexdigest(): entry}))


# After signing: envelopes -------------------------------------------------------------------


def edited_root(change: EditBytes) -> tuple[bytes, ...]:
    """The chain; the second envelope is edited after it was signed."""
    return root_chain()[0], change(root_chain()[1])


def edited(change: Change) -> EditBytes:
    """Canonical JSON, changed."""

    def edit(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return canonical_json(value)

    return edit


def twice(data: bytes) -> bytes:
    """A JSON object whose first key is there twice."""
    return b"{" + data[1:].split(b",", 1)[0] + b"," + data[1:]


def spaced(data: bytes) -> bytes:
    """JSON that means the same in other bytes."""
    return data[:1] + b" " + data[1:]


def doubled(data: bytes) -> bytes:
    """Two JSON values in one file, which some parsers take for one."""
    return data + data


def payload_of(data: bytes) -> bytes:
    """What an envelope holds."""
    value = json.loads(data)
    return base64.b64decode(value.get("dsseEnvelope", value)["payload"])


def signed_by(number: int) -> EditBytes:
    """A root document's envelope with one signature more."""

    def change(data: bytes) -> bytes:
        value = json.loads(data)
        payload = base64.b64decode(value["payload"])
        signature = {"keyid": keyid(number), "sig": encoded(key(number).sign(pae(value["payloadType"], payload)))}
        value["signatures"] = sorted([*value["signatures"], signature], key=lambda entry: str(entry["keyid"]))
        return canonical_json(value)

    return change


def spoilt_signature(number: int) -> EditBytes:
    """A root document's envelope in which one signature is another document's."""

    def change(data: bytes) -> bytes:
        value = json.loads(data)
        entry = next(entry for entry in value["signatures"] if entry["keyid"] == keyid(number))
        entry["sig"] = encoded(key(number).sign(b"another document"))
        return canonical_json(value)

    return change


def signed_as(payload_type: str | None, named: str = STATEMENT_PAYLOAD_TYPE) -> EditBytes:
    """A signature file signed as ``payload_type`` (None: without DSSE's encoding)."""

    def change(content: bytes) -> bytes:
        payload = payload_of(content)
        message = payload if payload_type is None else pae(payload_type, payload)
        value = json.loads(content)
        value["dsseEnvelope"]["payloadType"] = named
        value["dsseEnvelope"]["signatures"][0]["sig"] = encoded(key(_signer(content)).sign(message))
        return canonical_json(value)

    return change


def loose_signature(content: bytes) -> bytes:
    """A signature file that holds other base64 of a right signature: ignored bits are set."""
    message = pae(STATEMENT_PAYLOAD_TYPE, payload_of(content))
    while len(signature := key(_signer(content)).sign(message)) % 3 == 0:
        pass  # no bits to spare in this one
    body = encoded(signature).rstrip("=")
    loose = body[:-1] + _BASE64[_BASE64.index(body[-1]) | 1] + "=" * (-len(body) % 4)
    assert loose != encoded(signature)
    assert base64.b64decode(loose) == signature
    return edited(put("dsseEnvelope/signatures/0/sig", loose))(content)


def longer_signature(content: bytes) -> bytes:
    """A signature file with a byte behind the end of a signature of the greatest length.

    Programs that read as many bytes as a signature may have do not see it.
    """
    message = pae(STATEMENT_PAYLOAD_TYPE, payload_of(content))
    while len(signature := key(_signer(content)).sign(message)) != 72:
        pass
    return edited(put("dsseEnvelope/signatures/0/sig", encoded(signature + b"\0")))(content)


def _signer(content: bytes) -> int:
    return next(number for number in (FIRST, SECOND) if keyid(number).encode() in content)


# On the disk --------------------------------------------------------------------------------


def trust(path: str) -> EditDisk:
    """Hand the receiver a file of the bundle as the root document to trust."""

    def after(written: Written) -> None:
        written.trusted.write_bytes((written.path / path).read_bytes())

    return after


def write(path: str, data: bytes) -> EditDisk:
    """Add or replace a file."""

    def after(written: Written) -> None:
        target = written.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    return after


def rename(old: str, new: str) -> EditDisk:
    """Give a file another name."""

    def after(written: Written) -> None:
        (written.path / old).rename(written.path / new)

    return after


def signature_of(number: int) -> EditDisk:
    """Add the signature of any key."""

    def after(written: Written) -> None:
        statement = (written.path / "statement.json").read_bytes()
        signature = key(number).sign(pae(STATEMENT_PAYLOAD_TYPE, statement))
        path = written.path / f"sigs/{keyid(number)}.sigstore.json"
        path.write_bytes(encode_signature_file(keyid(number), statement, signature))

    return after


def signature_replaced(number: int) -> EditDisk:
    """Put a signature of another text by the same key in place of the right one."""

    def after(written: Written) -> None:
        path = written.path / f"sigs/{keyid(number)}.sigstore.json"
        other = encoded(key(number).sign(b"another text"))
        path.write_bytes(edited(put("dsseEnvelope/signatures/0/sig", other))(path.read_bytes()))

    return after


def first_as_second(*, named: bool) -> EditDisk:
    """Count one key twice: its signature file lies under the other signer's name too."""

    def after(written: Written) -> None:
        content = (written.path / f"sigs/{keyid(FIRST)}.sigstore.json").read_bytes()
        if named:
            content = content.replace(keyid(FIRST).encode(), keyid(SECOND).encode())
        (written.path / f"sigs/{keyid(SECOND)}.sigstore.json").write_bytes(content)

    return after


def replayed(*, payload: bool) -> EditDisk:
    """Put the signatures of another version of the bundle in place.

    With ``payload`` they are made to hold this bundle's statement.
    """

    def after(written: Written) -> None:
        other = Recipe(statement=put("predicate/version", "2.0.0")).write(written.path.parent / "other").path
        statement = (written.path / "statement.json").read_bytes()
        change = edited(put("dsseEnvelope/payload", encoded(statement))) if payload else bytes
        for path in (other / "sigs").iterdir():
            (written.path / "sigs" / path.name).write_bytes(change(path.read_bytes()))

    return after
