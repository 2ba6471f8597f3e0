"""``appliance bench`` against a server that speaks the protocol, over TLS with client certificates."""

import contextlib
import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.forging import put
from tests.support.in_process import Answer, ask
from tests.support.openai_model import Certificates, OpenAIModel, behind_tls, certificates
from tests.support.processes import wait_for
from tests.support.sites import furnished

PROFILE = {
    **{"weights": "w", "image": "i", "task": "chat", "gpus": 0},
    **{"enable_prefix_caching": True, "enable_chunked_prefill": True},
}
SHORT = ("--seconds", "0.5", "--prompt-tokens", "40", "--output-tokens", "5")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, ssl.SSLContext]:
    return certificates(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def model() -> OpenAIModel:
    return OpenAIModel()


@pytest.fixture
def address(pki: tuple[Certificates, ssl.SSLContext], model: OpenAIModel) -> Iterator[str]:
    with behind_tls(model, pki[1]) as address:
        yield address


@pytest.fixture
def words(pki: tuple[Certificates, ssl.SSLContext], address: str, tmp_path: Path) -> list[str]:
    """Without what each test says itself."""
    place = ("--certificates", str(pki[0].client), "--site", str(tmp_path / "no site"))
    return ["bench", "--gateway", address, "--model", "tiny-chat", *place]


def bench(words: list[str], *more: object) -> Answer:
    return ask(*words, *SHORT, *more)


def loads(value: Any) -> list[tuple[int, bool]]:
    return [(step["load"]["concurrency"], step["load"]["shared_prefix"]) for step in value["steps"]]


def test_a_step_says_what_was_asked_answered_and_took_how_long(words: list[str], model: OpenAIModel) -> None:
    model.seconds = 0.01
    done = bench(words, "--concurrency", 4)
    assert (done.code, done.value["schema"], done.value["model"]) == (0, "appliance.bench/v1", "tiny-chat")
    assert loads(done.value) == [(4, False), (4, True)]
    step = done.value["steps"][0]
    assert step["asked"] == step["answered"] > 4
    assert (step["errors"], step["unfinished"]) == ({}, 0)
    assert step["tokens_out"] == 5 * step["answered"]
    assert step["tokens_in"] == 40 * step["answered"]  # the model counts each word, and two for each prompt
    assert 0.01 <= step["ttft"]["p50"] < 0.1
    assert 0.01 <= step["inter_token"]["p50"] < 0.1
    assert 0.05 <= step["end_to_end"]["p50"] < 0.5
    assert step["inter_token"]["count"] == 4 * step["answered"]
    assert model.largest == 4
    assert len(model.prompts) == len(set(model.prompts))  # nothing is asked twice, so that no cache answers


def test_the_same_seed_asks_the_same(words: list[str], model: OpenAIModel) -> None:
    runs = []
    for seed in (1, 1, 2):
        model.bodies.clear()
        bench(words, "--concurrency", 1, "--seed", seed)
        runs.append(model.prompts[:6])
    assert runs[0] == runs[1]
    assert runs[0][2:] != runs[2][2:]
    salts = {body["cache_salt"] for body in model.bodies}
    assert len(salts) == 1
    assert len(salts.pop()) > 40


def test_what_the_queue_refuses_is_a_result_and_more_at_a_time_is_not_asked(
    words: list[str], model: OpenAIModel
) -> None:
    model.places, model.seconds = 2, 0.02
    each = ("--concurrency", 1, "--concurrency", 2, "--concurrency", 16, "--concurrency", 32)
    done = bench(words, *each)
    assert (done.code, done.value["ended"]) == (0, None)
    assert loads(done.value) == [(1, False), (2, False), (16, False), (1, True), (2, True), (16, True)]
    full = done.value["steps"][2]
    assert full["errors"].keys() == {"503"}
    assert full["reasons"] == {"503": "the model's queue is full"}
    assert full["answered"] > 0
    assert full["asked"] == full["answered"] + full["errors"]["503"]
    assert "16 at a time, 40 tokens in, 5 out: half or less was answered" in done.value["notes"][1]


def test_goodput_is_told_under_objectives(words: list[str], model: OpenAIModel) -> None:
    model.seconds = 0.02
    kept = bench(words, "--concurrency", 1, "--ttft", 5, "--inter-token", 5).value["steps"][0]
    assert (kept["goodput"], kept["missed"]) == (1.0, [])
    late = bench(words, "--concurrency", 1, "--ttft", 0.001).value["steps"][0]
    assert (late["goodput"], late["missed"]) == (0.0, ["ttft_p99_seconds"])


@pytest.mark.parametrize("task", ["embedding", "rerank"])
def test_a_model_that_writes_nothing_is_known_by_its_path(words: list[str], model: OpenAIModel, task: str) -> None:
    model.task = task
    done = bench(words, "--concurrency", 2)
    assert (done.code, done.value["settings"]["task"]) == (0, task)
    one, many = done.value["steps"]
    assert (one["load"]["inputs"], many["load"]["inputs"]) == (1, 16)
    assert many["inputs_per_second"] == pytest.approx(16 * many["requests_per_second"], rel=1e-3)
    assert (one["ttft"], one["inter_token"], one["tokens_out"]) == (None, None, 0)
    assert one["end_to_end"]["count"] == one["answered"]


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"breaks_after": 2}, "cut", "the connection was closed within the answer"),
        ({"fails_in_stream": True}, "stream", "the engine failed"),
    ],
)
def test_answers_that_break_are_no_answers(
    words: list[str], model: OpenAIModel, change: dict[str, Any], error: str, reason: str
) -> None:
    for name, value in change.items():
        setattr(model, name, value)
    done = bench(words, "--concurrency", 2)
    assert done.code == 1
    assert "(nothing-answered)" in done.said
    step = done.value["steps"][0]
    assert (step["answered"], step["errors"].keys(), step["reasons"]) == (0, {error}, {error: reason})


def test_a_server_that_dies_ends_the_run_and_what_was_measured_is_kept(
    pki: tuple[Certificates, ssl.SSLContext], tmp_path: Path
) -> None:
    model = OpenAIModel(answers=2 + 30, seconds=0.002)
    with behind_tls(model, pki[1]) as address:
        place = (
            "--certificates",
            str(pki[0].client),
            "--site",
            str(tmp_path / "no site"),
            "--out",
            str(tmp_path / "kept"),
        )
        words = ["bench", "--gateway", address, "--model", "tiny-chat", *place]
        done = bench(words, "--concurrency", 1, "--concurrency", 2, "--seconds", "0.3")
    assert done.code == 1
    assert "(gateway-lost)" in done.said
    assert done.value["ended"] == "connection lost"
    (kept,) = (tmp_path / "kept").glob("*.json")
    told = json.loads(kept.read_text())
    assert told["ended"] == "connection lost"
    assert told["steps"][0]["answered"] > 0
    assert told["steps"][-1]["errors"].keys() == {"connection"}


def test_it_is_kept_for_few_and_never_replaced(words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "a new/place"
    done = [bench(words, "--concurrency", 1, "--out", folder) for _ in range(2)]
    files = sorted(folder.iterdir())
    assert sorted(file.suffix for file in files) == [".html", ".html", ".json", ".json"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o640}
    assert all(file.name.startswith("tiny-chat-20") for file in files)
    told = [json.loads(file.read_text()) for file in files if file.suffix == ".json"]
    assert [one.value["comparison"] is None for one in done] == [True, False]
    assert sorted(told, key=lambda one: bool(one["comparison"])) == [one.value for one in done]
    page = next(file for file in files if file.suffix == ".html").read_text()
    assert "What tiny-chat carries" in page
    assert "http" not in page.replace("https://localhost", "").replace("http-equiv", "")  # nothing is fetched


def test_what_has_become_worse_is_named_and_fails_only_when_it_is_asked_to(
    words: list[str], model: OpenAIModel, tmp_path: Path
) -> None:
    out = ("--concurrency", 1, "--out", tmp_path / "out")
    bench(words, *out)
    model.seconds = 0.03
    slower = bench(words, *out)
    assert slower.code == 0
    figures = {one["figure"] for one in slower.value["comparison"]["regressions"]}
    assert {"ttft_p50", "inter_token_p50", "tokens_out_per_second"} <= figures
    model.seconds = 0.1
    assert bench(words, *out, "--fail-on-regression", "--tolerance", 100_000).code == 0
    model.seconds = 0.2
    # A failure that was asked for still tells what was measured.
    failed = subprocess_bench(words, *SHORT, *out, "--fail-on-regression")
    assert failed.returncode == 1
    assert "worse: 1 at a time, 40 tokens in, 5 out: ttft_p50 is 2" in failed.stdout
    other = bench(words, "--concurrency", 2, "--out", tmp_path / "out")
    assert other.value["comparison"] is None  # of other settings


def test_a_file_that_is_none_of_ours_is_passed_over(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/tiny-chat-20261122T000000Z.json").write_text('{"schema": "appliance.bench/v9"}')
    told = subprocess_bench(words, *SHORT, "--concurrency", "1", "--out", str(tmp_path / "out"))
    assert told.returncode == 0
    assert "not compared with" in told.stderr
    assert "there is no earlier run" in told.stdout


def test_a_model_that_is_not_served(words: list[str]) -> None:
    words[words.index("tiny-chat")] = "llama"
    refused = bench(words)
    assert (refused.code, refused.reference) == (2, "model-not-served")
    assert refused.value["error"]["expected"] == "one of: tiny-chat"


def test_a_certificate_that_is_refused(
    words: list[str], pki: tuple[Certificates, ssl.SSLContext], model: OpenAIModel
) -> None:
    words[words.index(str(pki[0].client))] = str(pki[0].stranger)
    refused = bench(words)
    assert (refused.code, refused.reference) == (2, "certificate-refused")
    assert "gateway_clients" in refused.value["error"]["hint"]
    assert model.bodies == []


def test_a_gateway_of_another_site_is_not_trusted(
    words: list[str], pki: tuple[Certificates, ssl.SSLContext], model: OpenAIModel
) -> None:
    refused = bench(words, "--ca", pki[0].other_site / "ca.pem")
    assert (refused.code, refused.reference) == (3, "gateway-not-trusted")
    assert model.bodies == []


def test_a_gateway_by_a_name_that_its_certificate_does_not_have(words: list[str], address: str) -> None:
    words[words.index(address)] = address.replace("localhost", "127.0.0.1")
    refused = bench(words)
    assert (refused.code, refused.reference) == (3, "gateway-not-trusted")


@pytest.mark.parametrize(
    ("gateway", "reference"),
    [
        ("http://localhost:1", "gateway-address"),
        ("https://localhost:1/v1/models", "gateway-address"),
        ("https://user@localhost", "gateway-address"),
        ("https://localhost:99999", "gateway-address"),
        ("https://localhost:1", "gateway-unreachable"),
    ],
)
def test_an_address_that_leads_nowhere(words: list[str], address: str, gateway: str, reference: str) -> None:
    words[words.index(address)] = gateway
    refused = bench(words)
    assert (refused.code, refused.reference) == (2, reference)


def test_certificates_that_cannot_be_read(words: list[str], tmp_path: Path) -> None:
    words[words.index("--certificates") + 1] = str(tmp_path)
    refused = bench(words)
    assert (refused.code, refused.reference) == (2, "certificate-unreadable")
    assert refused.value["error"]["where"] == str(tmp_path / "ca.pem")


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(
    words: list[str], model: OpenAIModel, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    refused = bench(words, "--out", tmp_path / "file/below")
    assert (refused.code, refused.reference) == (2, "not-writable")
    assert model.bodies == []


def test_no_proxy_is_asked(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert bench(words, "--concurrency", 1).code == 0


def test_the_sites_bundle_says_what_the_model_takes(words: list[str], tmp_path: Path) -> None:
    limits = {"max_model_len": 100, "max_num_seqs": 3, "max_num_queued_reqs": 2}
    site = furnished(tmp_path / "site", put("serving", {"tiny-chat": PROFILE | limits}))
    words[words.index("--site") + 1] = str(site)
    done = ask(*words, "--seconds", "0.2")
    assert (done.value["bundle"]["name"], done.value["bundle"]["version"]) == ("tiny", "1.0.0")
    found = done.value["settings"]["loads"]
    assert sorted({load["concurrency"] for load in found}) == [1, 2, 3, 4, 5, 7]
    assert max(load["prompt_tokens"] + load["output_tokens"] for load in found) <= 100
    assert [path.parent for path in site.glob("bench/*.json")] == [site / "bench"]


@contextlib.contextmanager
def started(words: list[str], *more: object) -> "Iterator[subprocess.Popen[str]]":
    """The command in a process of its own, which ends with the test."""
    argv = [sys.executable, "-m", "appliance", *words, *map(str, more)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def subprocess_bench(words: list[str], *more: object, **kinds: Any) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "appliance", *words, *map(str, more)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, **kinds)


def test_without_a_terminal_it_prints_lines_and_tables_without_colours(words: list[str]) -> None:
    told = subprocess_bench(words, *SHORT, "--concurrency", "1", env={**os.environ, "TERM": "xterm"})
    assert told.returncode == 0
    assert "\x1b" not in told.stdout + told.stderr
    assert told.stderr.splitlines() == [
        "> step 1 of 2: 1 at a time, 40 tokens in, 5 out",
        "> step 2 of 2: 1 at a time, 40 tokens in, 5 out, half of them shared",
    ]
    lines = told.stdout.splitlines()
    head = next(line for line in lines if line.lstrip().startswith("tokens in"))
    assert head.split("  ")[0] == "tokens in"
    assert "kept nowhere: give --out" in lines[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_whole_steps_and_says_so(
    words: list[str], model: OpenAIModel, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    with started(words, *SHORT, "--concurrency", 1, "--concurrency", 2, "--out", out) as run:
        stderr = run.stderr
        assert stderr
        wait_for(lambda: "step 2 of" in stderr.readline(), 20)
        time.sleep(0.2)
        run.send_signal(number)
        said, errors = run.communicate(timeout=20)
    assert run.returncode == 130
    assert errors.endswith("interrupted: 1 of 4 steps are kept\n")
    assert "Traceback" not in errors
    (kept,) = out.glob("*.json")
    told = json.loads(kept.read_text())
    assert (told["ended"], len(told["steps"])) == ("interrupted", 1)
    assert str(kept) in said
    wait_for(lambda: model.now == 0, 10)  # the model is told that nobody waits


def test_an_interruption_before_the_first_step_keeps_nothing(
    words: list[str], model: OpenAIModel, tmp_path: Path
) -> None:
    model.seconds = 0.5
    with started(words, *SHORT, "--out", tmp_path / "out") as run:
        wait_for(lambda: len(model.bodies) > 3, 20)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=20)
    assert run.returncode == 130
    assert errors.endswith("interrupted: 0 of 14 steps are kept\n")
    assert list((tmp_path / "out").iterdir()) == []
