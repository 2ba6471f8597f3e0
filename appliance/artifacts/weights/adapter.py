"""The gate for LoRA adapters: which files one may have, what these say, and that they belong to their model's weights.

An adapter is two files, and texts for people.  A tokenizer or a chat template beside them would be another one than its
model's, so neither is taken; and no exception can be made, as nothing else of an adapter is ever read.
"""

from collections.abc import Sequence
from functools import cache
from posixpath import basename

from appliance.artifacts.weights.content_gate import name_refusal
from appliance.artifacts.weights.facts import Headers, model_tensors, read_tensors
from appliance.artifacts.weights.section import AdapterSection, HuggingFaceOrigin, read_source
from appliance.errors import BadInput, NotTrusted
from appliance.formats.lora_adapter import CONFIG, WEIGHTS, Adapter, check_fits, read_adapter
from appliance.formats.safetensors import Tensor
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.limits import MAX_ADAPTER_CONFIG
from appliance.model.serving.adapters import AdapterFacts
from appliance.model.sink import Sink

_TEXTS = {".gitattributes", "copying", "licence", "license", "notice", "readme"}
_TEXT_SUFFIXES = (".md", ".txt")


def adapter_name_refusal(path: str) -> str:
    """Why an adapter may have no file called ``path``; empty when it may."""
    if path in (CONFIG, WEIGHTS):
        return ""
    name = basename(path).casefold()
    if name in _TEXTS or name.endswith(_TEXT_SUFFIXES):
        return ""
    return name_refusal(path) or f"belongs to no adapter: it is served from {CONFIG} and {WEIGHTS} alone"


def find_adapter(
    where: str, section: AdapterSection, files: Sequence[LockedFile], headers: Headers, sink: Sink
) -> AdapterFacts:
    """What the files of the adapter ``where`` say.  Raises BadInput (``adapter-refused``)."""
    try:
        read = _read(files, headers, sink)
    except ValueError as error:
        raise _refused(where, str(error)) from None
    if section.trained_on not in (None, read.base):
        raise _refused(where, f"it says that it was trained on {read.base!r}, and not on {section.trained_on!r}")
    return AdapterFacts(
        of=section.of, base=read.base, trained_on=section.trained_on, rank=read.rank, modules=read.modules
    )


def check_adapter(artifact: LockedArtifact, sink: Sink) -> None:
    """Read the adapter again, from files with the locked digests.  Raises BadInput, and NotTrusted for another one."""
    if artifact.adapter is None:
        return
    section = AdapterSection(of=artifact.adapter.of, trained_on=artifact.adapter.trained_on)
    found = find_adapter(artifact.id, section, artifact.files, {}, sink)
    if found != artifact.adapter:
        raise NotTrusted(
            "weights-facts",
            "the files say something else of the adapter than what the lock has of them",
            where=artifact.id,
            expected=str(artifact.adapter),
            found=str(found),
            hint=f"resolve it again, and review the lock: appliance lock DEFINITION --only {artifact.id}",
        )


def check_adapters(artifacts: Sequence[LockedArtifact], sink: Sink) -> None:
    """Each adapter against the weights that it belongs to, byte by byte of their headers.

    Raises BadInput (``adapter-refused``).
    """
    by_name = {artifact.name: artifact for artifact in artifacts}

    @cache
    def tensors(name: str) -> tuple[Tensor, ...]:
        return tuple(model_tensors(by_name[name].files, {}, sink))

    for artifact in artifacts:
        if artifact.adapter is not None:
            _check_base(artifact, artifact.adapter, by_name.get(artifact.adapter.of))
            try:
                check_fits(_read(artifact.files, {}, sink), tensors(artifact.adapter.of))
            except ValueError as error:
                raise _refused(artifact.id, f"it does not belong to weights/{artifact.adapter.of}: {error}") from None


def _check_base(artifact: LockedArtifact, facts: AdapterFacts, model: LockedArtifact | None) -> None:
    if model is None or model.adapter is not None:
        raise _refused(artifact.id, f"it belongs to weights/{facts.of}, which are no model of this definition")
    origin, _ = read_source(model.source)
    published = origin.repo if isinstance(origin, HuggingFaceOrigin) else None
    if facts.base not in (published, facts.trained_on):
        said = f"which come from {published}" if published else "whose source does not tell their name"
        raise _refused(
            artifact.id,
            f"it says that it was trained on {facts.base!r}, and is to change weights/{facts.of}, {said}",
            hint="if these are the same weights, say so: adapter: {of: ..., trained_on: THAT NAME}",
        )


def _read(files: Sequence[LockedFile], headers: Headers, sink: Sink) -> Adapter:
    by_path = {file.path: file for file in files}
    config = by_path.get(CONFIG)
    if config is None or WEIGHTS not in by_path:
        raise ValueError(f"an adapter is {CONFIG} and {WEIGHTS}: both have to be among the files")
    if config.size > MAX_ADAPTER_CONFIG or not sink.holds(config):
        raise ValueError(f"{CONFIG} has {config.size} bytes, more than {MAX_ADAPTER_CONFIG}")
    return read_adapter(sink.path(config).read_bytes(), read_tensors(by_path[WEIGHTS], headers, sink))


def _refused(where: str, what: str, hint: str = "") -> BadInput:
    return BadInput("adapter-refused", what, where=where, hint=hint or "docs/adapters.md says what an adapter may be")
