"""Bundles whose signatures or statement must not be believed."""

from datetime import timedelta

from tests.support.bundles import (
    FIRST,
    FIRST_PQ,
    NOW,
    PLAIN,
    RETIRED,
    SECOND,
    STRANGER,
    STRANGER_PQ,
    Recipe,
    encoded,
    keyid,
    root_document,
)
from tests.support.forging import (
    Case,
    EditBytes,
    delete,
    doubled,
    edited,
    first_as_second,
    longer_signature,
    loose_signature,
    put,
    rename,
    replayed,
    signature_of,
    signature_replaced,
    signed_as,
    spaced,
    twice,
    write,
)

GOOD = Recipe()
_BOTH = put("roles/release/threshold", 2)
_SIGNATURE = "dsseEnvelope/signatures/0"


def _signatures(change: EditBytes, reference: str = "signature-malformed", *, name: str) -> Case:
    return Case(name, reference, PLAIN.but(signature_bytes=change))


SIGNATURES = (
    Case("none", "signatures-missing", GOOD.but(signers=())),
    Case("threshold not met", "signatures-missing", GOOD.but(signers=(SECOND,))),
    Case("stranger instead of a signer", "signature-unknown-key", GOOD.but(signers=(FIRST, STRANGER))),
    Case("stranger beside the signers", "signature-unknown-key", GOOD, signature_of(STRANGER)),
    Case("revoked key instead of a signer", "signature-revoked-key", GOOD.but(signers=(FIRST, RETIRED))),
    Case("revoked key beside the signers", "signature-revoked-key", GOOD, signature_of(RETIRED)),
    Case(
        "co-signature instead of a signature",
        "signatures-missing",
        GOOD.but(
            roots=(root_document(1, (FIRST, SECOND, FIRST_PQ), threshold=1, change=_BOTH),), signers=(FIRST, FIRST_PQ)
        ),
    ),
    Case(
        "co-signature of a stranger",
        "signature-unknown-key",
        PLAIN.but(roots=(root_document(1, (FIRST, FIRST_PQ), threshold=1),), signers=(FIRST, STRANGER_PQ)),
    ),
    Case(
        "co-signature that does not hold",
        "signature-invalid",
        PLAIN.but(roots=(root_document(1, (FIRST, FIRST_PQ), threshold=1),), signers=(FIRST, FIRST_PQ)),
        signature_replaced(FIRST_PQ),
    ),
    Case("another bundle's", "signature-other-statement", GOOD, replayed(payload=False)),
    Case("another bundle's with this statement", "signature-invalid", GOOD, replayed(payload=True)),
    Case("one key under two names", "signature-malformed", GOOD.but(signers=(FIRST,)), first_as_second(named=False)),
    Case("one key with two hints", "signature-invalid", GOOD.but(signers=(FIRST,)), first_as_second(named=True)),
    _signatures(
        edited(lambda value: value["dsseEnvelope"]["signatures"].append(value["dsseEnvelope"]["signatures"][0])),
        name="two in one file",
    ),
    _signatures(edited(put("dsseEnvelope/signatures", [])), name="none in a file"),
    _signatures(edited(put(f"{_SIGNATURE}/keyid", keyid(FIRST))), name="unsigned key id beside it"),
    _signatures(edited(put(f"{_SIGNATURE}/sig", None)), name="null"),
    _signatures(edited(put(f"{_SIGNATURE}/sig", "")), "signature-invalid", name="empty"),
    _signatures(longer_signature, "signature-invalid", name="a byte behind it"),
    _signatures(loose_signature, name="loose base64"),
    _signatures(edited(put(f"{_SIGNATURE}/sig", "!!!!")), name="no base64"),
    _signatures(edited(put("mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.2")), name="older format"),
    _signatures(edited(put("verificationMaterial/tlogEntries", [{}])), name="transparency log entry"),
    _signatures(edited(put("verificationMaterial/publicKey/hint", keyid(STRANGER))), name="another hint"),
    _signatures(edited(put("verificationMaterial/publicKey/rawBytes", "")), name="own key"),
    _signatures(edited(put("note", "x")), name="further key"),
    _signatures(spaced, name="white space"),
    _signatures(twice, name="key twice"),
    _signatures(doubled, name="two values"),
    _signatures(lambda data: b"", name="empty file"),
    _signatures(signed_as("text/plain", "text/plain"), name="another payload type"),
    _signatures(signed_as("text/plain"), "signature-invalid", name="signed as another type"),
    _signatures(signed_as(None), "signature-invalid", name="signed without its type"),
    Case(
        "without its ending",
        "file-unlisted",
        GOOD,
        rename(f"sigs/{keyid(FIRST)}.sigstore.json", f"sigs/{keyid(FIRST)}"),
    ),
    _signatures(
        edited(put("dsseEnvelope/payload", encoded(b"{}"))),
        "signature-other-statement",
        name="right, with another statement beside it",
    ),
    Case("a further file", "file-unlisted", GOOD, write("sigs/readme.txt", b"")),
    Case("a hidden file", "file-unlisted", GOOD, write("sigs/.sigstore.json", b"")),
    Case(
        "upper-case name",
        "file-unlisted",
        GOOD,
        rename(f"sigs/{keyid(FIRST)}.sigstore.json", f"sigs/{keyid(FIRST).upper()}.sigstore.json"),
    ),
    Case("statement replaced", "signature-other-statement", GOOD, write("statement.json", b"{}")),
)


def _statement(path: str, value: object) -> Recipe:
    return PLAIN.but(statement=put(path, value))


STATEMENTS = (
    Case("expired", "bundle-expired", PLAIN.but(expires=NOW - timedelta(seconds=5))),
    Case("needs a newer root", "root-too-old", _statement("predicate/minimum_root_version", 3)),
    Case("another predicate", "statement-malformed", _statement("predicateType", "https://slsa.dev/provenance/v1")),
    Case(
        "newer predicate",
        "statement-malformed",
        _statement("predicateType", "urn:appliance:bundle:v2"),
    ),
    Case("another statement type", "statement-malformed", _statement("_type", "https://in-toto.io/Statement/v0.1")),
    Case("another subject", "statement-malformed", _statement("subject/0/name", "bundle.json")),
    Case(
        "two subjects",
        "statement-malformed",
        PLAIN.but(statement=lambda value: value["subject"].append({})),
    ),
    Case("no subject", "statement-malformed", _statement("subject", [])),
    Case("no SHA-384", "statement-malformed", PLAIN.but(statement=delete("subject/0/digest/sha384"))),
    Case("a further digest", "statement-malformed", _statement("subject/0/digest/md5", "0" * 32)),
    Case("a further key", "statement-malformed", _statement("predicate/comment", "x")),
    Case("a key less", "statement-malformed", PLAIN.but(statement=delete("predicate/previous"))),
    Case("name leads away", "statement-malformed", _statement("predicate/name", "../x")),
    Case("name with two dots", "statement-malformed", _statement("predicate/name", "a..b")),
    Case("name of a device", "statement-malformed", _statement("predicate/name", "con.1")),
    Case("version is no version", "statement-malformed", _statement("predicate/version", "latest")),
    Case("version is too long", "statement-malformed", _statement("predicate/version", f"1.0-{'a' * 61}")),
    Case("previous is no version", "statement-malformed", _statement("predicate/previous", "")),
    Case("no time", "statement-malformed", _statement("predicate/created", "yesterday")),
    Case("time with an offset", "statement-malformed", _statement("predicate/expires", "2999-01-01T00:00:00+00:00")),
    Case("count is text", "statement-malformed", _statement("predicate/files", "9")),
    Case(
        "count with a fraction",
        "statement-malformed",
        PLAIN.but(statement_bytes=lambda data: data.replace(b'"files":9,', b'"files":9.0,')),
    ),
    Case(
        "count with an exponent",
        "statement-malformed",
        PLAIN.but(statement_bytes=lambda data: data.replace(b'"files":9,', b'"files":9e0,')),
    ),
    Case(
        "size below nothing",
        "statement-malformed",
        PLAIN.but(statement_bytes=lambda data: data.replace(b'"bytes":', b'"bytes":-')),
    ),
    Case(
        "size beyond what a double holds",
        "statement-malformed",
        PLAIN.but(statement_bytes=lambda data: data.replace(b'"bytes":', b'"bytes":9007199254740993')),
    ),
    Case("white space", "statement-malformed", PLAIN.but(statement_bytes=spaced)),
    Case("key twice", "statement-malformed", PLAIN.but(statement_bytes=twice)),
    Case("two values", "statement-malformed", PLAIN.but(statement_bytes=doubled)),
    Case("empty", "statement-malformed", PLAIN.but(statement_bytes=lambda data: b"")),
    Case("byte order mark", "statement-malformed", PLAIN.but(statement_bytes=lambda data: b"\xef\xbb\xbf" + data)),
    Case("more files than listed", "statement-mismatch", PLAIN.but(statement=put("predicate/files", 10))),
    Case("more bytes than signed", "size-mismatch", PLAIN.but(statement=put("predicate/bytes", 100))),
    Case("fewer bytes than signed", "size-mismatch", PLAIN.but(statement=put("predicate/bytes", 10**9))),
    Case("SHA-256 of another list", "sums-mismatch", _statement("subject/0/digest/sha256", "0" * 64)),
    Case("SHA-384 of another list", "sums-mismatch", _statement("subject/0/digest/sha384", "0" * 96)),
    Case(
        "digest in capitals",
        "statement-malformed",
        PLAIN.but(statement=lambda value: value["subject"][0]["digest"].update(sha256="A" * 64)),
    ),
)
