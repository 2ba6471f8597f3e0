"""Model cards and configurations as people write them."""

import json

import pytest

from appliance.formats.model_card import card_licence, count_elements, model_card, read_card, read_config
from appliance.formats.safetensors import Tensor

CARD = """---
license: apache-2.0
pipeline_tag: text-generation
base_model:
- owner/base
datasets: [owner/one, owner/two]
---
# A model
"""
CONFIG = {
    "model_type": "qwen3",
    "architectures": ["Qwen3ForCausalLM"],
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "modules": {"not": "told"}},
}


def test_a_card_a_configuration_and_tensors_make_one_record() -> None:
    card, gap = read_card(CARD)
    config, config_gap = read_config(json.dumps(CONFIG).encode())
    assert (gap, config_gap) == ("", "")
    tensors = (Tensor("a", "BF16", (2, 3), 0, 12), Tensor("b", "BF16", (), 12, 14), Tensor("c", "U8", (5,), 14, 19))
    told = model_card(card, config, count_elements(tensors))
    assert (told.task, told.family, told.architectures) == ("text-generation", "qwen3", ("Qwen3ForCausalLM",))
    assert (told.base_models, told.datasets) == (("owner/base",), ("owner/one", "owner/two"))
    assert dict(told.facts) == {
        "config.torch_dtype": "bfloat16",
        "quantization.quant_method": "awq",
        "quantization.bits": "4",
        "quantization.group_size": "128",
        "tensor-elements.BF16": "7",
        "tensor-elements.U8": "5",
    }


def test_a_licence_of_its_own_has_the_name_that_the_card_gives() -> None:
    assert card_licence(read_card(CARD)[0]) == ("Apache-2.0",)
    assert card_licence({"license": "other", "license_name": "tongyi-qianwen"}) == ("tongyi-qianwen",)
    assert card_licence({"license": "other"}) == card_licence({}) == card_licence({"license": {"a": "map"}}) == ()


@pytest.mark.parametrize("readme", ["", "# A model\n", "---\nno end\n", "text\n---\nlicense: mit\n---\n"])
def test_without_a_head_there_is_nothing_to_read(readme: str) -> None:
    assert read_card(readme) == ({}, "")


def test_what_cannot_be_read_is_told() -> None:
    assert "README.md" in read_card("---\na: &x [1]\nb: *x\n---\n")[1]
    assert "config.json" in read_config(b"{")[1]
    assert "config.json" in read_config(b"[]")[1]


def test_what_nobody_sees_is_written_as_an_escape() -> None:
    """JSON can write half of a character; an SBOM could not be written with it."""
    told = model_card({"datasets": ["\x1b[2K"]}, {"model_type": "\ud800"}, {})
    assert (told.family, told.datasets) == ("\\ud800", ("\\x1b[2K",))


def test_values_of_another_form_are_passed_over() -> None:
    strange = {"model_type": ["a"], "architectures": {"a": 1}, "quantization_config": "awq", "vocab_size": True}
    told = model_card({"datasets": [{"name": "x"}, None, 7]}, strange, {})
    assert (told.family, told.architectures, told.datasets, told.facts) == ("", (), ("7",), ())
