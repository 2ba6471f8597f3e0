"""flit: makes a wheel of a source tree of our own, the same bytes wherever it is made.

flit_core sorts its files and takes times from SOURCE_DATE_EPOCH.  What may still differ
between two hosts is kept out: the tree is copied without caches, hidden files and
editors' remains, and the archive is written again uncompressed with fixed modes, because
zlib and zlib-ng pack differently.  Nothing of the tree is run that flit does not run, no
network is used, and the tree is not written to.

Format: ``[build-system]``, ``[project]`` and ``[tool.flit]`` of flit.pypa.io.
"""

import importlib.metadata
import re
import shutil
import stat
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from appliance.errors import BadInput
from appliance.tools.run import run

_BACKEND = "flit_core.buildapi"
_EPOCH = "315532800"  # 1980-01-01, the earliest time that a zip file can say
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_LEGAL = ("COPYING*", "LICENSE*", "LICENCE*", "NOTICE*", "AUTHORS*")
_JUNK = re.compile(r"\..*|__pycache__|.*\.py[co]|.*~|#.*#|.*\.(?:orig|rej|bak|swp)")


def build_wheel(project: Path, work: Path) -> Path:
    """The wheel of the source tree ``project``, made in the scratch directory ``work``.

    Raises BadInput: ``project-unreadable``, ``project-backend``, ``project-link``; Failed
    when flit does.
    """
    settings = _read_settings(project)
    _check_backend(settings, project)
    source, made = work / "source", work / "made"
    made.mkdir(parents=True)
    for path in _needed(project, settings):
        target = source / path.relative_to(project)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    run(
        [sys.executable, "-m", "flit_core.wheel", "--outdir", made, source],
        env={"SOURCE_DATE_EPOCH": _EPOCH, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"},
    )
    (wheel,) = made.glob("*.whl")
    return _write_plain(wheel, work / wheel.name)


def _read_settings(project: Path) -> dict[str, Any]:
    path = project / "pyproject.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            "project-unreadable",
            f"this is not a source tree with a readable pyproject.toml: {error}",
            where=str(path),
            hint="'projects' are directories relative to the definition",
        ) from None


def _check_backend(settings: dict[str, Any], project: Path) -> None:
    system = settings.get("build-system", {})
    where = str(project / "pyproject.toml")
    if system.get("build-backend") != _BACKEND or "name" not in settings.get("project", {}):
        raise BadInput(
            "project-backend",
            "only source trees that flit builds give the same wheel each time",
            where=where,
            expected=f"build-backend {_BACKEND}",
            found=str(system.get("build-backend")),
        )
    for text in system.get("requires", []):
        requirement = Requirement(text)
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            installed = "none"
        if installed == "none" or not requirement.specifier.contains(installed, prereleases=True):
            raise BadInput(
                "project-backend",
                "the wheel must be built with what its source tree requires",
                where=where,
                expected=text,
                found=installed,
                hint=f"install it beside the appliance: pip install {text}",
            )


def _needed(project: Path, settings: dict[str, Any]) -> Iterator[Path]:
    """The files that flit reads: no more of a tree is copied."""
    yield project / "pyproject.toml"
    metadata = settings["project"]
    readme = metadata.get("readme")
    named = readme.get("file") if isinstance(readme, dict) else readme
    patterns = [*_LEGAL, *metadata.get("license-files", []), *([named] if named else [])]
    for path in {path for pattern in patterns if ".." not in pattern for path in project.glob(pattern)}:
        yield from _tree(path)
    name = settings.get("tool", {}).get("flit", {}).get("module", {}).get("name", metadata["name"].replace("-", "_"))
    for parent in (project, project / "src"):
        yield from _tree(parent / name.replace(".", "/"))
        yield from _tree(parent / f"{name.replace('.', '/')}.py")


def _tree(path: Path) -> Iterator[Path]:
    if path.is_symlink():
        raise BadInput("project-link", "a source tree for a wheel must not hold links", where=str(path))
    if path.is_file():
        yield path
    elif path.is_dir():
        for entry in sorted(path.iterdir()):
            if not _JUNK.fullmatch(entry.name):
                yield from _tree(entry)


def _write_plain(wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as plain:
        for name in source.namelist():
            member = zipfile.ZipInfo(name, _ZIP_TIME)
            member.create_system = 3  # Unix, or the mode is not read
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            plain.writestr(member, source.read(name))
    return target
