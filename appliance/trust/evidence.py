"""What a site signs: receipts of verifications, and heads of its log.

Both are in-toto Statements v1 in Sigstore bundles, as signature files are, so that openssl
and cosign check them.  A receipt's subject is the bundle's SHA256SUMS, a head's is the log
up to there.  Nothing of one is read before its signature holds.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from appliance.errors import NotTrusted
from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.model.base import Strict
from appliance.model.documents.bundle import STATEMENT_TYPE, StatementType, Subject, SumsDigest
from appliance.model.documents.events import ExportedHead, Receipt
from appliance.model.jsonform import canonical_json, parse_canonical
from appliance.model.limits import MAX_SIGNATURE_FILE
from appliance.model.names import Sha256
from appliance.model.value_problem import first_problem
from appliance.trust.dsse import decode_signature_file, encode_signature_file
from appliance.trust.keys import PublicKey, Signer
from appliance.trust.sums import digest_of

RECEIPT_TYPE: Literal["urn:appliance:receipt:v1"] = "urn:appliance:receipt:v1"
HEAD_TYPE: Literal["urn:appliance:log-head:v1"] = "urn:appliance:log-head:v1"
LOG_NAME: Literal["log.jsonl"] = "log.jsonl"


class ReceiptStatement(Strict):
    """A receipt, whole.  A list that could not be read has the digests of no bytes."""

    type_: StatementType = Field(alias="_type")
    subject: tuple[Subject]
    predicate_type: Literal["urn:appliance:receipt:v1"] = Field(alias="predicateType")
    predicate: Receipt


class LogDigest(Strict):
    """Digest of the log's bytes up to the head."""

    sha256: Sha256


class LogSubject(Strict):
    """A head's only subject."""

    name: Literal["log.jsonl"]
    digest: LogDigest


class HeadStatement(Strict):
    """An exported head, whole."""

    type_: StatementType = Field(alias="_type")
    subject: tuple[LogSubject]
    predicate_type: Literal["urn:appliance:log-head:v1"] = Field(alias="predicateType")
    predicate: ExportedHead


_EVIDENCE: TypeAdapter[ReceiptStatement | HeadStatement] = TypeAdapter(
    Annotated[ReceiptStatement | HeadStatement, Field(discriminator="predicate_type")]
)


def sign_receipt(receipt: Receipt, key: Signer) -> bytes:
    """The file that says ``receipt``."""
    sums = receipt.verification.sums or SumsDigest(**digest_of(b""))
    subject = {"name": "SHA256SUMS", "digest": sums.model_dump()}
    return _sign(RECEIPT_TYPE, subject, receipt.model_dump(mode="json"), key)


def sign_head(head: ExportedHead, sha256: str, key: Signer) -> bytes:
    """The file that says ``head``; ``sha256`` is that of the log up to there."""
    subject = {"name": LOG_NAME, "digest": {"sha256": sha256}}
    return _sign(HEAD_TYPE, subject, head.model_dump(mode="json"), key)


def open_evidence(data: bytes, key: PublicKey, where: str) -> ReceiptStatement | HeadStatement:
    """Read a receipt or a head that ``key`` has signed.

    Raises NotTrusted: ``evidence-malformed``, ``evidence-unknown-key`` or ``evidence-invalid``.
    """
    try:
        envelope = decode_signature_file(data)
    except ValueError as error:
        raise _malformed(str(error), where) from None
    keyid, signature = envelope.signatures[0]
    if keyid != key.keyid:
        raise NotTrusted(
            "evidence-unknown-key", "it is signed by another key", where=where, expected=key.keyid, found=keyid
        )
    if not key.verifies(signature, envelope.pae()):
        raise NotTrusted("evidence-invalid", "its signature is not valid", where=where)
    try:
        parse_canonical(envelope.payload, limit=MAX_SIGNATURE_FILE)
        return _EVIDENCE.validate_json(envelope.payload)
    except ValidationError as error:
        raise _malformed(first_problem(error), where) from None
    except ValueError as error:
        raise _malformed(str(error), where) from None


def open_receipt(data: bytes, key: PublicKey, where: str) -> ReceiptStatement:
    """Read a receipt.  Raises as ``open_evidence``, also for a head."""
    statement = open_evidence(data, key, where)
    if not isinstance(statement, ReceiptStatement):
        raise _malformed("it is the head of a log, not a receipt", where)
    return statement


def _sign(predicate_type: str, subject: dict[str, Any], predicate: dict[str, Any], key: Signer) -> bytes:
    payload = canonical_json(
        {"_type": STATEMENT_TYPE, "subject": [subject], "predicateType": predicate_type, "predicate": predicate}
    )
    return encode_signature_file(key.public.keyid, payload, key.sign(pae(STATEMENT_PAYLOAD_TYPE, payload)))


def _malformed(problem: str, where: str) -> NotTrusted:
    return NotTrusted("evidence-malformed", f"this is not in a known form: {problem}", where=where)
