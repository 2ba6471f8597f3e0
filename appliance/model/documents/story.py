"""A log's entries as sentences for people: one line each, nothing but printable ASCII."""

from appliance.model.documents.events import (
    BundleVersion,
    Install,
    Overridden,
    Rebuilt,
    Removed,
    RootChange,
    Switch,
    Verification,
    details_of,
)
from appliance.model.documents.log import LogEntry


def sentence(entry: LogEntry) -> str:
    """What an entry tells.  Of one that this version does not know, its event."""
    match details_of(entry):
        case Verification() as verification:
            return verification_sentence(verification)
        case Switch() as switch:
            return f"{_bundle(switch)} is current, before: {switch.previous or 'none'}"
        case Overridden() as override:
            return f"an override lets {_bundle(override)} pass ({', '.join(override.used)}): {override.reason}"
        case Rebuilt() as rebuilt:
            bundles = ", ".join(_bundle(bundle) for bundle in rebuilt.bundles) or "no bundle"
            return f"the site's state was rebuilt: {bundles}, {rebuilt.roots} root documents"
        case RootChange() as root:
            before = f"version {root.previous.version}" if root.previous else "none"
            return f"root document version {root.version} is the newest, before: {before}"
        case Install() as install:
            models = ", ".join(install.models) or "no model"
            packages = f"{len(install.packages)} OS packages"
            return f"{install.host} runs {models}, {packages}; installed from {_bundle(install.bundle)}"
        case Removed() as gone:
            wiped = f"{gone.files} files overwritten ({gone.bytes} bytes)"
            return f"{gone.host} was removed: {wiped}, {len(gone.certificates)} certificates revoked"
        case None:
            return f"an entry that this version does not know ({entry.event})"


def verification_sentence(details: Verification) -> str:
    """The result of a verification."""
    if details.refusal is not None:
        where = f", in {details.refusal.where}" if details.refusal.where else ""
        return f"refused ({details.refusal.reference}): {details.refusal.what}{where}"
    signers = ", ".join(signer.label for signer in details.signers)
    return f"accepted {_bundle(details.bundle)}, signed by {signers}"


def _bundle(bundle: BundleVersion | None) -> str:
    return f"{bundle.name} {bundle.version}" if bundle else "a bundle"
