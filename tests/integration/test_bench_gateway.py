"""``appliance bench`` through the real gateway's nginx, with models that stand-ins play."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, gateway_root, make_gateway, running
from tests.support.in_process import Answer, ask
from tests.support.openai_model import OpenAIModel, behind_a_socket
from tests.support.port import port_to

pytestmark = pytest.mark.integration

AT_ONCE = 16
SHORT = ("--seconds", "1", "--prompt-tokens", "40", "--output-tokens", "5")


@dataclass
class World:
    """A gateway that lets each client have 16 requests at a time, and two models behind it."""

    gateway: Gateway
    port: int
    chat: OpenAIModel
    embedding: OpenAIModel
    folder: Path

    def bench(self, client: str, model: str, *more: object) -> Answer:
        place = ("--gateway", f"https://localhost:{self.port}", "--certificates", self.gateway.handed_out(client))
        return ask("bench", *place, "--model", model, "--site", self.folder / "no site", *more)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("a gateway")
    root = gateway_root()
    gateway = make_gateway(folder, gateway_concurrency=AT_ONCE, gateway_requests_per_second=500, gateway_burst=500)
    chat, embedding = OpenAIModel(seconds=0.005), OpenAIModel("mini-lm.v2", "embedding", 0.005)
    with ExitStack() as stack:
        for model in (chat, embedding):
            stack.enter_context(behind_a_socket(folder / "run/appliance/vllm" / model.name, model))
        stack.enter_context(running(gateway, root))
        for model in (chat, embedding):
            gateway.ready(model.name)
        port = stack.enter_context(port_to(gateway.plain))
        yield World(gateway, port, chat, embedding, folder)


def test_quick_is_done_in_two_minutes_and_each_request_has_its_audit_line(world: World, tmp_path: Path) -> None:
    began = time.monotonic()
    done = world.bench("alice", "tiny-chat", "--quick", "--out", tmp_path, "--ttft", 5)
    assert time.monotonic() - began < 120
    assert (done.code, done.value["ended"]) == (0, None), done.said
    steps = {(step["load"]["prompt_tokens"], step["load"]["concurrency"]): step for step in done.value["steps"]}
    assert list(steps) == [(128, 1), (128, 8), (128, 32), (1024, 8)]
    assert len(done.value["steps"]) == 5
    for (_, many), step in steps.items():
        assert step["answered"] > 0
        assert step["tokens_out"] == 64 * step["answered"]
        assert step["inter_token"]["count"] == 63 * step["answered"]
        assert step["inter_token"]["p50"] < 0.1
        if many <= AT_ONCE:
            assert (step["errors"], step["goodput"]) == ({}, 1.0)
    beyond = steps[128, 32]
    assert beyond["reasons"] == {"429": "too many requests at a time, or too fast"}
    assert beyond["goodput"] < 1
    assert world.chat.largest == AT_ONCE
    assert len(list(tmp_path.glob("tiny-chat-*.json"))) == len(list(tmp_path.glob("tiny-chat-*.html"))) == 1
    lines = [json.loads(line) for line in world.gateway.log("audit.log").splitlines() if line]
    accepted = [line for line in lines if line["event"] == "accepted"]
    assert len(accepted) == len(world.chat.bodies)
    assert {(line["client"], line["model"]) for line in accepted} == {("alice", "tiny-chat")}


def test_an_embedding_model(world: World) -> None:
    done = world.bench("bob", "mini-lm.v2", *SHORT, "--concurrency", 4)
    assert done.code == 0
    one, many = done.value["steps"]
    assert one["errors"] == many["errors"] == {}
    assert (one["load"]["inputs"], many["load"]["inputs"]) == (1, 16)


def test_what_the_models_queue_refuses_is_told_from_what_the_gateway_does(world: World) -> None:
    world.chat.places, world.chat.seconds = 2, 0.02
    done = world.bench("alice", "tiny-chat", *SHORT, "--concurrency", 6)
    world.chat.places, world.chat.seconds = 1_000, 0.005
    assert done.code == 0
    assert done.value["steps"][0]["reasons"] == {"503": "the model's queue is full"}
    assert done.value["steps"][0]["answered"] > 0


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ("mallory", "client certificate refused: FAILED:certificate revoked"),
        ("eve", "client certificate refused: FAILED:"),
        ("carol", "this certificate has no role that may do this"),
    ],
)
def test_a_certificate_that_the_gateway_refuses(world: World, client: str, says: str) -> None:
    refused = world.bench(client, "tiny-chat", *SHORT)
    assert (refused.code, refused.reference) == (2, "certificate-refused")
    assert says in refused.value["error"]["what"]


def test_a_model_of_another_role_is_not_served_to_this_client(world: World) -> None:
    refused = world.bench("bob", "tiny-chat", *SHORT)
    assert (refused.code, refused.reference) == (2, "model-not-served")
    assert refused.value["error"]["expected"] == "one of: mini-lm.v2"


def test_a_model_that_is_not_ready(world: World) -> None:
    world.gateway.ready("tiny-chat", now=False)
    refused = world.bench("alice", "tiny-chat", *SHORT)
    world.gateway.ready("tiny-chat")
    assert (refused.code, refused.reference) == (2, "not-ready")
    assert "the model is not ready" in refused.value["error"]["what"]


def test_a_client_who_loses_its_role_meanwhile_gets_no_more_and_what_was_answered_stands(world: World) -> None:
    timer = threading.Timer(2, world.gateway.take_out, ["alice"])
    timer.start()
    done = world.bench("alice", "tiny-chat", *SHORT, "--seconds", 4, "--concurrency", 2)
    timer.join()
    world.gateway.configure(gateway_concurrency=AT_ONCE)
    assert done.code == 0
    first, second = done.value["steps"]
    assert first["answered"] > 0
    # What runs is ended, whether its answer had begun or not.
    assert first["errors"].keys() <= {"403", "cut", "connection"}
    assert (second["answered"], second["errors"].keys()) == (0, {"403"})
