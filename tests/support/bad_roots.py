"""Bundles whose root chain must not be believed."""

from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.trust.dsse import STATEMENT_PAYLOAD_TYPE
from appliance.trust.statement import format_time
from tests.support.bundles import FIRST, NOW, RETIRED, SECOND, STRANGER, Recipe, key, keyid, root_chain, root_document
from tests.support.forging import (
    Case,
    delete,
    doubled,
    edited,
    edited_root,
    next_root,
    next_root_bytes,
    next_root_with_key,
    put,
    rename,
    signed_by,
    spaced,
    spoilt_signature,
    trust,
    twice,
    write,
)

GOOD = Recipe()
_ATTACKER = root_document(1, (STRANGER,), threshold=1)
_FORGED = GOOD.but(signers=(STRANGER,))
_BOTH = sorted((keyid(FIRST), keyid(SECOND)))
_PAST = format_time(NOW - timedelta(seconds=5))
_P256 = key(77).public.der()
_P384 = ec.derive_private_key(5, ec.SECP384R1()).public_key()
_OFF_CURVE = _P256[:-1] + bytes([_P256[-1] ^ 1])

CHAINS = (
    Case("another root is trusted", "root-unknown", GOOD.but(trusted=_ATTACKER)),
    Case("attacker's own root", "root-unknown", _FORGED.but(roots=(_ATTACKER,), trusted=root_chain()[0])),
    Case(
        "attacker's root on the chain",
        "root-threshold",
        _FORGED.but(roots=(*root_chain(), root_document(3, (STRANGER,), threshold=1))),
    ),
    Case(
        "one of two signers brings in the attacker",
        "root-threshold",
        _FORGED.but(roots=(*root_chain(), root_document(3, (STRANGER,), threshold=1, signed_by=(FIRST, STRANGER)))),
    ),
    Case(
        "retired key brings in the attacker",
        "root-signature",
        _FORGED.but(
            roots=(*root_chain(), root_document(3, (STRANGER,), threshold=1, signed_by=(FIRST, RETIRED, STRANGER)))
        ),
    ),
    Case(
        "new keys have not signed",
        "root-threshold",
        GOOD.but(
            roots=(root_chain()[0], root_document(2, (SECOND, STRANGER), signed_by=(FIRST, RETIRED))),
            signers=(SECOND, STRANGER),
        ),
    ),
    Case(
        "version skipped",
        "root-skipped",
        GOOD.but(roots=(root_chain()[0], root_document(3, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED)))),
    ),
    Case(
        "older document again",
        "root-looped",
        GOOD.but(roots=(*root_chain(), root_chain()[0])),
    ),
    Case(
        "newest document twice",
        "root-looped",
        GOOD.but(roots=(*root_chain(), root_chain()[1])),
    ),
    Case(
        "signed by a key that signs bundles only",
        "root-signature",
        GOOD.but(
            roots=(
                root_document(1, (FIRST, SECOND, RETIRED), change=put("roles/root/keyids", _BOTH)),
                root_document(2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED)),
            )
        ),
    ),
    Case(
        "revoked key is forgotten",
        "root-unrevoked",
        GOOD.but(roots=(*root_chain(), root_document(3, (FIRST, SECOND)))),
    ),
    Case(
        "revoked key comes back",
        "root-unrevoked",
        GOOD.but(roots=(*root_chain(), root_document(3, (FIRST, SECOND, RETIRED), signed_by=(FIRST, SECOND)))),
    ),
    Case("document missing in between", "root-skipped", GOOD, rename("trust/2.root.json", "trust/3.root.json")),
    Case("first document missing", "root-chain", GOOD, rename("trust/1.root.json", "trust/0.root.json")),
    Case("leading zero", "root-chain", GOOD, rename("trust/2.root.json", "trust/02.root.json")),
    Case("reordered", "root-unknown", GOOD.but(roots=root_chain()[::-1], trusted=root_chain()[0])),
    Case("older than the trusted root", "root-stale", GOOD.but(roots=root_chain()[:1], trusted=root_chain()[1])),
    Case("no chain", "root-chain", GOOD.but(roots=(), trusted=root_chain()[0])),
    Case("expired", "root-expired", GOOD.but(roots=next_root(put("expires", _PAST)))),
    Case("trusted root is another document", "root-malformed", GOOD, trust("statement.json")),
    Case("trusted root has a line break more", "root-malformed", GOOD.but(trusted=root_chain()[0] + b"\n")),
    Case("stray file", "root-chain", GOOD, write("trust/readme.txt", b"")),
)

ENVELOPES = (
    Case(
        "signature of a key that was dropped long ago",
        "root-signature",
        GOOD.but(roots=(*root_chain(), root_document(3, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED)))),
    ),
    Case("signature of a stranger", "root-signature", GOOD.but(roots=edited_root(signed_by(STRANGER)))),
    Case("needed signature does not hold", "root-threshold", GOOD.but(roots=edited_root(spoilt_signature(SECOND)))),
    Case(
        "signature that is not needed does not hold",
        "root-signature",
        GOOD.but(
            roots=(
                root_document(1, (FIRST, SECOND, RETIRED)),
                spoilt_signature(RETIRED)(root_document(2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED))),
            )
        ),
    ),
    Case("white space", "root-malformed", GOOD.but(roots=edited_root(spaced))),
    Case("line break at the end", "root-malformed", GOOD.but(roots=edited_root(lambda data: data + b"\n"))),
    Case("key twice", "root-malformed", GOOD.but(roots=edited_root(twice))),
    Case("two values", "root-malformed", GOOD.but(roots=edited_root(doubled))),
    Case("further key", "root-malformed", GOOD.but(roots=edited_root(edited(put("x", 1))))),
    Case("list", "root-malformed", GOOD.but(roots=edited_root(lambda data: b"[" + data + b"]"))),
    Case("empty file", "root-malformed", GOOD.but(roots=edited_root(lambda data: b""))),
    Case("not UTF-8", "root-malformed", GOOD.but(roots=edited_root(lambda data: b'{"\xff":1}'))),
    Case(
        "another payload type",
        "root-malformed",
        GOOD.but(roots=edited_root(edited(put("payloadType", STATEMENT_PAYLOAD_TYPE)))),
    ),
    Case("no signature", "root-threshold", GOOD.but(roots=edited_root(edited(put("signatures", []))))),
    Case(
        "signatures unsorted",
        "root-malformed",
        GOOD.but(roots=edited_root(edited(lambda value: value["signatures"].reverse()))),
    ),
    Case(
        "one key signs twice",
        "root-malformed",
        GOOD.but(
            roots=edited_root(edited(lambda value: value["signatures"].insert(0, value["signatures"][0]))),
        ),
    ),
    Case(
        "base64 over two lines",
        "root-malformed",
        GOOD.but(roots=edited_root(lambda data: data.replace(b'"payload":"', b'"payload":"\\n'))),
    ),
    Case("payload is a number", "root-malformed", GOOD.but(roots=edited_root(edited(put("payload", 1234))))),
)

DOCUMENTS = (
    Case("key twice", "root-malformed", GOOD.but(roots=next_root_bytes(twice))),
    Case("white space", "root-malformed", GOOD.but(roots=next_root_bytes(spaced))),
    Case("two values", "root-malformed", GOOD.but(roots=next_root_bytes(doubled))),
    Case("empty", "root-malformed", GOOD.but(roots=next_root_bytes(lambda data: b""))),
    Case("version is text", "root-malformed", GOOD.but(roots=next_root(put("version", "2")))),
    Case(
        "version has a fraction",
        "root-malformed",
        GOOD.but(roots=next_root_bytes(lambda data: data.replace(b'"version":2}', b'"version":2.0}'))),
    ),
    Case("unknown schema", "root-malformed", GOOD.but(roots=next_root(put("schema", "appliance.root/v2")))),
    Case("unknown key", "root-malformed", GOOD.but(roots=next_root(put("comment", "x")))),
    Case("nothing about revocation", "root-malformed", GOOD.but(roots=next_root(delete("revoked")))),
    Case("threshold 0", "root-malformed", GOOD.but(roots=next_root(put("roles/release/threshold", 0)), signers=())),
    Case("threshold true", "root-malformed", GOOD.but(roots=next_root(put("roles/release/threshold", True)))),
    Case("threshold out of reach", "root-malformed", GOOD.but(roots=next_root(put("roles/release/threshold", 3)))),
    Case(
        "role names a key twice",
        "root-malformed",
        GOOD.but(roots=next_root(put("roles/release/keyids", [keyid(FIRST)] * 2)), signers=(FIRST,)),
    ),
    Case("role of an unknown key", "root-malformed", GOOD.but(roots=next_root(put("roles/root/keyids/0", "0" * 64)))),
    Case("role of a revoked key", "root-malformed", GOOD.but(roots=next_root(put("revoked", [keyid(SECOND)])))),
    Case("a third role", "root-malformed", GOOD.but(roots=next_root(put("roles/admin", {})))),
    Case("no expiry", "root-malformed", GOOD.but(roots=next_root(put("expires", "never")))),
    Case("unknown use", "root-malformed", GOOD.but(roots=next_root(put(f"keys/{keyid(FIRST)}/use", "test")))),
    Case(
        "label over two lines",
        "root-malformed",
        GOOD.but(roots=next_root_bytes(lambda data: data.replace(b'"label":"signer 1', b'"label":"signer\\n1'))),
    ),
    Case(
        "label is not ASCII",
        "root-malformed",
        GOOD.but(roots=next_root_bytes(lambda data: data.replace(b'"label":"signer', b'"label":"\xc3\xa9'))),
    ),
    Case("key under another id", "root-malformed", GOOD.but(roots=next_root_with_key(_P256, "0" * 64))),
    Case(
        "key of another curve",
        "root-malformed",
        GOOD.but(
            roots=next_root_with_key(_P384.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        ),
    ),
    Case("point beside the curve", "root-malformed", GOOD.but(roots=next_root_with_key(_OFF_CURVE))),
    Case("key with a byte behind it", "root-malformed", GOOD.but(roots=next_root_with_key(_P256 + b"\0"))),
)
