"""``appliance lock``: replace every reference of a definition by digests and sizes."""

from pathlib import Path

from appliance.artifacts import Context
from appliance.errors import BadInput
from appliance.model.lock import LOCK_SCHEMA, Lock, LockedArtifact
from appliance.model.progress import Progress
from appliance.steps.documents import Definition, Section, lock_path, read_definition, read_lock, write_lock
from appliance.store.cache import Cache


def lock(definition_path: Path, cache: Cache, progress: Progress, *, only: tuple[str, ...] = ()) -> Lock:
    """Resolve the definition and write its lock.

    ``only`` names the artifacts (``kind/name``) to resolve again; the others keep their
    entries.  Raises what the kinds raise; the old lock stays until the new one is whole.
    """
    definition = read_definition(definition_path)
    path = lock_path(definition_path)
    previous = read_lock(path) if path.exists() else None
    known = {section.id for section in definition.sections}
    for wanted in only:
        if wanted not in known:
            raise BadInput(
                "artifact-unknown",
                f"the definition has no artifact {wanted!r}",
                where=str(definition_path),
                hint=f"it has: {', '.join(sorted(known))}",
            )
    new = resolve(definition, previous, cache, progress, only=only)
    write_lock(path, new)
    return new


def resolve(
    definition: Definition, previous: Lock | None, cache: Cache, progress: Progress, *, only: tuple[str, ...] = ()
) -> Lock:
    """The lock of ``definition``.  Entries of ``previous`` stay where nothing changed."""
    old = {artifact.id: artifact for artifact in previous.artifacts} if previous else {}
    context = Context(definition.path.parent, cache, progress)
    artifacts = []
    for section in definition.sections:
        kept = old.get(section.id)
        if only and section.id not in only and kept and kept.definition == section.digest:
            artifacts.append(kept)
            continue
        progress.step(f"Resolving {section.id}")
        artifacts.append(_resolve_one(section, kept, context))
    return Lock(schema_=LOCK_SCHEMA, bundle=definition.head, artifacts=tuple(artifacts))


def _resolve_one(section: Section, kept: LockedArtifact | None, context: Context) -> LockedArtifact:
    resolved = section.kind.resolve(section.name, section.content, context)
    new = resolved.model_copy(update={"definition": section.digest})
    # What only describes the source (a date, an address) may move while no byte does:
    # keep the old words, so that a diff of two locks shows what really changed.
    if kept and (kept.definition, kept.inputs, kept.files) == (new.definition, new.inputs, new.files):
        return kept
    return new
