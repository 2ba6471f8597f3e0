"""A reranker by the demo's vLLM: a profile of the task ``rerank`` is enough, and answers mean something."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from appliance.formats.completions import Usage, read_answer
from appliance.model.serving.profile import ServingProfile, arguments
from appliance.model.serving.tasks import ENGINES
from appliance.steps.bench.questions import Questions
from tests.support.cross_encoder import CONTEXT, cross_encoder
from tests.support.role_files import role_file
from tests.support.vllm_host import Image, Server, serving

pytestmark = [pytest.mark.integration, pytest.mark.demo]

PROFILE = ServingProfile(
    weights="tiny",
    image="vllm-cpu",
    task="rerank",
    gpus=0,
    max_model_len=CONTEXT,
    gpu_memory_utilization=0.1,
    dtype="float32",
    enable_prefix_caching=False,
    enable_chunked_prefill=False,
    max_num_seqs=16,
    max_num_batched_tokens=2048,
    max_num_queued_reqs=64,
    options={"enforce-eager": True},
)
DOCUMENTS = ("dog sun tree", "cat mat", "cat sun tree")
FORM = ENGINES["vllm"]["rerank"]


@pytest.fixture(scope="module")
def server(demo_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model that knows by construction which words are shared."""
    folder = tmp_path_factory.mktemp("rerank")
    try:
        cross_encoder(folder / "model")
        with serving(demo_image, folder / "model", arguments(PROFILE, "tiny"), folder / "server") as server:
            server.wait(FORM.paths[0], {"model": "tiny", **FORM.question})
            yield server
    finally:
        shutil.rmtree(folder)


def ranked(server: Server, path: str, query: str, documents: Sequence[str] = DOCUMENTS) -> list[tuple[int, float]]:
    answer = server.post(path, {"model": "tiny", "query": query, "documents": documents})
    assert answer.status == 200, answer.body
    return [(result["index"], result["relevance_score"]) for result in answer.json()["results"]]


@pytest.mark.parametrize("path", FORM.paths)
def test_documents_come_in_the_order_of_what_they_share_with_the_query(server: Server, path: str) -> None:
    first, second, third = ranked(server, path, "cat mat")
    assert [first[0], second[0], third[0]] == [1, 2, 0]
    assert 1 > first[1] > second[1] + 0.1 > third[1] + 0.2 > 0.2
    assert [index for index, _ in ranked(server, path, "dog sun tree")] == [0, 2, 1]


def test_what_is_too_long_or_no_text_is_refused(server: Server) -> None:
    picture = {"content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/x.png"}}]}
    for documents in (["cat " * CONTEXT], [picture], []):
        answer = server.post(FORM.paths[0], {"model": "tiny", "query": "cat", "documents": documents})
        assert answer.status == 400, (documents, answer.body)


def test_the_probe_of_a_host_takes_it_for_ready(server: Server) -> None:
    with server.socket() as path:
        argv = [sys.executable, "-I", str(role_file("vllm", "probe.py")), "wait", path, "tiny", "rerank"]
        done = subprocess.run(
            [*argv, "--seconds", "10", "--process", str(os.getpid())], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tiny answers after")


def test_a_bench_asks_what_it_answers_and_counts_its_tokens(server: Server) -> None:
    few, more = (
        server.post(question.path, json.loads(question.body))
        for question in Questions("tiny", "rerank", 1, "a salt of the run").gauge()
    )
    assert (few.status, more.status) == (200, 200), few.body + more.body
    # A query of two words, 8 and 40 words, and three marks: a word that the model does not know is a token too.
    assert (read_answer(few.body), read_answer(more.body)) == (Usage(13, 0), Usage(45, 0))
