"""Weights from a model hub.

A revision is pinned to its commit.  The hub tells the SHA-256 of large files; every small
one is fetched while locking, has to equal its git blob id, and its SHA-256 is locked.  Large
texts that a review reads, such as tokenizers, are fetched while locking too.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from appliance.artifacts.base import Context
from appliance.artifacts.weights.gate import Gate
from appliance.artifacts.weights.review import is_read
from appliance.artifacts.weights.section import HuggingFaceOrigin, HuggingFaceSource
from appliance.artifacts.weights.source import ResolvedWeights, select
from appliance.errors import BadInput, Stale
from appliance.formats.safetensors import LENGTH_BYTES, header_length
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.limits import MAX_MODEL_HEADERS, MAX_MODEL_JSON
from appliance.tools.download import download
from appliance.tools.http import Gone

if TYPE_CHECKING:
    from appliance.tools.hub import Hub, HubFile

_PARALLEL = 4  # small files at once: each is held in memory
_FIRST_BYTES = 128 * 1024  # of a file of weights: most headers are shorter


class HuggingFace:
    """The source ``huggingface``."""

    leave_out = "leave it out with exclude: [PATTERN]"

    def resolve(self, source: HuggingFaceSource, gate: Gate, context: Context) -> ResolvedWeights:
        """Ask the hub for commit, files and digests, and fetch the small files."""
        hub = _hub(context)
        commit = hub.commit(source.repo, source.revision)
        tree = hub.tree(source.repo, commit)
        listed = {file.path: file for file in tree.files}
        taken = select(gate.where, source, [*listed, *tree.others])
        others = {path: "is a link or a submodule: only files are carried" for path in taken if path not in listed}
        gate.check_names([path for path in taken if path in listed], others)
        small = sum(listed[path].size for path in taken if listed[path].sha256 is None)

        tensors = [listed[path] for path in taken if path.endswith(".safetensors")]
        with context.progress.task(f"Reading {source.repo}", small) as task:

            def lock(file: "HubFile") -> LockedFile:
                if file.sha256 is not None:
                    return LockedFile(path=file.path, sha256=file.sha256, size=file.size)
                content = context.sink.put(hub.small_file(source.repo, commit, file))
                task.advance(file.size)
                return LockedFile(path=file.path, sha256=content.sha256, size=content.size)

            with ThreadPoolExecutor(_PARALLEL) as pool:
                files = tuple(pool.map(lock, (listed[path] for path in taken)))
                reader = _Headers(hub, source.repo, commit)
                headers = dict(zip((file.path for file in tensors), pool.map(reader.read, tensors), strict=True))
        large = [file for file in files if listed[file.path].sha256 is not None and is_read(file.path)]
        texts = [hub.request(source.repo, commit, file.path, file) for file in large if file.size <= MAX_MODEL_JSON]
        download(texts, context.sink, context.progress, f"Downloading texts of {source.repo}")
        origin = HuggingFaceOrigin(repo=source.repo, revision=source.revision, commit=commit)
        return ResolvedWeights(origin, files, headers=headers)

    def check_local(self, origin: HuggingFaceOrigin, artifact: LockedArtifact, context: Context) -> None:
        """There is nothing of it on this host."""

    def fetch(self, origin: HuggingFaceOrigin, artifact: LockedArtifact, context: Context) -> None:
        """Download what is missing, at the locked commit."""
        if not context.sink.missing(artifact.files):
            return
        hub = _hub(context)
        requests = [hub.request(origin.repo, origin.commit, file.path, file) for file in artifact.files]
        try:
            download(requests, context.sink, context.progress, f"Downloading {origin.repo}")
        except Gone as error:
            raise Stale(
                f"the hub no longer has {origin.repo} at commit {origin.commit[:12]}",
                artifact=artifact.id,
                where=error.where,
            ) from None
        except BadInput as error:
            # A refused download tells a number; the hub's own interface tells the reason.
            if error.reference == "source-refused":
                hub.explain(origin.repo, origin.commit)
            raise


class _Headers:
    """Reads the headers of a commit's weights, side by side; together they may have MAX_MODEL_HEADERS bytes."""

    def __init__(self, hub: "Hub", repo: str, commit: str) -> None:
        self._hub, self._repo, self._commit = hub, repo, commit
        self._left = MAX_MODEL_HEADERS
        self._lock = threading.Lock()

    def read(self, file: "HubFile") -> bytes:
        """The length and the header of a safetensors file, or what there is where it has none.

        Raises BadInput (``hub-oversized``).
        """
        start = self._start(file, min(file.size, _FIRST_BYTES))
        try:
            whole = LENGTH_BYTES + header_length(start[:LENGTH_BYTES], file.size)
        except ValueError:
            return start[:LENGTH_BYTES]  # whoever reads it says what is wrong with it
        self._take(whole)
        return start[:whole] if whole <= len(start) else self._start(file, whole)

    def _start(self, file: "HubFile", length: int) -> bytes:
        return self._hub.start_of(self._repo, self._commit, file, length)

    def _take(self, count: int) -> None:
        with self._lock:
            self._left -= count
            if self._left < 0:
                what = f"the headers of the model's weights have more than {MAX_MODEL_HEADERS} bytes"
                raise BadInput("hub-oversized", what, where=f"{self._repo}@{self._commit}")


def _hub(context: Context) -> "Hub":
    # huggingface_hub takes a third of a second to import, which only those who use a hub should pay.
    from appliance.tools.hub import Hub  # noqa: PLC0415

    return Hub.from_environment(context.progress.step)
