"""Programs that ask a host what it has, run here: what they say, as roles read it."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.support.role_files import filters, role_file

if shutil.which("dpkg-query") is None:
    pytest.skip("needs dpkg-query: a Debian system", allow_module_level=True)

PREFLIGHT = filters("preflight")


def ask(role: str, program: str, *arguments: str, path: str = os.environ["PATH"]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(
        subprocess.run(
            [sys.executable, "-I", role_file(role, program), *arguments],
            env={"PATH": path},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )
    return said


def test_missing_packages_are_named_in_order() -> None:
    said = ask("os_packages", "missing.py", "no-such-package", "dpkg", "another-one")
    assert said["missing"] == ["no-such-package", "another-one"]
    assert {type(said["unfinished"]), type(said["python_apt"])} == {bool}


def test_a_host_says_what_preflight_judges() -> None:
    said = ask("preflight", "look.py", "localhost", "/nonexistent")
    assert said["depot"]
    assert said["memory_mib"] > 0
    assert said["time"].endswith("Z")
    assert PREFLIGHT.disk_complaints(said["disk"], [{"what": "all", "paths": ["/srv", "/"], "bytes": 1 << 60}], 0)
    assert PREFLIGHT.port_complaints(said["listening"], []) == []


def test_a_bare_host_without_those_programs_says_what_it_can() -> None:
    said = ask("preflight", "look.py", "localhost", "/nonexistent", path="/nonexistent")
    assert (said["depot"], said["disk"], said["listening"]) == ([], "", "")
    assert said["kernel"]
