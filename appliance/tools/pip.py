"""pip: where this host's configuration has it look for wheels in directories.

A host without the internet, or with a slow line, keeps wheels in directories and names
them to pip as ``find-links``.  Only such local directories are told here.  Indexes that
pip is configured with are not: which index serves which name is for definitions to say.

Format: ``pip config list`` and "Configuration" of pip.pypa.io.
"""

import ast
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from appliance.errors import Failed
from appliance.tools.run import run

# What moves pip's configuration files; settings themselves do not pass.
_LOCATIONS = ("PIP_CONFIG_FILE", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS")
_OPTION = "find-links"


def wheel_directories() -> tuple[Path, ...]:
    """The local directories among pip's ``find-links`` that exist, in pip's order."""
    configured = os.environ.get("PIP_FIND_LINKS")
    if configured is None:
        configured = _configured()
    paths = (_local(word) for word in configured.split())
    return tuple(path for path in paths if path and path.is_dir())


def wheels_in(directories: Iterable[Path]) -> dict[str, Path]:
    """The readable wheels there by file name; of equal names the first."""
    found: dict[str, Path] = {}
    for directory in directories:
        for path in sorted(directory.glob("*.whl")):
            if os.access(path, os.R_OK):
                found.setdefault(path.name, path)
    return found


def _configured() -> str:
    located = {name: os.environ[name] for name in _LOCATIONS if name in os.environ}
    try:
        text = run([sys.executable, "-m", "pip", "config", "list"], env={**located, "PYTHONSAFEPATH": "1"})
    except Failed:
        return ""  # no pip beside this Python, or none that can read its files: then nothing is configured
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    # A section of a command comes before the global one.
    quoted = values.get(f"install.{_OPTION}") or values.get(f"global.{_OPTION}") or "''"
    return str(ast.literal_eval(quoted))


def _local(word: str) -> Path | None:
    parts = urlsplit(word)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(word).expanduser().absolute()
