import json

import pytest

from appliance.formats.chat_templates import ChatTemplate, find_templates, holds_templates, special_tokens


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("tokenizer_config.json", {"chat_template": "a"}, [("", "a")]),
        (
            "tokenizer_config.json",
            {"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]},
            [("default", "a"), ("tool_use", "b")],
        ),
        ("chat_template.json", {"chat_template": {"rag": "a"}}, [("rag", "a")]),
        ("processor_config.json", {"chat_template": "a"}, [("", "a")]),
        ("tokenizer_config.json", {"chat_template": [1, {"template": 2}, None]}, []),
        ("tokenizer_config.json", [], []),
    ],
)
def test_templates_in_json(path: str, value: object, found: list[tuple[str, str]]) -> None:
    templates = [ChatTemplate(path, name, text) for name, text in found]
    assert list(find_templates(path, json.dumps(value).encode())) == templates


def test_templates_that_are_files() -> None:
    path = "additional_chat_templates/rag.jinja"
    assert list(find_templates(path, b"{{ x }}")) == [ChatTemplate(path, "", "{{ x }}")]


def test_where_templates_are_looked_for() -> None:
    there = ["chat_template.jinja", "a/b.jinja", "sub/tokenizer_config.json", "chat_template.json"]
    assert [path for path in (*there, "config.json", "tokenizer.json", "README.md") if holds_templates(path)] == there


def test_special_tokens_by_role() -> None:
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "pad_token": None, "x_token": "y"}
    assert special_tokens(config) == {"bos_token": "<s>", "eos_token": "</s>"}
