"""Follows a page of docs/recipes on a real site, as an operator on its depot does."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tests.site.hosts import CommandFailed, Host
from tests.site.operator import INVENTORY
from tests.support.recipes import Step, missing, steps

_SHELL = ("bash", "-euo", "pipefail", "-c", 'exec 2>&1; eval "$0"')  # all that is said in its order, as on a terminal
# What a shell remembers: where it is, its umask, and its variables.
_STAYS = re.compile(r"cd |umask |\w+=")


def follow(depot: Host, page: str) -> str:
    """Do what ``page`` says; all that was printed.  Raises CommandFailed when it is not what the page says."""
    return follow_steps(depot, steps(page))


def follow_steps(
    depot: Host, some: Sequence[Step], *, before: Sequence[Step] = (), elsewhere: Path | None = None
) -> str:
    """The same for some steps of a page, in the shell of those ``before``.

    What is not typed on the depot (``# where ...``) is typed here, in the directory ``elsewhere``.
    """
    said: list[str] = []
    shell = "".join(map(_remembered, before))
    for step in some:
        if step.kind == "yaml":
            _write(depot, step.text)
        elif step.kind == "sh" and step.text.startswith("# where "):
            assert elsewhere is not None
            said.append(_type_here(elsewhere, step.text))
        elif step.kind == "sh":
            said.append(_type(depot, shell + step.text))
            shell += _remembered(step)
        elif lacking := missing(step.text, said[-1]):
            raise CommandFailed(f"the page promises {lacking[0]!r}, but this came:\n{said[-1]}")
    return "".join(said)


def _remembered(step: Step) -> str:
    return "".join(line for line in step.text.splitlines(keepends=True) if step.kind == "sh" and _STAYS.match(line))


def _write(depot: Host, text: str) -> None:
    """Change the keys that ``text`` has in the file that its first line names, by its path or that in the inventory."""
    path = PurePosixPath(INVENTORY, text.splitlines()[0].removeprefix("# "))
    old = depot.attempt(["cat", str(path)])
    values: dict[str, Any] = yaml.safe_load(old.stdout) if old.returncode == 0 else {}
    depot.put(str(path), json.dumps(values | yaml.safe_load(text)))


def _type(depot: Host, commands: str) -> str:
    return _said(commands, depot.attempt([*_SHELL, commands], timeout=1500))


def _type_here(folder: Path, commands: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*_SHELL, commands], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    return _said(commands, done)


def _said(commands: str, done: "subprocess.CompletedProcess[str]") -> str:
    said = done.stdout
    if done.returncode != 0:
        raise CommandFailed(f"this ended with {done.returncode}:\n{commands}\n{said}")
    return said
