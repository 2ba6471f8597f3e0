"""Adapters of the demo's model, served by the demo's vLLM behind the real gateway."""

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.weights.kind import Weights
from appliance.artifacts.weights.section import WeightsSection
from appliance.model.documents.lock import LockedArtifact, adapters_of
from appliance.model.progress import Silent
from appliance.model.serving.adapters import ADAPTERS as PLACE
from appliance.model.serving.profile import ServingProfile, arguments
from appliance.model.serving.wanted import WantedProfile, serving_profile
from appliance.store.cache import Cache
from tests.support.adapters import BASE, tiny_chat_adapter
from tests.support.container_unit import unit_beside, weight_set
from tests.support.demo import Demo
from tests.support.gateway import Gateway, gateway_root, make_gateway, running
from tests.support.locking import lock_one
from tests.support.umask import umask
from tests.support.vllm_host import Image, Server, serving

pytestmark = [pytest.mark.integration, pytest.mark.demo]

CHAT = "/v1/chat/completions"
ADAPTERS = {
    "tiny-legal": tiny_chat_adapter("legal", "q_proj", "v_proj"),
    "tiny.medical": tiny_chat_adapter("medical", "o_proj", "gate_proj", "up_proj", "down_proj"),
}
KIND = Weights()


@dataclass
class Served:
    """The model with its adapters, and the gateway in front of it."""

    server: Server
    gateway: Gateway

    def answer(self, client: str, model: str) -> str:
        """What ``model`` says to ``client``, always in the same way."""
        answer = self.gateway.ask(client, CHAT, _question(model))
        assert answer.status == 200, answer.body
        return _said(answer.body, model)


def _question(model: str) -> dict[str, object]:
    messages = [{"role": "user", "content": "Hello"}]
    return {"model": model, "messages": messages, "max_tokens": 16, "temperature": 0}


def _said(body: bytes, model: str) -> str:
    answer = json.loads(body)
    assert answer["model"] == model
    return str(answer["choices"][0]["message"]["content"])


@contextmanager
def served(image: Image, weights: Path, wanted: Mapping[str, Any], folder: Path) -> Iterator[Served]:
    """tiny-chat with ADAPTERS, as it is locked, signed and started, by the profile that a definition has for it."""
    profile = _signed(weights, wanted, folder)
    beside = [weight_set(name, name, f"{PLACE}/{name}", name) for name in ADAPTERS]
    unit = unit_beside(*beside, arguments=list(arguments(profile, "tiny-chat")))
    (command,) = (line.removeprefix("Exec=") for line in unit.splitlines() if line.startswith("Exec="))
    words = shlex.split(command)
    gateway = make_gateway(folder / "gateway")
    place = gateway.folder / "run/appliance/vllm/tiny-chat/api.sock"
    with umask(0o022):  # nginx is another user
        place.parent.mkdir(parents=True)
    with (
        serving(image, weights, words[words.index("--uds") + 2 :], folder / "vllm", adapters=folder) as server,
        running(gateway, gateway_root()),
    ):
        server.wait(CHAT, {"model": "tiny-chat", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1})
        # On a host, both see one directory, and share a group.
        os.link(folder / "vllm/run/api.sock", place)
        place.chmod(0o777)
        gateway.ready("tiny-chat")
        yield Served(server, gateway)


@umask(0o022)  # whoever runs the tests is not who serves
def _signed(weights: Path, wanted: Mapping[str, Any], folder: Path) -> ServingProfile:
    context = Context(weights.parent, Cache(folder / "cache"), Silent())
    base = _locked("tiny-chat", {"directory": weights.name}, context)
    beside = Context(folder, context.sink, Silent())
    own = []
    for name, files in ADAPTERS.items():
        (folder / name).mkdir()
        for path, data in files.items():
            (folder / name / path).write_bytes(data)
        section = {"directory": name, "adapter": {"of": "tiny-chat", "trained_on": BASE}}
        own.append(_locked(name, section, beside))
    KIND.lay_out([base, *own], context)
    named = {**wanted, "adapters": {name: name for name in ADAPTERS}, "max_lora_rank": 8}
    return serving_profile(WantedProfile.model_validate_json(json.dumps(named)), None, adapters=adapters_of(own))


def _locked(name: str, section: Mapping[str, Any], context: Context) -> LockedArtifact:
    text = json.dumps({**section, "licence": "CC0-1.0"})
    return lock_one(KIND, name, WeightsSection.model_validate_json(text), context)


@pytest.fixture(scope="module")
def tiny_chat(demo: Demo, demo_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("adapters")
    folder.chmod(0o755)
    wanted = demo.document("bundle.json")["serving"]["tiny-chat"]
    with served(demo_image, demo.path / "models/tiny-chat", wanted, folder) as running_model:
        yield running_model


def test_an_adapter_answers_otherwise_than_its_model(tiny_chat: Served) -> None:
    said = {
        name: tiny_chat.answer(client, name)
        for client, name in (("alice", "tiny-chat"), ("counsel", "tiny-legal"), ("clerk", "tiny.medical"))
    }
    assert all(said.values())
    assert len(set(said.values())) == len(said), said


def test_requests_for_several_at_once_do_not_mix(tiny_chat: Served) -> None:
    """Asked of vLLM itself, as the gateway lets no client have so many at a time."""

    def ask(model: str) -> str:
        return _said(tiny_chat.server.post(CHAT, _question(model)).body, model)

    names = ["tiny-chat", *ADAPTERS]
    alone = [ask(name) for name in names]
    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(ask, names * 6)) == alone * 6


def test_who_may_not_use_a_name_reaches_neither_model_nor_adapter(tiny_chat: Served) -> None:
    for client, name in (("alice", "tiny-legal"), ("counsel", "tiny-chat"), ("counsel", "tiny.medical")):
        answer = tiny_chat.gateway.ask(client, CHAT, {"model": name, "messages": [], "max_tokens": 1})
        assert answer.status == 404
        assert json.loads(answer.body)["error"]["type"] == "gateway"


def test_no_adapter_can_be_loaded_while_the_model_runs(tiny_chat: Served) -> None:
    body = {"lora_name": "more", "lora_path": "/srv/adapters/tiny-legal"}
    assert tiny_chat.server.post("/v1/load_lora_adapter", body).status == 404
    assert tiny_chat.server.post("/v1/unload_lora_adapter", {"lora_name": "tiny-legal"}).status == 404
    assert tiny_chat.answer("counsel", "tiny-legal")
