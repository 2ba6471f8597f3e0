"""What is said of a value that a definition has wrong: the value itself, and no rule in a language of programs."""

from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.steps.documents.definition import read_definition

GOOD = """\
schema: appliance.definition/v1
name: small
version: 1.0.0
description: a set of packages
expires_after_days: 30
wheels:
  control:
    python: "3.13"
    platform: x86_64-manylinux_2_41
    requirements: [pip]
    licence: MIT
os-packages:
  hosts:
    distribution: debian
    suite: trixie
    architecture: amd64
    packages: [nginx]
    licence: various
"""
MISTAKES = {
    "1.10": ("version: 1.0.0", "version: 1.10", "1.10 is not text", 'write it in quotes: "1.10"'),
    "3.10": ('python: "3.13"', "python: 3.10", "3.10 is not text", 'write it in quotes: "3.10"'),
    "a word": ("description: a set of packages", "description: true", "true is not text", '"true"'),
    "nothing": ("description: a set of packages", "description:", "nothing is not text", ""),
    "days in words": ("expires_after_days: 30", "expires_after_days: a month", "'a month' is not a whole number", ""),
    "a part of a day": ("expires_after_days: 30", "expires_after_days: 1.50", "1.50 is not a whole number", ""),
    "too many days": ("expires_after_days: 30", "expires_after_days: 36500", "36500 must be at most 3650", ""),
    "python": ('python: "3.13"', 'python: "3.x"', "'3.x' is not a Python version: write", ""),
    "architecture": (
        "architecture: amd64",
        "architecture: amd65",
        "'amd65' is not a Debian architecture: choose one of amd64",
        "",
    ),
    "suite": ("suite: trixie", "suite: Trixie", "'Trixie' is not a suite", ""),
    "distribution": ("distribution: debian", "distribution: ubuntu", "'ubuntu' must be 'debian'", ""),
    "one package": ("packages: [nginx]", "packages: nginx", "'nginx' is not a list", ""),
    "no package": ("packages: [nginx]", "packages: []", "[] must have at least 1 entry", ""),
    "no mapping": ("  hosts:\n", "  other: nginx\n  hosts:\n", "'nginx' is not a mapping", ""),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_value_is_named_as_it_is_written(mistake: str, tmp_path: Path) -> None:
    before, after, what, hint = MISTAKES[mistake]
    assert before in GOOD
    path = tmp_path / "small.yaml"
    path.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(BadInput) as caught:
        read_definition(path)
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert not set("^$") & set(caught.value.what)


def test_following_the_hint_gives_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(GOOD.replace("version: 1.0.0", "version: 1.10"))
    with pytest.raises(BadInput) as caught:
        read_definition(path)
    path.write_text(GOOD.replace("1.0.0", caught.value.hint.removeprefix("write it in quotes: ")))
    assert read_definition(path).head.version == "1.10"
