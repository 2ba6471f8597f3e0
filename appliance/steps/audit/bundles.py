"""The bundles of an audit: each verified anew, then told by what was signed.

Whether one has expired is a finding and no reason not to look at it: it may be what hosts
still run.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from appliance.artifacts.advisories.details import AdvisoriesDetails
from appliance.artifacts.images.details import ImageDetails
from appliance.artifacts.weights.details import WeightsDetails
from appliance.errors import ApplianceError, NotTrusted
from appliance.formats.cyclonedx import NOTHING_LISTED, Listed, listed_in
from appliance.formats.deb_repository import parse_stanza
from appliance.formats.slsa import provenance_in
from appliance.model.documents.audit import (
    AuditedArtifact,
    AuditedBundle,
    AuditedFile,
    AuditedKey,
    AuditedRole,
    AuditedRoot,
    Finding,
    note,
    problem,
)
from appliance.model.documents.bundle import (
    LOCK_EVIDENCE,
    PROVENANCE,
    ROOTS,
    SBOM,
    VULNERABILITIES,
    BundleArtifact,
    Statement,
)
from appliance.model.documents.contents import Provenance
from appliance.model.documents.lock import Lock, LockedFile
from appliance.model.documents.vulnerabilities import VulnerabilityPolicy, VulnerabilityReport, parse_report
from appliance.model.files import BundleFile
from appliance.model.limits import MAX_ENVELOPE, MAX_INDEX, MAX_YAML
from appliance.model.progress import Progress
from appliance.model.serving.profile import ServingProfile
from appliance.model.yamlform import YamlError, read_yaml
from appliance.steps.site.evidence import root_version, signers_of
from appliance.steps.site.state import AS_HELD
from appliance.store.tree import Tree
from appliance.trust.root import Root, parse_root, read_root, walk_chain
from appliance.trust.verify import VerifiedBundle, verify

_PACKAGES = "/Packages"
T = TypeVar("T")


@dataclass(frozen=True)
class Verified:
    """A bundle that verifies, and what other parts of an audit compare with it.

    ``weights`` are the SHA-256 of the lists that hosts check weights by, ``packages`` the
    versions of OS packages by name.  ``serving`` is how each model is to be served.  ``listed`` is what
    its SBOM lists.  ``known`` is its own report of vulnerabilities and ``policy`` what its definition
    says of them; ``provenance`` tells what it was made of.
    ``advisories`` are those that it carries, ``images_by_ref`` manifest digests by ``kind/name``.
    """

    audited: AuditedBundle
    statement: Statement
    chain: tuple[Root, ...]
    images: frozenset[str]
    weights: frozenset[str]
    packages: Mapping[str, frozenset[str]]
    serving: Mapping[str, ServingProfile]
    listed: Listed
    provenance: Provenance | None
    known: VulnerabilityReport | None
    policy: VulnerabilityPolicy | None
    advisories: tuple[BundleArtifact, ...]
    images_by_ref: Mapping[str, str]


def audit_bundle(path: Path, trusted: bytes, progress: Progress, *, current: bool) -> Verified:
    """Verify a bundle and read what was signed.  Raises NotTrusted as ``appliance verify`` does."""
    with Tree(path, progress) as tree:
        bundle = verify(tree, trusted, AS_HELD)
        version = bundle.root.document.version
        names = [f"{ROOTS}/{number}.root.json" for number in range(1, version + 1)]
        chain = tuple(read_root(tree.read(name, MAX_ENVELOPE), name) for name in names)
        lock = _lock(tree, bundle)
        packages = _packages(tree, bundle)
        listed = _read(tree, bundle, SBOM, listed_in) or NOTHING_LISTED
        known = _read(tree, bundle, VULNERABILITIES, parse_report)
        provenance = _read(tree, bundle, PROVENANCE, provenance_in)
        sizes = {name: entry.size for name, entry in tree.listing().items()}
    artifacts = bundle.index.artifacts
    images = {f"{one.kind}/{one.name}": image.manifest_digest for one in artifacts if (image := ImageDetails.of(one))}
    return Verified(
        audited=_audited(path, bundle, lock, sizes, current=current),
        statement=bundle.statement,
        chain=chain,
        images=frozenset(images.values()),
        weights=frozenset(weights.list_digest(one) for one in artifacts if (weights := WeightsDetails.of(one))),
        packages=packages,
        serving=bundle.index.serving,
        listed=listed,
        provenance=provenance,
        known=known,
        policy=lock.bundle.vulnerabilities if lock else None,
        advisories=tuple(one for one in artifacts if one.kind == AdvisoriesDetails.kind),
        images_by_ref=images,
    )


def findings_of(bundle: AuditedBundle, now: str) -> Iterator[Finding]:
    """What there is to know of a bundle that verifies."""
    if now >= bundle.expires:
        kind = problem if bundle.current else note
        yield kind("bundle-expired", f"the bundle expired {bundle.expires}", bundle.path)
    for signer in bundle.signers:
        if signer.use == "demo":
            what = f"it is signed by a demo key, {signer.label}: anybody may have made this bundle"
            yield problem("demo-key", what, bundle.path)


def read_own_chain(chain: Sequence[bytes]) -> tuple[Root, ...]:
    """The root documents that the auditor brings: one, which nobody has to have signed, or a chain.

    Raises NotTrusted when they are none.
    """
    roots = tuple(parse_root(data, f"root document {number}") for number, data in enumerate(chain, start=1))
    if len(chain) > 1:
        walk_chain(chain[0], chain)
    return roots


def audit_roots(own: Sequence[Root], bundles: Sequence[Verified]) -> tuple[list[AuditedRoot], list[Finding]]:
    """The longest chain of root documents, and what it says of bundles that came with a shorter one.

    ``own`` is what the auditor brings: a chain from version 1, or one document.
    """
    chains = [bundle.chain for bundle in bundles]
    if own[0].document.version == 1:
        chains.append(tuple(own))
    if not chains:
        return [], []
    longest = max(chains, key=len)
    findings = [finding for bundle in bundles for finding in _against(bundle, longest)]
    return [_root(root) for root in longest], findings


def _against(bundle: Verified, longest: Sequence[Root]) -> Iterator[Finding]:
    where = bundle.audited.path
    for number, (its, other) in enumerate(zip(bundle.chain, longest, strict=False), start=1):
        if its.document != other.document:
            yield problem("root-forked", f"its root document {number} differs from the one elsewhere", where)
    newest = longest[-1].document
    for signer in bundle.audited.signers:
        if signer.keyid in newest.revoked:
            what = f"root document {newest.version} has revoked a key that signed it, {signer.label}"
            yield (problem if bundle.audited.current else note)("signer-revoked", what, where)


def refusal(path: Path, error: ApplianceError) -> Finding:
    """A bundle that does not verify."""
    where = f"{path}: {error.where}" if error.where else str(path)
    return Finding(
        severity="problem", reference=error.reference, what=f"a bundle is refused: {error.what}", where=where
    )


def _audited(
    path: Path, bundle: VerifiedBundle, lock: Lock | None, sizes: Mapping[str, int], *, current: bool
) -> AuditedBundle:
    head, index = bundle.statement.predicate, bundle.index
    explained = {file.path for file in (*index.shared, *(file for one in index.artifacts for file in one.files))}
    locked = {(one.kind, one.name): one for one in lock.artifacts} if lock else {}
    origins = {file.sha256: file.url for one in locked.values() for file in (*one.files, *one.inputs) if file.url}

    def files(entries: Iterable[BundleFile | LockedFile]) -> tuple[AuditedFile, ...]:
        return tuple(
            AuditedFile(path=one.path, sha256=one.sha256, size=one.size, origin=origins.get(one.sha256, ""))
            for one in entries
        )

    return AuditedBundle(
        path=str(path),
        name=head.name,
        version=head.version,
        description=index.description,
        created=head.created,
        expires=head.expires,
        previous=head.previous,
        files=head.files,
        bytes=head.bytes,
        sums=bundle.statement.subject[0].digest,
        root=root_version(bundle.root),
        signers=signers_of(bundle),
        current=current,
        serves=tuple(sorted(index.serving)),
        artifacts=tuple(
            AuditedArtifact(
                kind=one.kind,
                name=one.name,
                licence=one.licence,
                source=one.source,
                details=one.details,
                files=files(one.files),
                inputs=files(locked[one.kind, one.name].inputs) if (one.kind, one.name) in locked else (),
            )
            for one in index.artifacts
        ),
        shared=files(index.shared),
        own=tuple(
            AuditedFile(path=name, sha256=digest, size=sizes[name])
            for name, digest in bundle.digests.items()
            if name not in explained
        ),
    )


def _root(root: Root) -> AuditedRoot:
    document = root.document
    roles = document.roles.items()
    version = root_version(root)
    return AuditedRoot(
        version=version.version,
        sha256=version.sha256,
        created=document.created,
        expires=document.expires,
        roles=tuple(AuditedRole(name=name, threshold=role.threshold, keys=len(role.keyids)) for name, role in roles),
        keys=tuple(
            AuditedKey(
                keyid=keyid,
                label=entry.label,
                use=entry.use,
                type=root.keys[keyid].type,
                roles=tuple(name for name, role in roles if keyid in role.keyids),
            )
            for keyid, entry in document.keys.items()
        ),
        revoked=document.revoked,
        signed_by=tuple(keyid for keyid, _ in root.envelope.signatures),
    )


def _lock(tree: Tree, bundle: VerifiedBundle) -> Lock | None:
    """The lock in the bundle; None where there is none that we can read."""
    if LOCK_EVIDENCE not in bundle.digests:
        return None
    data = _signed(tree, bundle, LOCK_EVIDENCE, MAX_YAML)
    try:
        return Lock.model_validate_json(json.dumps(read_yaml(data).data))
    except (YamlError, ValueError):
        return None


def _packages(tree: Tree, bundle: VerifiedBundle) -> dict[str, frozenset[str]]:
    """Versions by package, from the indexes of the bundle's apt repositories."""
    found: dict[str, set[str]] = {}
    for path in bundle.digests:
        if path.startswith("os/") and path.endswith(_PACKAGES):
            text = _signed(tree, bundle, path, MAX_INDEX).decode("utf-8", "replace")
            for stanza in filter(None, text.split("\n\n")):
                with suppress(ValueError, KeyError):  # signed all the same, and nothing to compare hosts with
                    fields = parse_stanza(stanza)
                    found.setdefault(fields["package"], set()).add(fields["version"])
    return {name: frozenset(versions) for name, versions in found.items()}


def _read(tree: Tree, bundle: VerifiedBundle, path: str, read: Callable[[bytes], T]) -> T | None:
    """What a file of its evidence says; None where there is none that we can read."""
    if path not in bundle.digests:
        return None
    try:
        return read(_signed(tree, bundle, path, MAX_INDEX))
    except ValueError:
        return None


def _signed(tree: Tree, bundle: VerifiedBundle, path: str, limit: int) -> bytes:
    data = tree.read(path, limit)
    if hashlib.sha256(data).hexdigest() != bundle.digests[path]:
        raise NotTrusted("file-mismatch", "the file changed while it was verified", where=path)
    return data
