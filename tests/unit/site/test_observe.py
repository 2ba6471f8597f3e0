"""What a host says that it runs: asked of the host, and of the form that the log takes."""

import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.model.documents.events import KvCache, Observed
from tests.support.container_unit import unit_beside, weight_set
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


UNIT = (
    "[Container]\nExec=--model /srv/model --gpu-memory-utilization 0.92 --kv-cache-dtype auto\n"
    "AddDevice=nvidia.com/gpu=all\n"
)
LOGGED = (
    "INFO 11-22 09:00:00 [kv_cache_utils.py:2328] GPU KV cache size: 440,848 tokens, "
    "Maximum concurrency for 131,072 tokens per request: 3.36x\n"
)  # as vLLM 0.32.0 writes it: v1/core/kv_cache_utils.py


def test_lists_of_weights_are_those_that_the_unit_checks() -> None:
    lists_of = runpy.run_path(str(role_file("evidence", "observe.py")))["lists_of"]
    names = ("tiny.medical", "tiny-legal")
    adapters = [weight_set(name, "x-1", f"/srv/adapters/{name}", name) for name in names]
    assert lists_of(unit_beside(*adapters)) == ["tiny-chat", "tiny-legal", "tiny.medical"]
    draft = weight_set("tiny-chat+draft", "guess-1", "/srv/draft")
    assert lists_of(unit_beside(draft)) == ["tiny-chat", "tiny-chat+draft"]
    assert lists_of(unit_beside()) == ["tiny-chat"]


def test_what_vllm_logged_of_its_cache_is_read() -> None:
    kv_cache = runpy.run_path(str(role_file("evidence", "observe.py")))["kv_cache"]
    read = kv_cache(f"other\n{LOGGED}", UNIT)
    assert read == {"tokens": 440_848, "max_model_len": 131_072, "utilization": "0.92"}
    assert KvCache.model_validate_json(json.dumps(read))
    assert kv_cache(LOGGED.replace("GPU", "CPU"), UNIT) is None
    assert kv_cache("", UNIT) is None
    assert kv_cache(LOGGED, UNIT.replace("--gpu-memory-utilization 0.92", ""))["utilization"] is None
    assert kv_cache(LOGGED.replace("440,848", "9" * 30), UNIT) is None
