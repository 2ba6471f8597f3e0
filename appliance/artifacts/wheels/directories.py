"""Wheels that this host keeps in directories: a mirror, and no more than that.

For resolving, a directory stands in for the index that a package is bound to, and only
for packages that are bound, so that it never decides where others come from.  For
fetching it is a short cut to bytes that the lock names.  A lock never names a directory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from packaging.utils import canonicalize_name

from appliance.artifacts.base import Context
from appliance.errors import NotTrusted
from appliance.formats.wheel import check_wheel, write_metadata_only
from appliance.model.documents.lock import LockedFile
from appliance.model.documents.wheel_set import WheelSet
from appliance.tools import pip
from appliance.tools.http import CHUNK


@dataclass(frozen=True)
class StandIn:
    """What a host keeps of one package.

    ``folder`` holds, for the resolver, a wheel with nothing but metadata for each of
    ``wheels``, which are known by file name.  ``index`` is where everybody else looks.
    """

    folder: Path
    wheels: Mapping[str, Path]
    index: str

    def lock(self, filename: str, context: Context) -> LockedFile:
        """Keep the wheel in the sink.  Its URL is the file's below the index."""
        content = context.sink.copy_in(self.wheels[filename])
        url = f"{self.index}/{quote(filename)}"
        return LockedFile(path=filename, sha256=content.sha256, size=content.size, url=url)


def stand_ins(wheels: WheelSet, context: Context, work: Path) -> dict[str, StandIn]:
    """By package; ``work`` is a scratch directory.  Raises NotTrusted (``wheel-malformed``)."""
    bound = wheels.bindings()
    kept: dict[str, dict[str, Path]] = {}
    for filename, path in pip.wheels_in(pip.wheel_directories() if bound else ()).items():
        package: str = canonicalize_name(filename.split("-", 1)[0])
        if package in bound and wheels.choose([filename]):
            kept.setdefault(package, {})[filename] = path
    found: dict[str, StandIn] = {}
    for package, paths in kept.items():
        folder = work / package
        folder.mkdir(parents=True)
        for filename, path in paths.items():
            with path.open("rb") as whole, (folder / filename).open("wb") as part:
                check_wheel(whole, filename)
                write_metadata_only(whole, part)
        places = ", ".join(sorted({str(path.parent) for path in paths.values()}))
        context.progress.step(f"{package}: {places} stands in for {bound[package].url}")
        found[package] = StandIn(folder, paths, bound[package].url)
    return found


def take(files: Sequence[LockedFile], context: Context) -> None:
    """Bring those of ``files`` into the sink that a directory has, byte for byte."""
    local = pip.wheels_in(pip.wheel_directories() if files else ())
    for file in files:
        path = local.get(file.path)
        if path is None or path.stat().st_size != file.size:
            continue
        try:
            with path.open("rb") as held, context.sink.receive(file) as receiver:
                held.seek(receiver.offset)
                while chunk := held.read(CHUNK):
                    receiver.write(chunk)
        except NotTrusted:
            # Only a short cut: the index may still have the right file.
            context.progress.step(f"{path} holds different bytes than the lock names and is skipped")
