"""``appliance plan``: which GPUs a definition's models fit on, before anything is bought or carried.

What has to be known of a model is in the lock.  Where there is none, or the model has changed since, it is
asked of the source as ``appliance lock`` does, and no lock is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.artifacts.base import Context
from appliance.errors import BadInput
from appliance.model.documents.lock import LockedArtifact, adapters_of
from appliance.model.progress import Progress
from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.gpus import GPUS
from appliance.model.serving.host_memory import host_memory
from appliance.model.serving.sizing import Answer, as_wanted, on
from appliance.model.serving.wanted import WantedProfile, check_wanted, own_adapters
from appliance.steps.documents.definition import Definition, Section, read_definition
from appliance.steps.documents.lock import lock_path, read_lock
from appliance.steps.lock import facts_of, locked
from appliance.store.cache import Cache


@dataclass(frozen=True)
class PlannedModel:
    """One model of a definition.

    ``weights_size`` and ``image_size`` are bytes on disk, the image as it is carried; None where it is not locked.
    ``loaded_size`` are bytes of all that its engine reads: its weights, those that guess, and each of its adapters.
    """

    name: str
    wanted: WantedProfile
    facts: ModelFacts
    answers: tuple[Answer, ...]
    weights_size: int
    loaded_size: int
    image_size: int | None

    def ram(self, answer: Answer) -> int:
        """Bytes of the host's memory, which a site gives it as its limit."""
        return host_memory(answer.gpus, self.loaded_size)


@dataclass(frozen=True)
class DefinitionAnswers:
    """``on_cpus`` are models that the definition serves on CPUs, for which there is no such plan."""

    name: str
    models: tuple[PlannedModel, ...]
    on_cpus: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether every model fits on all GPUs that were asked for."""
        return all(answer.fits for model in self.models for answer in model.answers)


def plan(
    path: Path, cache: Cache, progress: Progress, *, gpus: Sequence[str] = (), weights: Path | None = None
) -> DefinitionAnswers:
    """Answer for the GPUs that the definition names, or for each of ``gpus`` by its name in the table.

    Raises BadInput (``plan-gpu``, ``plan-value``), and what locking weights raises.
    """
    for name in gpus:
        if name not in GPUS:
            raise BadInput("plan-gpu", f"there is no GPU {name!r} in the table", hint=f"it has: {', '.join(GPUS)}")
    definition = read_definition(path)
    context = Context(path.parent, cache, progress, weights)
    entries = _entries(definition)
    serving = definition.head.serving
    wanted = {name: profile for name, profile in serving.items() if profile.gpus}
    return DefinitionAnswers(
        name=definition.head.name,
        models=tuple(_planned(definition, name, gpus, entries, context) for name in wanted),
        on_cpus=tuple(name for name in serving if name not in wanted),
    )


def _entries(definition: Definition) -> Mapping[str, LockedArtifact]:
    """Entries of the lock that are still what the definition says."""
    beside = lock_path(definition.path)
    held = {artifact.id: artifact for artifact in read_lock(beside).artifacts} if beside.exists() else {}
    return {
        section.id: held[section.id]
        for section in definition.sections
        if section.id in held and held[section.id].definition == section.digest
    }


def _planned(
    definition: Definition, name: str, gpus: Sequence[str], entries: Mapping[str, LockedArtifact], context: Context
) -> PlannedModel:
    wanted = definition.head.serving[name]
    named = (wanted.weights, *wanted.weights_beside().values())
    by_name = {weights: _entry(definition, weights, entries, context) for weights in dict.fromkeys(named)}
    sizes = {weights: sum(file.size for file in entry.files) for weights, entry in by_name.items()}
    sets = tuple(by_name.values())
    entry, draft = sets[0], facts_of(wanted, sets)[1]
    image = entries.get(f"images/{wanted.image}")
    where = f"{definition.path}: serving.{name}"
    if entry.model is None:
        what = f"the files of weights/{wanted.weights} do not say what a plan needs"
        hint = f"`appliance lock` says why: appliance lock {definition.path} --only {entry.id}"
        raise BadInput("plan-value", what, where=where, hint=hint)
    try:
        check_wanted(wanted, entry.model)
        adapters = own_adapters(wanted, adapters_of(sets))
        answers = tuple(on(wanted, entry.model, gpu, draft, adapters) for gpu in gpus) or (
            as_wanted(wanted, entry.model, draft, adapters),
        )
    except ValueError as error:
        raise BadInput("plan-value", str(error), where=where) from None
    return PlannedModel(
        name=name,
        wanted=wanted,
        facts=entry.model,
        answers=answers,
        weights_size=sum(sizes.values()),
        loaded_size=sum(sizes[weights] for weights in named),
        image_size=sum(file.size for file in image.files) if image else None,
    )


def _entry(
    definition: Definition, weights: str, entries: Mapping[str, LockedArtifact], context: Context
) -> LockedArtifact:
    """What is known of weights: of the lock, or asked of their source."""
    section = next(section for section in definition.sections if section.id == f"weights/{weights}")
    entry = entries.get(section.id)
    return entry if entry and (entry.model or entry.adapter) else _asked(section, context)


def _asked(section: Section, context: Context) -> LockedArtifact:
    context.progress.step(f"Resolving {section.id}")
    return locked(section.kind, section.name, section.content, section.digest, context)
