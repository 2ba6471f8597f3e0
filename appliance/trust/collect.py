"""Signatures that were made elsewhere, put into the document that they are for.

People sign on their own machines, some of them with openssl or pkcs11-tool alone.  What
comes back is another copy of the document, or a bare signature whose key has to be found.
Nothing goes in that does not hold.
"""

from collections.abc import Mapping
from dataclasses import replace

from appliance.errors import NotTrusted
from appliance.trust.dsse import Envelope, decode_envelope
from appliance.trust.keys import PublicKey, Signer


def sign_envelope(envelope: Envelope, signer: Signer) -> Envelope:
    """``envelope`` with the signature of ``signer``; one that it has and that holds stays."""
    key = signer.public
    present = dict(envelope.signatures).get(key.keyid)
    if present is not None and key.verifies(present, envelope.pae()):
        return envelope
    return _with(envelope, {key.keyid: signer.sign(envelope.pae())}, {key.keyid: key})


def add_signatures(envelope: Envelope, addition: bytes, keys: Mapping[str, PublicKey], *, where: str) -> Envelope:
    """``envelope`` with the signatures that ``addition`` brings: a copy of it, or a bare signature.

    ``keys`` are those that may sign it; ``where`` names the addition.  Raises NotTrusted:
    ``signature-other-document``, or ``signature-invalid`` for what does not hold.
    """
    if found := find_signer(addition, envelope.pae(), keys):
        return _with(envelope, dict([found]), keys)
    if not addition.startswith(b"{"):
        raise no_signature(keys, where)
    try:
        copy = decode_envelope(addition, envelope.payload_type)
    except ValueError as error:
        raise NotTrusted("signature-malformed", f"this is not a copy of the document: {error}", where=where) from None
    if copy.payload != envelope.payload:
        raise NotTrusted(
            "signature-other-document",
            "it is a different document from the one being signed",
            where=where,
            hint="compare the two: a signature of one is not valid for the other",
        )
    for keyid, signature in copy.signatures:
        if keyid not in keys:
            raise NotTrusted("signature-unknown-key", f"key {keyid} may not sign this", where=where)
        if not keys[keyid].verifies(signature, envelope.pae()):
            raise NotTrusted("signature-invalid", f"the signature of key {keyid} is not valid", where=where)
    return _with(envelope, dict(copy.signatures), keys)


def find_signer(signature: bytes, message: bytes, keys: Mapping[str, PublicKey]) -> tuple[str, bytes] | None:
    """The id of the key that made a bare signature, and the signature as envelopes hold it.

    It may have any of the forms that the key's algorithm knows.
    """
    tried = ((keyid, key, form) for keyid, key in keys.items() for form in key.algorithm.forms(signature))
    return next(((keyid, form) for keyid, key, form in tried if key.verifies(form, message)), None)


def no_signature(keys: Mapping[str, PublicKey], where: str) -> NotTrusted:
    """What to raise when no key is found for a bare signature."""
    return NotTrusted(
        "signature-invalid",
        "this is not a signature of the document by a key that may sign it",
        where=where,
        expected=f"one by {', '.join(sorted(keys))}",
        hint="sign DSSE's encoding of the document: docs/key-ceremony.md shows how to make it",
    )


def _with(envelope: Envelope, new: Mapping[str, bytes], keys: Mapping[str, PublicKey]) -> Envelope:
    """A signature that is there and holds stays, so that adding one again changes no byte."""
    message = envelope.pae()
    kept = {
        keyid: signature
        for keyid, signature in envelope.signatures
        if keyid not in new or keys[keyid].verifies(signature, message)
    }
    return replace(envelope, signatures=tuple(sorted({**new, **kept}.items())))
