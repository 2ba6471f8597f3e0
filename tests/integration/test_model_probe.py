"""The program that asks a model whether it is ready, and watches whether it lives."""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import wait_for
from tests.support.role_files import role_file
from tests.support.vllm_socket import FakeModel, fake_model

pytestmark = pytest.mark.integration

HUNG = 3
ANSWERS = {
    "chat": b'{"choices":[{}],"usage":{"completion_tokens":1}}',
    "embedding": b'{"data":[{"embedding":[0.5,-0.25]}]}',
    "rerank": b'{"results":[{"index":0,"document":{"text":"I am."},"relevance_score":0.0}]}',
}


def command(verb: str, path: object, task: str, seconds: float, process: int | None = None) -> list[str]:
    """As hosts run it: without the environment's Python paths; ``process``, if not the test itself, is the model's."""
    limit = ["--process", str(process or os.getpid()), "--seconds"] if verb == "wait" else ["--stall"]
    program = str(role_file("vllm", "probe.py"))
    return [sys.executable, "-I", program, verb, str(path), "m", task, *limit, str(seconds)]


def probe(verb: str, path: object, task: str, seconds: float) -> "subprocess.CompletedProcess[str]":
    argv = command(verb, path, task, seconds)
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@contextlib.contextmanager
def model(folder: Path) -> Iterator[tuple[str, FakeModel]]:
    """A model behind a socket whose path is short enough for the program."""
    with contextlib.ExitStack() as stack:
        fake = stack.enter_context(fake_model(folder / "vllm"))
        handle = os.open(folder / "vllm", os.O_PATH)
        stack.callback(os.close, handle)
        yield f"/proc/{os.getpid()}/fd/{handle}/api.sock", fake


# Until it answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", ANSWERS)
def test_a_model_that_answers_is_ready_and_warmed(tmp_path: Path, task: str) -> None:
    with model(tmp_path) as (path, fake):
        fake.answer = ANSWERS[task]
        done = probe("wait", path, task, 5)
    assert done.returncode == 0, done.stderr
    assert len(fake.arrived) == 2
    assert done.stdout.startswith("m answers after")


def test_nobody_waits_for_a_model_whose_process_has_ended(tmp_path: Path) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        argv = command("wait", tmp_path / "none.sock", "chat", 1800, process.pid)
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.communicate(timeout=1)
            process.communicate()
            said = waiting.communicate(timeout=60)[1]
    assert (waiting.returncode, "its process has ended; last:" in said) == (1, True)
    late = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (late.returncode, late.stderr) == (1, "m does not answer: its process has ended\n")


@pytest.mark.parametrize(
    ("task", "status", "answer", "said"),
    [
        ("chat", 200, b'{"choices":[],"usage":{"completion_tokens":0}}', "200 without a result"),
        ("chat", 200, b"<html>", "200 without a result"),
        ("chat", 200, b"[" * 100_000, "200 without a result"),
        ("embedding", 200, b'{"data":[{"embedding":[0.0,0.0]}]}', "200 without a result"),
        ("embedding", 200, b'{"data":[{"embedding":[NaN]}]}', "200 without a result"),
        ("rerank", 200, b'{"results":[]}', "200 without a result"),
        ("rerank", 200, b'{"results":[{"relevance_score":NaN}]}', "200 without a result"),
        ("rerank", 200, b'{"results":[{"relevance_score":"0.5"}]}', "200 without a result"),
        ("chat", 500, b"engine died\x1b[2J", r"answers 500: 'engine died\x1b[2J'"),
        ("chat", 503, b"", "the queue is full"),
    ],
)
def test_what_is_no_answer_is_told(tmp_path: Path, task: str, status: int, answer: bytes, said: str) -> None:
    with model(tmp_path) as (path, fake):
        fake.status, fake.answer = status, answer
        done = probe("wait", path, task, 0)
    assert done.returncode == 1
    assert said in done.stderr


def test_nobody_there_is_told(tmp_path: Path) -> None:
    done = probe("wait", tmp_path / "api.sock", "chat", 0)
    assert done.returncode == 1
    assert "m does not answer: no answer within 0 s; last:" in done.stderr


# For as long as it lives --------------------------------------------------------------------


def figures(requests: int, tokens: float = 7, rejections: int = 0, use: float = 0.5) -> str:
    """As vLLM 0.32.0 writes them."""
    labels = '{engine="0",model_name="m"}'
    return (
        "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
        f"vllm:num_requests_running{labels} {float(requests)}\n"
        f"vllm:num_requests_waiting{labels} 0.0\n"
        f"vllm:kv_cache_usage_perc{labels} {use}\n"
        f"vllm:generation_tokens_total{labels} {tokens}\n"
        f'vllm:admission_rejections_total{{model_name="m",reason="max_num_queued_reqs"}} {rejections}.0\n'
        f"process_cpu_seconds_total {rejections}\n"
    )


def test_an_engine_that_works_and_does_nothing_is_hung_whatever_clients_do(tmp_path: Path) -> None:
    rejected = itertools.count()
    with model(tmp_path) as (path, fake):
        fake.metrics = lambda: figures(requests=2, rejections=next(rejected))
        done = probe("watch", path, "chat", 2)
    assert (done.returncode, fake.arrived) == (HUNG, [])
    assert "m does not answer: 2 requests run or wait, but no figure of the engine moves; for" in done.stderr


@pytest.mark.parametrize("moving", ["tokens", "use"])
def test_an_engine_whose_figures_move_is_left_alone(tmp_path: Path, moving: str) -> None:
    """Also one that takes a long prompt in pieces: no token comes, the KV cache fills."""
    seen = itertools.count(1)
    with model(tmp_path) as (path, fake):
        fake.metrics = lambda: figures(requests=1, **{moving: next(seen) / 1000})  # type: ignore[arg-type]
        assert lives(command("watch", path, "chat", 6), lambda: next(seen) > 6)


@pytest.mark.parametrize("metrics", [lambda: figures(requests=0), str], ids=["idle", "without figures"])
@pytest.mark.parametrize("task", ANSWERS)
def test_an_idle_engine_is_asked_for_something_real(tmp_path: Path, task: str, metrics: Callable[[], str]) -> None:
    with model(tmp_path) as (path, fake):
        fake.metrics, fake.answer = metrics, ANSWERS[task]
        assert lives(command("watch", path, task, 6), lambda: len(fake.arrived) > 1)


def test_an_idle_engine_that_does_not_answer_is_hung(tmp_path: Path) -> None:
    with model(tmp_path) as (path, fake):
        fake.metrics = lambda: figures(requests=0)
        fake.hangs = True
        done = probe("watch", path, "chat", 2)
        fake.go_on.set()
    assert (done.returncode, len(fake.arrived)) == (HUNG, 1)
    assert "it has nothing to do, but a request is not answered" in done.stderr


def test_a_server_that_does_not_answer_at_all_is_hung(tmp_path: Path) -> None:
    done = probe("watch", tmp_path / "api.sock", "chat", 2)
    assert done.returncode == HUNG
    assert "No such file or directory" in done.stderr


def lives(argv: list[str], enough: Callable[[], bool]) -> bool:
    """Whether the watch is still there when it has seen enough."""
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as watch:
        try:
            wait_for(lambda: watch.poll() is not None or enough(), 60, pause=0.1)
            return watch.poll() is None
        finally:
            watch.kill()
