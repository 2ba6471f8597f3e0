"""A reranker behind the gateway: its two paths and no other of vLLM's, for those who have the role."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.gateway import MODELS, Gateway, gateway_root, make_gateway, running
from tests.support.vllm_socket import FakeModel, fake_model

pytestmark = pytest.mark.integration

ASK = {"model": "ranker", "query": "Where is the cat?", "documents": ["On the mat.", "Revenue grew."]}


@dataclass(frozen=True)
class World:
    """The gateway, a reranker and an embedder: carol may rerank, bob may embed, alice may chat."""

    gateway: Gateway
    ranker: FakeModel
    embedder: FakeModel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = gateway_root()
    folder = tmp_path_factory.mktemp("gateway")
    gateway = make_gateway(folder)
    gateway.roles["carol"] = "rerank"
    gateway.configure(
        __gateway_models=[*MODELS, {"name": "ranker", "task": "rerank", "weight_sets": [{"adapter": None}]}]
    )
    sockets = folder / "run/appliance/vllm"
    with (
        fake_model(sockets / "ranker") as ranker,
        fake_model(sockets / "mini-lm.v2") as embedder,
        running(gateway, root),
    ):
        for name in ("ranker", "mini-lm.v2"):
            gateway.ready(name)
        yield World(gateway, ranker, embedder)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_both_paths_reach_the_reranker_as_they_are(world: World, path: str) -> None:
    answer = world.gateway.ask("carol", path, ASK)
    assert answer.status == 200, answer.body
    arrived = world.ranker.arrived[-1]
    assert (arrived.target, arrived.body) == (path, ASK)
    listed = json.loads(world.gateway.ask("carol", "/v1/models", method="GET").body)
    assert [model["id"] for model in listed["data"]] == ["ranker"]


@pytest.mark.parametrize(
    ("client", "path", "model", "status"),
    [
        # vLLM answers on all of these.
        *(("carol", path, "ranker", 404) for path in ("/rerank", "/score", "/v1/score", "/classify", "/pooling")),
        ("carol", "/v1/embeddings", "ranker", 403),
        # An embedder could compare texts too, by their vectors: who may embed does so with these.
        ("carol", "/v1/rerank", "mini-lm.v2", 404),
        ("bob", "/v1/rerank", "ranker", 403),
        ("alice", "/v2/rerank", "ranker", 403),
    ],
)
def test_nothing_else_does(world: World, client: str, path: str, model: str, status: int) -> None:
    before = len(world.ranker.arrived), len(world.embedder.arrived)
    assert world.gateway.ask(client, path, {**ASK, "model": model}).status == status
    assert (len(world.ranker.arrived), len(world.embedder.arrived)) == before
