"""``appliance build``: fetch what the lock says, seal it, sign it.

The lock decides what is fetched.  When the definition, a local source or an upstream has
moved away from it, the build says which entry is stale and stops; ``renew`` makes it
resolve those entries again, which the demo uses and a release never should
(docs/adr/0003-stale-locks.md).
"""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.artifacts.base import Context
from appliance.artifacts.kinds import KINDS
from appliance.errors import BadInput, Stale
from appliance.model.documents.definition import DefinitionHead
from appliance.model.documents.lock import Lock, LockedArtifact
from appliance.model.progress import Progress
from appliance.model.times import format_time
from appliance.steps.documents.definition import Definition, read_definition
from appliance.steps.documents.evidence import check_evidence, evidence_path, take_evidence
from appliance.steps.documents.lock import changes, lock_path, profiles_of, read_lock
from appliance.steps.host.clock import end_of
from appliance.steps.lock import resolve
from appliance.steps.sealing.seal import plan, seal
from appliance.steps.sealing.vulnerabilities import check_vulnerabilities, check_waivers
from appliance.steps.sign import check_may_sign, sign_bundle
from appliance.store.cache import Cache
from appliance.trust.keys import Signer
from appliance.trust.root import walk_chain
from appliance.trust.threshold import Tally

_EPOCH = re.compile(r"[0-9]{1,15}", re.ASCII)
# Indexes, directories, and what a file system keeps for itself.
_SPARE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Built:
    """What a build has made; ``written`` is False when an equal bundle was there.

    ``missing`` are the roles of which more keys have to sign.
    """

    path: Path
    files: int
    size: int
    written: bool
    signed_by: str | None
    missing: tuple[Tally, ...]
    renewed: tuple[str, ...]


def build(
    definition_path: Path,
    out: Path,
    cache: Cache,
    progress: Progress,
    *,
    roots: Sequence[bytes],
    key: Signer | None,
    renew: bool = False,
    weights: Path | None = None,
) -> Built:
    """Build ``out/<name>-<version>`` from a definition and its lock.

    ``weights`` is a directory where those of the definition are looked for first.  Raises
    Stale, BadInput and NotTrusted; nothing half-made is left at the target, and what was
    fetched stays in the cache for the next run.
    """
    definition = read_definition(definition_path)
    created = _creation_time(definition.head)
    if created > datetime.now(UTC):
        progress.step(f"warning: the bundle will say that it was made {format_time(created)}, which is in the future")
    _check_roots(definition.head, roots, key)
    check_waivers(definition.head, created)
    renewed: list[str] = []
    context = Context(definition_path.parent, cache, progress, weights)
    locked = _current_lock(definition, context, renew=renew, renewed=renewed)
    target = out / f"{locked.bundle.name}-{locked.bundle.version}"
    _check_space(locked, cache)
    locked = _fetch_all(definition, locked, context, renew=renew, renewed=renewed)
    progress.step("Sealing")
    planned = plan(locked, cache, context)
    check_vulnerabilities(planned.known, locked.bundle, created, progress)
    written = seal(target, planned, roots, cache, created)
    signed = sign_bundle(target, [key] if key else [], roots=roots)
    return Built(
        target,
        files=len(planned.files),
        size=planned.size,
        written=written,
        signed_by=key.public.keyid if key else None,
        missing=tuple(role for role in signed.tallies if not role.met),
        renewed=tuple(renewed),
    )


def _check_roots(head: DefinitionHead, roots: Sequence[bytes], key: Signer | None) -> None:
    """Hours of fetching are not for a bundle that no verifier would follow to its signers."""
    profile = head.profile == "cnsa-2.0"
    root = walk_chain(roots[-1], roots, post_quantum=profile)
    if profile and root.document.roles.release_post_quantum is None:
        raise BadInput(
            "release-not-co-signed",
            "the definition asks for the profile cnsa-2.0, but the root has no keys that co-sign bundles",
            hint="make them (appliance keys new --type ml-dsa-87) and add them: appliance root rotate CHAIN --add ...",
        )
    if key is not None:
        check_may_sign(key, root)


def _current_lock(definition: Definition, context: Context, *, renew: bool, renewed: list[str]) -> Lock:
    path = lock_path(definition.path)
    if renew and not path.exists():
        renewed += [section.id for section in definition.sections]
        return resolve(definition, context)
    locked = read_lock(path)
    changed = changes(definition, locked)
    if not changed:
        profiles_of(locked)  # hours of fetching are not for a model that cannot be served
        return locked
    if not renew:
        raise Stale(
            str(changed),
            where=str(path),
            definition=shlex.quote(str(definition.path)),
        )
    again = ", ".join(changed.sections) or "nothing"
    context.progress.step(f"{changed}: resolving {again} again")
    new = resolve(definition, context, only=changed.sections)
    renewed += [artifact.id for artifact in new.artifacts if artifact not in locked.artifacts]
    return new


def _fetch_all(definition: Definition, locked: Lock, context: Context, *, renew: bool, renewed: list[str]) -> Lock:
    """Returns the lock as it is then."""
    evidence = evidence_path(definition.path)
    take_evidence(evidence, locked.artifacts, context.sink)
    for artifact in locked.artifacts:
        try:
            check_evidence(evidence, artifact)
            _fetch(artifact, context)
        except Stale as stale:
            if not renew:
                raise stale.at(shlex.quote(str(definition.path))) from None
            context.progress.step(f"{stale.what}: resolving {artifact.id} again")
            locked = resolve(definition, context, only=(artifact.id,))
            renewed.append(artifact.id)
            _fetch(next(entry for entry in locked.artifacts if entry.id == artifact.id), context)
    return locked


def _fetch(artifact: LockedArtifact, context: Context) -> None:
    context.progress.step(f"Fetching {artifact.id}")
    for warning in artifact.warnings:
        context.progress.step(f"warning: {artifact.id}: {warning}")
    kind = next(kind for kind in KINDS if kind.name == artifact.kind)
    kind.fetch(artifact, context)


def _check_space(locked: Lock, cache: Cache) -> None:
    contents = [
        file for artifact in locked.artifacts for file in (*artifact.evidence, *artifact.inputs, *artifact.files)
    ]
    needed = sum(content.size for content in cache.missing(contents)) + _SPARE_BYTES
    free = cache.free_bytes()
    if needed > free:
        raise BadInput(
            "disk-full",
            "there is not enough space for what must be fetched",
            where=str(cache.root),
            expected=f"{needed} bytes free",
            found=f"{free} bytes",
            hint="free some space, or choose another place with --cache",
        )


def _creation_time(head: DefinitionHead) -> datetime:
    """Now, or what SOURCE_DATE_EPOCH (reproducible-builds.org) says, if a bundle can be of that time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    created = datetime.now(UTC)
    what, hint = f"this host's clock says {created:%Y-%m-%d}", "set the clock: date --set"
    if epoch:
        what, hint = f"SOURCE_DATE_EPOCH is {epoch!r}", "unset it, or give seconds since 1970: date +%s"
        try:
            created = datetime.fromtimestamp(int(epoch) if _EPOCH.fullmatch(epoch) else 0, UTC)
        except (ValueError, OverflowError, OSError):
            created = datetime.fromtimestamp(0, UTC)
    end_of(created, head.expires_after_days, "creation-time", what, hint)
    return created
