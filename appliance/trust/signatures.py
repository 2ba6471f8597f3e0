"""Signature files: who has signed the statement, by the newest root."""

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import SIGNATURES
from appliance.model.documents.root import RELEASE_ROLES, RoleName
from appliance.model.files import TreeEntry
from appliance.model.limits import MAX_SIGNATURES
from appliance.trust.dsse import decode_signature_file
from appliance.trust.root import Root

SIGNATURE_SUFFIX = ".sigstore.json"
_HEX = set("0123456789abcdef")


@dataclass(frozen=True)
class BundleSigner:
    """A key of ``role`` whose signature over the statement holds.

    Only the role ``release`` counts towards its threshold; ``release_post_quantum`` co-signs.
    """

    keyid: str
    label: str
    use: str
    role: RoleName = "release"


def check_signature(content: bytes, statement: bytes, keyid: str, root: Root, *, where: str = "") -> BundleSigner:
    """Check one signature file over ``statement`` by a key that may sign bundles.

    ``where`` names the file if it is not in its place.  Raises NotTrusted: ``signature-malformed``,
    ``signature-unknown-key``, ``signature-revoked-key``, ``signature-other-statement`` or
    ``signature-invalid``.
    """
    where = where or f"{SIGNATURES}/{keyid}{SIGNATURE_SUFFIX}"
    try:
        envelope = decode_signature_file(content)
    except ValueError as error:
        raise NotTrusted("signature-malformed", f"this is not a signature file: {error}", where=where) from None
    hint, signature = envelope.signatures[0]
    if hint != keyid:
        raise NotTrusted(
            "signature-malformed", "it names another key than its file name", where=where, expected=keyid, found=hint
        )
    if keyid in root.document.revoked:
        raise NotTrusted("signature-revoked-key", "its key is revoked", where=where)
    roles = [name for name, role in root.document.roles.items() if name in RELEASE_ROLES and keyid in role.keyids]
    if not roles:
        raise NotTrusted("signature-unknown-key", "its key may not sign bundles", where=where)
    if envelope.payload != statement:
        raise NotTrusted("signature-other-statement", "it signs a different statement than statement.json", where=where)
    if not root.keys[keyid].verifies(signature, envelope.pae()):
        raise NotTrusted("signature-invalid", "the signature is not valid", where=where)
    entry = root.document.keys[keyid]
    return BundleSigner(keyid, entry.label, entry.use, roles[0])


def signature_names(listing: Mapping[str, TreeEntry]) -> list[str]:
    """The files in ``sigs/``.  Raises NotTrusted for one that is none, and for a crowd of them."""
    names = sorted(path.split("/", 1)[1] for path in listing if path.startswith(f"{SIGNATURES}/"))
    if len(names) > MAX_SIGNATURES:
        raise NotTrusted("signature-malformed", f"more than {MAX_SIGNATURES} signature files", where=f"{SIGNATURES}/")
    for name in names:
        keyid = name.removesuffix(SIGNATURE_SUFFIX)
        if not name.endswith(SIGNATURE_SUFFIX) or len(keyid) != 64 or not set(keyid) <= _HEX:
            raise NotTrusted("file-unlisted", "not a signature file", where=f"{SIGNATURES}/{name}", expected="nothing")
    return names
