"""Follows a page of docs/recipes on a real site, as an operator on its depot does."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from tests.site.hosts import CommandFailed, Host
from tests.site.operator import INVENTORY
from tests.support.recipes import Step, missing, steps


def follow(depot: Host, page: str, *, instead: Mapping[str, str] | None = None) -> str:
    """Do what ``page`` says; all that was printed.  Raises CommandFailed when it is not what the page says.

    ``instead`` has words of the page that differ at this site.  The first block of commands
    says where the others are typed.
    """
    said: list[str] = []
    begin = ""
    for step in (_here(step, instead or {}) for step in steps(page)):
        if step.kind == "yaml":
            _write(depot, step.text)
        elif step.kind == "sh":
            begin = begin or step.text
            said.append(_type(depot, step.text if step.text == begin else begin + step.text))
        elif lacking := missing(step.text, said[-1]):
            raise CommandFailed(f"{page} promises {lacking[0]!r}, but this came:\n{said[-1]}")
    return "".join(said)


def _here(step: Step, instead: Mapping[str, str]) -> Step:
    text = step.text
    for word, other in instead.items():
        text = text.replace(word, other)
    return Step(step.kind, text)


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
