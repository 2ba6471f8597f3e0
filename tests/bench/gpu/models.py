"""Models of real shapes without weights: a folder from which vLLM starts with ``--load-format dummy``.

Random weights take the memory and the time of real ones.  What a model says is noise, so nothing here measures what
depends on it: how often speculation is right, or how long answers get.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from appliance.model.serving.profile import ServingProfile
from appliance.model.serving.wanted import WantedProfile, serving_profile
from tests.support.real_models import RealModel, real_model

_BUNDLES = Path(__file__).parents[3] / "bundles"
# A parser of tool calls looks for its own token when it is made.
_SPECIAL = {"<|python_tag|>": 128010}
_WHOLE = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


@dataclass(frozen=True)
class Shape:
    """A shipped definition and its model, by the name that both have; ``served`` is the model's name for clients."""

    name: str
    served: str
    profile: ServingProfile
    model: RealModel


def shape(name: str) -> Shape:
    """Of ``bundles/<name>.yaml``.  Reads the profile alone, so that pydantic and PyYAML, which vLLM brings, suffice."""
    ((served, wanted),) = yaml.safe_load((_BUNDLES / f"{name}.yaml").read_text())["serving"].items()
    model = real_model(name)
    return Shape(name, served, serving_profile(WantedProfile.model_validate(wanted), model.facts), model)


def write_model(model: RealModel, folder: Path) -> None:
    """Its configuration, and a tokenizer that has a word for each number: prompts are numbers."""
    folder.mkdir(parents=True)
    # vLLM chooses its kernels by the class, and transformers reads the configuration by the type.
    _write(folder / "config.json", model.config)
    _write(folder / "generation_config.json", model.generation)
    special = {number: word for word, number in _SPECIAL.items() if number < model.config["vocab_size"]}
    words = {special.get(number, f"w{number}"): number for number in range(model.config["vocab_size"])}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": word, **_WHOLE} for number, word in special.items()],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    }
    _write(folder / "tokenizer.json", {"truncation": None, "padding": None, **tokenizer})
    _write(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "w0", "chat_template": "{{ messages[0].content }}"},
    )


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
