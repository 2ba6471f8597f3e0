"""Bundles that carry this project as it is now, and all that its control environment needs.

Wheels come from PyPI once and are kept below ``$APPLIANCE_TEST_CACHE``.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.project import REPOSITORY, Project

_DEFINITION = """\
schema: appliance.definition/v1
name: kit
version: 1.0.0
description: wheels for the control side
wheels:
  control:
    python: "3.13"
    platform: x86_64-manylinux_2_41
    requirements: ["ansible-core==2.19.14", "pip==26.3"]
    projects: [sources, sources/ansible]
    licence: various
"""


@dataclass(frozen=True)
class ControlBundle:
    """A bundle of wheels for Debian 13, and the root document that its receiver trusts."""

    path: Path
    trusted: Path

    @property
    def wheel(self) -> Path:
        """Our own wheel."""
        (path,) = self.path.glob("wheels/control/appliance-*.whl")
        return path

    def copy(self, path: Path) -> "ControlBundle":
        """The same bytes in files of their own, to be spoilt."""
        subprocess.run(["cp", "--recursive", "--reflink=auto", self.path, path], check=True)
        subprocess.run(["chmod", "--recursive", "u+w", path], check=True)
        return ControlBundle(path, self.trusted)


def control_bundle(folder: Path) -> ControlBundle:
    """Build it in ``folder``, of a copy of our sources that nobody edits meanwhile."""
    copy_sources(folder / "sources")
    (folder / "kit.yaml").write_text(_DEFINITION)
    _run(folder, "lock", "kit.yaml")
    return signed_by(folder, "release", trusted="release")


def copy_sources(folder: Path) -> None:
    """Our sources and the playbooks', to build wheels of while the working tree is edited."""
    for name in ("pyproject.toml", "README.md", "LICENSE", "appliance", "ansible"):
        source, target = REPOSITORY / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def signed_by(folder: Path, key: str, *, trusted: str) -> ControlBundle:
    """The bundle with the signature and the root of ``key``, for one who trusts ``trusted``."""
    if not (folder / f"{key}.pem").exists():
        _run(folder, "keys", "new", f"{key}.pem", "--no-passphrase")
        _run(folder, "root", "new", f"{key}.root.json", "--key", f"{key}.pem")
    _run(folder, "build", "kit.yaml", "--key", f"{key}.pem", "--out", key)
    return ControlBundle(folder / key / "kit-1.0.0", folder / f"{trusted}.root.json")


def _run(folder: Path, *arguments: str) -> None:
    store = Path(os.environ.get("APPLIANCE_TEST_CACHE") or Path.home() / ".cache/appliance-tests")
    done = Project(folder).run(*arguments, APPLIANCE_CACHE=str(store / "cache"))
    assert done.returncode == 0, done.stderr
