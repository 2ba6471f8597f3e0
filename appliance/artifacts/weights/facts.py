"""What the files of a model say of it: read while locking, and again from verified bytes when a bundle is built.

While a hub's weights are locked, only the headers of their files are here, and nobody has vouched for these; so
what is made of them counts for nothing until it is made again of the files that the lock's digests belong to.
"""

from collections.abc import Iterator, Mapping, Sequence

from appliance.errors import NotTrusted
from appliance.formats.model_config import indexed_files, read_model
from appliance.formats.safetensors import LENGTH_BYTES, Tensor, header_length, parse_header
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.limits import MAX_MODEL_JSON
from appliance.model.progress import Progress
from appliance.model.serving.facts import ModelFacts
from appliance.model.sink import Sink

_INDEX = "model.safetensors.index.json"
Headers = Mapping[str, bytes]
"""The beginning of each safetensors file by its path: the length of its header, and the header."""


def find_facts(
    where: str, files: Sequence[LockedFile], headers: Headers, sink: Sink, progress: Progress
) -> ModelFacts | None:
    """The facts of the model ``where``; None, and a line for people, where its files cannot be understood."""
    try:
        return read_facts(files, headers, sink)
    except ValueError as error:
        progress.step(f"{where}: no memory plan from its files: {error}")
        return None


def read_facts(files: Sequence[LockedFile], headers: Headers, sink: Sink) -> ModelFacts:
    """The facts of one model, whose small files are in the sink.  Raises ValueError."""
    by_path = {file.path: file for file in files}
    config = _small(by_path, "config.json", sink)
    if config is None:
        raise ValueError("there is no config.json")
    return read_model(config, _small(by_path, "generation_config.json", sink), model_tensors(files, headers, sink))


def model_tensors(files: Sequence[LockedFile], headers: Headers, sink: Sink) -> Iterator[Tensor]:
    """The tensors of one model: of all files that its index names, or of all there are.  Raises ValueError."""
    by_path = {file.path: file for file in files}
    index = _small(by_path, _INDEX, sink)
    wanted = [path for path in by_path if path.endswith(".safetensors") and "/" not in path]
    if index is not None:
        wanted = sorted(indexed_files(index))
    for path in wanted:
        if path not in by_path:
            raise ValueError(f"{_INDEX} names {path[:200]!r}, which is not there")
        yield from read_tensors(by_path[path], headers, sink)


def _small(by_path: Mapping[str, LockedFile], path: str, sink: Sink) -> bytes | None:
    file = by_path.get(path)
    if file is None:
        return None
    if file.size > MAX_MODEL_JSON or not sink.holds(file):
        raise ValueError(f"{path} has {file.size} bytes, more than a text of a model may have")
    return sink.path(file).read_bytes()


def check_facts(artifact: LockedArtifact, sink: Sink) -> None:
    """Read the facts again, from files that are all there and have the locked digests.

    Raises NotTrusted (``weights-facts``) for others than the lock has.
    """
    if artifact.model is None:
        return
    try:
        found = str(read_facts(artifact.files, {}, sink).as_told_by(artifact.model))
    except ValueError as error:
        found = str(error)
    if found != str(artifact.model):
        raise NotTrusted(
            "weights-facts",
            "the files say something else of the model than what the lock has of them",
            where=artifact.id,
            expected=str(artifact.model),
            found=found,
            hint=f"resolve it again, and review the lock: appliance lock DEFINITION --only {artifact.id}",
        )


def read_tensors(file: LockedFile, headers: Headers, sink: Sink) -> Iterator[Tensor]:
    """The tensors of one file, by its header.  Raises ValueError."""
    if file.path in headers:
        start = headers[file.path]
        length = header_length(start[:LENGTH_BYTES], file.size)
        header = start[LENGTH_BYTES : LENGTH_BYTES + length]
    elif sink.holds(file):
        with sink.path(file).open("rb") as stream:
            length = header_length(stream.read(LENGTH_BYTES), file.size)
            header = stream.read(length)
    else:
        raise ValueError(f"the header of {file.path[:200]!r} was not read")
    yield from parse_header(header, file.size - LENGTH_BYTES - length)
