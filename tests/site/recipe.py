"""Follows a page of docs/recipes on a real site, as an operator on its depot does."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from tests.site.hosts import CommandFailed, Host
from tests.site.operator import INVENTORY
from tests.support.recipes import Step, missing, steps

# What a shell remembers: where it is, and its variables.
_STAYS = re.compile(r"cd |\w+=")


def follow(depot: Host, page: str) -> str:
    """Do what ``page`` says; all that was printed.  Raises CommandFailed when it is not what the page says."""
    return follow_steps(depot, steps(page))


def follow_steps(depot: Host, some: Sequence[Step]) -> str:
    """The same for some steps of a page."""
    said: list[str] = []
    before = ""
    for step in some:
        if step.kind == "yaml":
            _write(depot, step.text)
        elif step.kind == "sh":
            said.append(_type(depot, before + step.text))
            before += "".join(line for line in step.text.splitlines(keepends=True) if _STAYS.match(line))
        elif lacking := missing(step.text, said[-1]):
            raise CommandFailed(f"the page promises {lacking[0]!r}, but this came:\n{said[-1]}")
    return "".join(said)


def _write(depot: Host, text: str) -> None:
    """Change the keys that ``text`` has in the file of the inventory that its first line names."""
    path = PurePosixPath(INVENTORY, text.splitlines()[0].removeprefix("# "))
    old = depot.attempt(["cat", str(path)])
    values: dict[str, Any] = yaml.safe_load(old.stdout) if old.returncode == 0 else {}
    depot.put(str(path), json.dumps(values | yaml.safe_load(text)))


def _type(depot: Host, commands: str) -> str:
    done: subprocess.CompletedProcess[str] = depot.attempt(["bash", "-euo", "pipefail", "-c", commands], timeout=1500)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise CommandFailed(f"this ended with {done.returncode}:\n{commands}\n{said}")
    return said
