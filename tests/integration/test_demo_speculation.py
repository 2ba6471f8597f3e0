"""What vLLM makes of the rarer parts of a profile: guessed tokens, a smaller KV cache, answers of a form."""

import json
import re
import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from appliance.model.serving.profile import ServingProfile, arguments
from tests.support.demo import Demo
from tests.support.eagle import eagle3
from tests.support.vllm_host import Image, Server, serving

pytestmark = [pytest.mark.integration, pytest.mark.demo]

QUESTIONS = ("Hello", "balu kito mera balu kito mera balu kito mera", "zo zo zo zo zo zo zo zo")
GUESSED = "vllm:spec_decode_num_draft_tokens_total"
ACCEPTED = "vllm:spec_decode_num_accepted_tokens_total"
GUESSES = 3
WORD: dict[str, Any] = {"type": "string", "pattern": "^[a-z]{3,9}$"}
CHOICE: dict[str, Any] = {"enum": ["yes", {"no": [1, 2]}]}
# By docs/adr/0052-answers-of-a-form.md.
WORST: tuple[dict[str, Any], ...] = (
    {"type": "object", "properties": {f"k{number}": True for number in range(1_000)}},
    {"type": "string", "pattern": "^" + "[^a]{1,32}" * 51 + "$"},
    {
        "type": "object",
        "properties": {
            "p": {"type": "string", "pattern": "^" + "[^a]{1,32}" * 51 + "$"},
            **{f"m{number}": {"type": "integer", "multipleOf": 993 + number} for number in range(4)},
            **{f"l{number}": {"type": "string", "maxLength": 1_000 + number % 8} for number in range(100)},
            **{f"k{number}": True for number in range(780)},
        },
    },
)
_ROOM = re.compile(r"[CG]PU KV cache size: ([0-9,]+) tokens")


class Model:
    """The demo's chat model with changes of its profile."""

    def __init__(self, demo: Demo, image: Image) -> None:
        self._image = image
        self._signed = demo.document("bundle.json")["serving"]["tiny-chat"]
        self.weights = demo.path / "models" / self._signed["weights"]

    def served(self, folder: Path, *, draft: Path | None = None, **changes: Any) -> AbstractContextManager[Server]:
        """It, by vLLM; ``draft`` guesses."""
        # A tenth is plenty, and leaves room for what else runs on a machine that tests.
        profile = ServingProfile.model_validate({**self._signed, "gpu_memory_utilization": 0.1, **changes})
        return serving(self._image, self.weights, arguments(profile, "tiny-chat"), folder, draft=draft)


@pytest.fixture(scope="module")
def model(demo: Demo, demo_image: Image) -> Model:
    return Model(demo, demo_image)


def chat(server: Server, question: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    body = {"model": "tiny-chat", "messages": messages, "max_tokens": 48, "temperature": 0, **more}
    answer = server.post("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    choice: dict[str, Any] = answer.json()["choices"][0]
    return choice


def answers(server: Server) -> list[str]:
    ready = {"model": "tiny-chat", "messages": [{"role": "user", "content": "ready?"}], "max_tokens": 1}
    server.wait("/v1/chat/completions", ready)
    return [str(chat(server, question)["message"]["content"]) for question in QUESTIONS]


def room(server: Server) -> int:
    """Tokens of KV cache, as vLLM logs it."""
    found = _ROOM.search(server.log())
    assert found, server.log()
    return int(found[1].replace(",", ""))


@pytest.fixture(scope="module")
def alone(model: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], int]:
    """What the model answers by itself, and how many tokens it has room for."""
    with model.served(tmp_path_factory.mktemp("alone")) as server:
        return answers(server), room(server)


def answer_of(server: Server, schema: dict[str, Any], tokens: int) -> str:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return str(chat(server, "Who?", response_format=form, max_tokens=tokens)["message"]["content"])


def check_forms(server: Server) -> None:
    """Answers follow a schema, guessed or not; and the worst schemas that a gateway lets pass keep nobody waiting."""
    # Nothing with room for spaces: this model would write them for ever.
    assert re.fullmatch("[a-z]{3,9}", json.loads(answer_of(server, WORD, 60)))
    assert json.loads(answer_of(server, CHOICE, 60)) in CHOICE["enum"]
    for schema in WORST:
        assert len(json.dumps(schema)) <= 16_384
        started = time.monotonic()
        answer_of(server, schema, 1)
        assert time.monotonic() - started < 15, "half of what an engine may be silent for"


def guessing(method: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "num_speculative_tokens": GUESSES, **more}


def test_ngrams_guess_and_answers_stay_the_models_own(
    model: Model, alone: tuple[list[str], int], tmp_path: Path
) -> None:
    ngram = guessing("ngram", prompt_lookup_max=2, prompt_lookup_min=1)
    with model.served(tmp_path, speculative_config=ngram) as server:
        assert answers(server) == alone[0]
        counted = server.metrics()
        assert room(server) == pytest.approx(alone[1], rel=0.1), "nothing of it is kept with the keys and values"
        check_forms(server)
        # docs/adr/0053-no-sleep.md: what puts engines to sleep comes with what calls any method of a worker.
        for path in ("/sleep", "/wake_up", "/collective_rpc", "/update_weights"):
            assert server.post(path, {}).status == 404
    assert counted[GUESSED] > 0
    assert 0 < counted[ACCEPTED] < counted[GUESSED]


def test_a_draft_model_guesses_from_weights_of_its_own(
    model: Model, alone: tuple[list[str], int], tmp_path: Path
) -> None:
    """The model as its own draft: every guess is right, and its keys and values are kept twice."""
    draft = shutil.copytree(model.weights, tmp_path / "draft")
    config = guessing("draft_model", weights="small")
    with model.served(tmp_path / "server", draft=draft, speculative_config=config) as server:
        assert answers(server) == alone[0]
        counted = server.metrics()
        assert room(server) == pytest.approx(alone[1] / 2, rel=0.1)
    assert counted[GUESSED] == counted[ACCEPTED] > 0


def test_eagle_layers_guess_for_the_model_that_they_belong_to(
    model: Model, alone: tuple[list[str], int], tmp_path: Path
) -> None:
    eagle3(json.loads((model.weights / "config.json").read_bytes()), tmp_path / "draft")
    config = guessing("eagle3", weights="layers")
    with model.served(tmp_path / "server", draft=tmp_path / "draft", speculative_config=config) as server:
        assert answers(server) == alone[0]
        counted = server.metrics()
        assert room(server) == pytest.approx(alone[1] * 2 / 3, rel=0.1), "a third layer, beside two"
    assert counted[GUESSED] > counted[ACCEPTED]


def test_keys_and_values_of_eight_bits_have_twice_the_room(
    model: Model, alone: tuple[list[str], int], tmp_path: Path
) -> None:
    with model.served(tmp_path, kv_cache_dtype="fp8") as server:
        said = answers(server)
        assert room(server) == pytest.approx(2 * alone[1], rel=0.1)
    assert all(said)
    assert said != alone[0], "which is what is lost: this model answers otherwise"
