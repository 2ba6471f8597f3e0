"""``appliance lock``: replace every reference of a definition by digests and sizes."""

import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from appliance.artifacts.base import ArtifactSection, Context, Kind
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.model.documents.lock import LOCK_SCHEMA, Lock, LockedArtifact, adapters_of
from appliance.model.documents.upstream import UpstreamFinding
from appliance.model.progress import Progress
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.memory import MemoryFacts
from appliance.model.serving.wanted import WantedProfile, memory_facts, own_adapters, serving_profile
from appliance.steps.documents.definition import Definition, Section, read_definition
from appliance.steps.documents.evidence import drop_evidence, evidence_path, keep_evidence, take_evidence
from appliance.steps.documents.lock import lock_path, read_lock, write_lock
from appliance.steps.host.clock import now
from appliance.store.cache import Cache


def lock(
    definition_path: Path,
    cache: Cache,
    progress: Progress,
    *,
    weights: Path | None = None,
    only: Iterable[str] = (),
    everything: bool = False,
) -> Lock:
    """``resolve`` the definition at a path.  ``weights`` is a directory where theirs are looked for first."""
    definition = read_definition(definition_path)
    context = Context(definition_path.parent, cache, progress, weights)
    return resolve(definition, context, only=[section.id for section in definition.sections] if everything else only)


def resolve(definition: Definition, context: Context, *, only: Iterable[str] = ()) -> Lock:
    """Resolve what the lock lacks and what has changed since it was made, and write it.

    That is: sections of the definition that are new or say something else, and sources on this
    host with other content.  All other entries stay as they are, and so do wheels of these that the
    definition still allows.  ``only`` names artifacts (``kind/name``) to resolve whether they have
    changed or not, to what is newest; then this host's sources are not looked at.

    Each entry is written as soon as it is resolved, so what was resolved before an error is
    kept.  Raises what the kinds raise.
    """
    path = lock_path(definition.path)
    if not definition.sections:
        context.progress.step("warning: the definition names no artifacts: its bundle will hold none")
    chosen = set(only)
    _check_known(chosen, definition)
    old = read_lock(path) if path.exists() else None
    entries = {artifact.id: artifact for artifact in old.artifacts} if old else {}
    evidence = evidence_path(definition.path)
    take_evidence(evidence, entries.values(), context.sink)
    written = None
    for section in definition.sections:
        kept = entries.get(section.id)
        if section.id in chosen or not _is_current(section, kept, context, sources=not chosen):
            context.progress.step(f"Resolving {section.id}")
            held = None if section.id in chosen else kept
            entries[section.id] = _resolve(section, kept, replace(context, held=held, replaced=kept))
            written = _lock(definition, entries, old)
            keep_evidence(evidence, written, context.sink)
            write_lock(path, written)
    new = _lock(definition, entries, old)
    keep_evidence(evidence, new, context.sink)
    if new != written:
        write_lock(path, new)
    drop_evidence(evidence, new)
    check_serving(definition, new)
    return new


def _check_known(chosen: Iterable[str], definition: Definition) -> None:
    known = {section.id for section in definition.sections}
    for wanted in chosen:
        if wanted not in known:
            raise BadInput(
                "artifact-unknown",
                f"the definition has no artifact {wanted!r}",
                where=str(definition.path),
                hint=f"it has: {', '.join(sorted(known))}",
            )


def _lock(definition: Definition, entries: Mapping[str, LockedArtifact], old: Lock | None) -> Lock:
    """The entries that the definition still has, in its order; and what memory plans start from, where it is known.

    It has the time of ``old`` where it says the same.
    """
    artifacts = (entries.get(section.id) for section in definition.sections)
    new = Lock(
        schema_=LOCK_SCHEMA,
        locked=old.locked if old else None,
        bundle=definition.head,
        included=definition.included,
        memory=_memory(definition, entries),
        artifacts=tuple(artifact for artifact in artifacts if artifact),
    )
    return new if new == old and new.locked else new.model_copy(update={"locked": now()})


def _memory(definition: Definition, entries: Mapping[str, LockedArtifact]) -> dict[str, MemoryFacts]:
    """By model.  What cannot be planned is left out: ``check_serving`` says why, when all else is kept."""
    found = {}
    adapters = adapters_of(entries.values())
    for name, wanted in definition.head.serving.items():
        if wanted.gpus:
            with suppress(ValueError):
                own = own_adapters(wanted, adapters)
                found[name] = memory_facts(wanted, *facts_of(wanted, entries.values()), own)
    return found


def check_serving(definition: Definition, locked: Lock) -> None:
    """Refuse a model whose files do not say enough for a memory plan, that do not agree, or that does not fit.

    Raises BadInput (``serving-value``).
    """
    for name, wanted in definition.head.serving.items():
        try:
            serving_profile(wanted, *facts_of(wanted, locked.artifacts), adapters_of(locked.artifacts))
        except ValueError as error:
            raise BadInput(
                "serving-value",
                str(error),
                where=f"{definition.path}: serving.{name}",
                hint=f"what fits: appliance plan {shlex.quote(str(definition.path))}; for the model's files: "
                f"appliance lock {shlex.quote(str(definition.path))} --only weights/{wanted.weights}",
            ) from None


def facts_of(wanted: WantedProfile, artifacts: Iterable[LockedArtifact]) -> tuple[ModelFacts | None, ModelFacts | None]:
    """What is known of the weights of a profile, and of those that guess its tokens."""
    known = {artifact.id: artifact.model for artifact in artifacts}
    draft = wanted.speculative_config.weights if wanted.speculative_config else None
    return known.get(f"weights/{wanted.weights}"), known.get(f"weights/{draft}")


def _is_current(section: Section, kept: LockedArtifact | None, context: Context, *, sources: bool) -> bool:
    if kept is None or kept.definition != section.digest:
        return False
    if sources:
        try:
            section.kind.check_local(kept, context)
        except Stale as stale:
            context.progress.step(f"{stale.what}: {stale.where}")
            return False
    return True


def locked(kind: Kind, name: str, section: ArtifactSection, digest: str, context: Context) -> LockedArtifact:
    """The entry of a lock for one section, whose canonical JSON has the SHA-256 ``digest``."""
    resolved = kind.resolve(name, section, context)
    upstream = resolved.upstream or (
        UpstreamFinding(
            about=f"{kind.name}/{name}", state="unchecked", said="nobody looks for signatures of its source"
        ),
    )
    if section.upstream == "required":
        _check_upstream(f"{kind.name}/{name}", upstream)
    return LockedArtifact(
        kind=kind.name,
        name=name,
        definition=digest,
        licence=section.licence,
        source=resolved.source,
        warnings=resolved.warnings,
        model=resolved.model,
        adapter=resolved.adapter,
        review=resolved.review,
        upstream=upstream,
        evidence=resolved.evidence,
        inputs=resolved.inputs,
        files=resolved.files,
    )


def _check_upstream(artifact: str, findings: Iterable[UpstreamFinding]) -> None:
    """Raise NotTrusted (``upstream-required``) unless all that upstream could have signed was verified."""
    left = [finding for finding in findings if finding.state != "verified"]
    if left:
        more = f", and {len(left) - 1} more" if len(left) > 1 else ""
        raise NotTrusted(
            "upstream-required",
            f"{left[0].about} is not verified, which the definition requires: {left[0].said}{more}",
            where=artifact,
            hint="take out what upstream does not sign, or 'upstream: required'",
        )


def _resolve(section: Section, kept: LockedArtifact | None, context: Context) -> LockedArtifact:
    try:
        new = locked(section.kind, section.name, section.content, section.digest, context)
    except BadInput as error:
        if error.value:
            error.where = section.place(error.value)
        raise
    for warning in new.warnings:
        context.progress.step(f"warning: {section.id}: {warning}")
    # What only describes the source (a date, an address) may move while no byte does:
    # keep the old words, so that a diff of two locks shows what really changed.
    if kept and _without_source(kept) == _without_source(new) and not context.sink.missing(kept.evidence):
        return kept
    return new


def _without_source(artifact: LockedArtifact) -> tuple[object, ...]:
    signed = tuple((finding.about, finding.state, finding.said) for finding in artifact.upstream)
    found = artifact.warnings, artifact.model, artifact.adapter, artifact.review
    return artifact.definition, *found, artifact.inputs, artifact.files, signed
