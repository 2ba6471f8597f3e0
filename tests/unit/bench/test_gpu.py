"""The parts of ``python -m tests.bench.gpu`` that need no GPU, with lines that real starts of vLLM have logged."""

import io
import json
import subprocess
import sys
from http.client import IncompleteRead
from pathlib import Path

import pytest

from appliance.model.serving.memory import GIB
from appliance.model.serving.profile import arguments, memory_plan
from tests.bench.gpu.loads import LOADS, Answered, Load, body, figures, read_stream, run_load
from tests.bench.gpu.logged import Logged, compare, overhead_gib, read_log
from tests.bench.gpu.models import shape, write_model
from tests.bench.gpu.report import Measured, memory_table, speed_table
from tests.bench.gpu.ways import PROFILE, WAYS, without
from tests.support.processes import below, wait_for
from tests.support.project import REPOSITORY

# https://github.com/vllm-project/vllm/issues/38820, the first line; the others
# https://github.com/vllm-project/vllm/pull/30515, of another model, whose cache is logged in two lines.
RECORDED = """\
(Worker_TP0 pid=34322) INFO 05-06 20:59:59 [gpu_model_runner.py:4879] Model loading took 12.66 GiB memory and 31.65 seconds
(EngineCore_DP0 pid=387) INFO 03-08 16:44:28 [gpu_model_runner.py:5651] Estimated CUDA graph memory: 0.26 GiB total
(EngineCore_DP0 pid=387) INFO 03-08 16:44:29 [gpu_worker.py:456] Available KV cache memory: 17.36 GiB
(EngineCore_DP0 pid=387) INFO 03-08 16:44:29 [kv_cache_utils.py:1314] GPU KV cache size: 188,640 tokens
(EngineCore_DP0 pid=387) INFO 03-08 16:44:29 [kv_cache_utils.py:1319] Maximum concurrency for 131,072 tokens per request: 5.23x
"""  # noqa: E501
# https://github.com/aivrar/vllm-windows-build/issues/4
GRAPHS = "INFO 05-26 21:34:14 [gpu_model_runner.py:6243] Graph capturing finished in 2 secs, took 0.11 GiB\n"
# As vLLM 0.32.0 writes it in one line: v1/core/kv_cache_utils.py
ONE_LINE = "GPU KV cache size: 440,848 tokens, Maximum concurrency for 131,072 tokens per request: 3.36x\n"


def test_what_vllm_logged_is_read() -> None:
    assert read_log(RECORDED + GRAPHS) == Logged(
        weights_gib=12.66, kv_gib=17.36, tokens=188640, sequences=5.23, graphs_estimated_gib=0.26, graphs_gib=0.11
    )
    assert read_log(ONE_LINE) == Logged(tokens=440848, sequences=3.36)
    assert read_log("") == Logged()


def test_the_plan_is_compared_with_what_was_logged() -> None:
    chosen = shape("llama-3.1-8b")
    plan = memory_plan(chosen.profile)
    assert plan
    log = Logged(weights_gib=14.99, kv_gib=54.78, tokens=448_000, sequences=3.42)

    found = {one.what: one for one in compare(plan, log, 79.11, 0.92)}

    assert found["overhead, GiB"].logged == pytest.approx(79.11 * 0.92 - 14.99 - 54.78)
    assert found["overhead, GiB"].planned == 4
    assert found["weights, GiB"].planned == plan.weights / GIB
    assert found["tokens of KV"].difference == pytest.approx(448_000 / plan.tokens - 1)
    assert overhead_gib(log, None, 0.92) is None
    assert not compare(plan, Logged(), 79.11, 0.92)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-70b-fp8"])
def test_the_profile_is_started_with_its_own_words_but_for_the_weights(name: str) -> None:
    chosen = shape(name)
    words, site = WAYS[PROFILE](chosen), arguments(chosen.profile, chosen.served)
    differs = [(one, other) for one, other in zip(words, site, strict=True) if one != other]
    assert differs == [("dummy", "safetensors")]


def test_each_way_differs_from_the_profile_in_what_it_is_named_after() -> None:
    chosen = shape("llama-3.1-70b-fp8")
    profile = WAYS[PROFILE](chosen)
    assert set(WAYS["without prefix caching"](chosen)) ^ set(profile) == {
        "--enable-prefix-caching",
        "--no-enable-prefix-caching",
    }
    assert WAYS["n-gram speculation"](chosen)[: len(profile)] == profile
    defaults = WAYS["vLLM's defaults"](chosen)
    assert "--kv-cache-dtype" not in defaults
    assert defaults[defaults.index("--max-model-len") + 1] == "16384"


def test_an_option_that_an_older_vllm_lacks_is_left_out_with_its_value() -> None:
    words = ["--a", "1", "--switch", "--b", "2"]
    assert without(words, ["a"]) == ["--switch", "--b", "2"]
    assert without(words, ["switch"]) == ["--a", "1", "--b", "2"]


def test_a_model_has_a_word_for_each_number(tmp_path: Path) -> None:
    chosen = shape("llama-3.1-8b")
    write_model(chosen.model, tmp_path / "model")
    vocabulary = json.loads((tmp_path / "model/tokenizer.json").read_text())["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(128256))
    assert vocabulary["<|python_tag|>"] == 128010
    assert json.loads((tmp_path / "model/config.json").read_text()) == chosen.model.config


def test_prompts_are_the_same_in_each_run_and_differ_from_each_other() -> None:
    load = Load(prompt=64, output=8, at_once=2, requests=4, shared=32)
    prompts = [body("m", load, number)["prompt"] for number in range(4)]
    assert prompts == [body("m", load, number)["prompt"] for number in range(4)]
    assert {len(prompt) for prompt in prompts} == {64}
    assert len({tuple(prompt[:32]) for prompt in prompts}) == 1
    assert len({tuple(prompt[32:]) for prompt in prompts}) == 4
    assert all(load.requests >= load.at_once for load in LOADS)


EVENTS = [
    b'data: {"choices": [{"text": "w1"}], "usage": null}\n',
    b"\n",
    b'data: {"choices": [{"text": "w2 w3"}]}\n',
    b'data: {"choices": [], "usage": {"completion_tokens": 3}}\n',
    b"data: [DONE]\n",
]


def test_a_stream_says_when_the_first_token_came_and_how_many_there_were() -> None:
    assert read_stream(EVENTS, lambda: 7.0) == (7.0, 3)
    with pytest.raises(ValueError, match="no tokens"):
        read_stream(EVENTS[:1], lambda: 7.0)
    with pytest.raises(ValueError, match="broke off: out of memory"):
        read_stream([b'data: {"error": "out of memory"}\n'], lambda: 7.0)


def test_figures_are_of_all_requests_and_of_one() -> None:
    load = Load(512, 101, 2, 2)
    found = figures(load, [Answered(0.5, 2.5, 101), Answered(1.5, 2.5, 101)], 4.0)
    assert (found.ttft_p50, found.ttft_max) == (1000.0, 1500.0)
    assert (found.tokens_per_second, found.tokens_per_second_one) == (50.5, 75.0)


class Answer(io.BytesIO):
    """What the asker reads, with the status of an answer."""

    status = 200


@pytest.mark.parametrize("broken", [IncompleteRead(b"data: "), KeyError("choices"), OSError("gone")], ids=repr)
def test_no_figures_are_made_of_some_of_the_requests(broken: Exception) -> None:
    asked = iter(range(6))

    def ask(_: object) -> Answer:
        if next(asked) == 4:
            raise broken
        return Answer(b"".join(EVENTS))

    with pytest.raises(ValueError, match=r"[1-3] of 6 requests have no whole answer: ") as caught:
        run_load(ask, "m", Load(64, 3, 2, 6))
    assert repr(broken) in str(caught.value)


def test_an_answer_that_is_no_stream_of_a_model_is_told() -> None:
    with pytest.raises(ValueError, match="6 of 6 requests have no whole answer: KeyError"):
        run_load(lambda _: Answer(b'data: {"tokens": 3}\n'), "m", Load(64, 3, 2, 6))
    assert run_load(lambda _: Answer(b"".join(EVENTS)), "m", Load(64, 3, 2, 6)).tokens_per_second > 0


# Stands in for vLLM, whose packages no test machine has: it takes the same words and answers in the same form.
STAND_IN = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer

class Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        usage = {"completion_tokens": asked["max_tokens"]}
        for event in ({"choices": [{"text": "w1"}]}, {"choices": [], "usage": usage}):
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\\n\\n")
        self.wfile.write(b"data: [DONE]\\n\\n")

    def address_string(self):
        return "asker"

words = sys.argv[1:]
if "--kv-cache-dtype" not in words:
    sys.exit("no GPU here: " + " ".join(words))
print("Model loading took 14.99 GiB memory and 1 seconds\\nAvailable KV cache memory: 53.8 GiB", flush=True)
Server(words[words.index("--uds") + 1], Handler).serve_forever()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of packages with a vLLM, and a torch that has no GPU to tell of."""
    folder = tmp_path / "packages"
    (folder / "vllm/entrypoints/openai").mkdir(parents=True)
    (folder / "vllm/entrypoints/openai/api_server.py").write_text(STAND_IN)
    for name, version in (("vllm", "0.31.0"), ("torch", "2.12.0")):
        (folder / f"{name}-{version}.dist-info").mkdir()
        (folder / f"{name}-{version}.dist-info/METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def bench(tmp_path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    argv = [
        sys.executable,
        "-m",
        "tests.bench.gpu",
        "--definition",
        "llama-3.1-8b",
        "--json",
        str(tmp_path / "told.json"),
    ]
    return subprocess.run([*argv, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.usefixtures("stand_in")
def test_each_way_is_started_asked_and_told(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "profile|caching", "--leave-out", "max-num-queued-reqs")

    assert done.returncode == 0, done.stderr
    assert "this is vLLM 0.31.0, and the profiles are written for 0.32.0: see --leave-out" in done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert told["facts"]["gpu"].startswith("none: ModuleNotFoundError")
    profile, other = told["measured"]
    assert (profile["way"], other["way"]) == (PROFILE, "without prefix caching")
    assert "--max-num-queued-reqs" not in profile["arguments"]
    assert profile["logged"] == {"weights_gib": 14.99, "kv_gib": 53.8}
    assert [one["what"] for one in profile["plan"]] == ["weights, GiB", "KV, GiB"]
    assert [one["load"]["at_once"] for one in other["figures"]] == [load.at_once for load in LOADS]
    assert "| llama-3.1-8b | profile | KV, GiB" in done.stdout


@pytest.mark.usefixtures("stand_in")
def test_a_vllm_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "defaults", "--work", str(tmp_path / "work"))

    assert done.returncode == 1
    assert "vLLM has ended with 1:\nno GPU here: --model " in done.stderr
    assert "vLLM's defaults: not measured" in done.stdout
    assert "no GPU here" in (tmp_path / "work/llama-3.1-8b/vllm-s-defaults/log").read_text()
    again = bench(tmp_path, "--work", str(tmp_path / "work"))
    assert (again.returncode, "is already there" in again.stderr) == (2, True)


@pytest.mark.usefixtures("stand_in")
def test_an_engine_ends_with_the_run_that_started_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.bench.gpu", "--definition", "llama-3.1-8b", "--work", str(tmp_path / "work")]
    process = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "work/llama-3.1-8b/profile/s").exists, 60)
    (engine,) = below(process.pid)
    process.terminate()
    assert process.wait(timeout=60) == 143
    wait_for(lambda: not Path(f"/proc/{engine.number}").exists())


def test_the_tables_have_what_was_measured_and_what_was_not() -> None:
    chosen = shape("llama-3.1-8b")
    plan = memory_plan(chosen.profile)
    assert plan
    good = Measured("one", PROFILE, [], compared=compare(plan, Logged(kv_gib=54.7), 79.1, 0.92))
    good.figures.append(figures(LOADS[2], [Answered(0.1, 1.1, 64)], 2.0))
    bad = Measured("one", "vLLM's defaults", [], failed="vLLM has ended with 1")

    memory, speed = memory_table([good, bad]).splitlines(), speed_table([good, bad]).splitlines()

    assert [cell.strip() for cell in memory[2].split("|")[1:-1]] == ["one", PROFILE, "KV, GiB", "53.8", "54.7", "+1.6"]
    row = ["one", PROFILE, "2,304", "2,048", "64", "8", "100.0", "100.0", "32.0", "63.0"]
    assert [cell.strip() for cell in speed[2].split("|")[1:-1]] == row
    assert "vLLM's defaults: not measured" in speed[3]
    assert bad.as_json()["failed"] == "vLLM has ended with 1"
