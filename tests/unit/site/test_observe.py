"""What a host says that it runs: asked of the host, and of the form that the log takes."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.model.documents.events import Observed
from tests.support.role_files import role_file

if shutil.which("dpkg-query") is None:
    pytest.skip("needs dpkg-query: a Debian system", allow_module_level=True)


def observe(*patterns: str) -> "subprocess.CompletedProcess[str]":
    program = role_file("evidence", "observe.py")
    return subprocess.run(
        [sys.executable, "-I", program, *patterns], capture_output=True, text=True, timeout=60, check=False
    )


def test_it_is_what_the_log_takes(tmp_path: Path) -> None:
    (tmp_path / "a unit.service").write_bytes(b"[Unit]\n")
    (tmp_path / "folder.service").mkdir()
    done = observe(f"{tmp_path}/*.service", f"{tmp_path}/none", "/nonexistent/*")
    assert done.returncode == 0, done.stderr
    observed = Observed.model_validate_json(done.stdout)
    assert observed.files == {str(tmp_path / "a unit.service"): hashlib.sha256(b"[Unit]\n").hexdigest()}
    assert observed.packages["dpkg"]
    assert (observed.models, observed.idle) == ({}, ())
    assert json.loads(observe().stdout)["files"] == {}


def test_it_says_the_same_each_time() -> None:
    assert observe("/etc/*").stdout == observe("/etc/*").stdout
