"""The wheels of a bundle that make the control environment.

SHA256SUMS says what they have to be.  Whether that list is the signed one is not known
here: the import, which these wheels make possible, verifies that.
"""

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance.bootstrap.problem import BAD_INPUT, NOT_TRUSTED, Problem

REQUIREMENTS = "requirements.txt"
_CHUNK = 1024 * 1024
_MAX_SUMS = 256 * 1024 * 1024
_LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  wheels/(?P<set>[a-z0-9._-]+)/(?P<file>[A-Za-z0-9][A-Za-z0-9._+-]*)")
_ONE_PYTHON = re.compile(r"-(cp3[0-9]+)-\1-")


@dataclass(frozen=True)
class Wheels:
    """``wheels/<set>`` of a bundle: the directory, and SHA-256 by file name as listed."""

    folder: Path
    digests: Mapping[str, str]

    @property
    def pip(self) -> Path:
        """The wheel that installs all of them; pip runs from it as it is."""
        (name,) = _named(self.digests, "pip")
        return self.folder / name

    @property
    def requirements(self) -> Path:
        """What is installed, with hashes."""
        return self.folder / REQUIREMENTS

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum((self.folder / name).stat().st_size for name in self.digests)


def find_wheels(bundle: Path) -> Wheels:
    """The one set of wheels that holds the appliance, pip, and works with this Python.

    Raises Problem (bad input).
    """
    found = [wheels for wheels in _listed(bundle) if _named(wheels.digests, "appliance")]
    if len(found) != 1:
        raise Problem(
            BAD_INPUT,
            f"exactly one set of wheels must hold the appliance itself, SHA256SUMS lists {len(found)}",
            where=bundle / "wheels",
        )
    (wheels,) = found
    if len(_named(wheels.digests, "pip")) != 1 or REQUIREMENTS not in wheels.digests:
        raise Problem(
            BAD_INPUT,
            "the bundle does not carry pip beside the appliance",
            where=wheels.folder,
            hint="ask whoever builds the bundle to add pip to the requirements of this set of wheels",
        )
    needed = {match[1] for name in wheels.digests for match in [_ONE_PYTHON.search(name)] if match}
    own = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if needed and needed != {own}:
        raise Problem(
            BAD_INPUT,
            f"the bundle's wheels are for {', '.join(sorted(needed))}, this Python is {own}",
            where=sys.executable,
            hint="run it with the Python of the system that the bundle was made for",
        )
    return wheels


def copy_wheels(wheels: Wheels, folder: Path) -> Wheels:
    """Copy into ``folder``, hashing what is written.

    What was compared is then what is used, even if the medium shows other bytes when it is
    read again.  Raises Problem (not trusted).
    """
    folder.mkdir()
    for name, digest in wheels.digests.items():
        if (found := _copy(wheels.folder / name, folder / name)) != digest:
            raise Problem(
                NOT_TRUSTED,
                f"not the file that SHA256SUMS lists: expected {digest}, found {found}",
                where=wheels.folder / name,
                hint="do not use the bundle: carry it again from where it was built",
            )
    return Wheels(folder, wheels.digests)


def _listed(bundle: Path) -> list[Wheels]:
    with _open(bundle / "SHA256SUMS") as file:
        text = file.read(_MAX_SUMS).decode("utf-8", "replace")
    sets: dict[str, dict[str, str]] = {}
    for match in filter(None, map(_LINE.fullmatch, text.split("\n"))):
        sets.setdefault(match["set"], {})[match["file"]] = match["digest"]
    return [Wheels(bundle / "wheels" / name, digests) for name, digests in sets.items() if name.strip(".")]


def _named(names: Mapping[str, str], project: str) -> list[str]:
    return [name for name in names if name.startswith(f"{project}-") and name.endswith(".whl")]


def _copy(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with _open(source) as reading, target.open("xb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            writing.write(chunk)
    return digest.hexdigest()


def _open(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError as error:
        raise Problem(
            BAD_INPUT,
            f"this cannot be read: {error.strerror}",
            where=path,
            hint="name the bundle's own directory, the one that holds SHA256SUMS",
        ) from None
