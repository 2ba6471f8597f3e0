"""What a request may demand of the form of its answer: the gateway refuses what would keep a model busy."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.support.gateway_world import World, running_world

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
ASK = {"model": "tiny-chat", "messages": [{"role": "user", "content": "who?"}]}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "born": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "pattern": {"type": "string", "enum": ["stripes", "dots"]},
        "default": {"type": "object", "properties": {"const": {"type": "integer"}}},
    },
    "required": ["name", "born"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("a gateway")) as world:
        yield world


def schema(content: object) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": content}}}


def pattern(text: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": text}}}


def properties(inner: Iterable[object], **more: object) -> dict[str, Any]:
    return {"type": "object", "properties": {f"k{number}": one for number, one in enumerate(inner)}, **more}


def texts(*lengths: int) -> dict[str, Any]:
    return properties({"type": "string", "maxLength": length} for length in lengths)


TAKEN: dict[str, dict[str, Any]] = {
    "text": {"response_format": {"type": "text"}},
    "nothing": {"response_format": None, "structured_outputs": None, "tools": None},
    "any object": {"response_format": {"type": "json_object"}},
    "a schema": schema(PERSON),
    "a schema as text": {"structured_outputs": {"json": json.dumps(PERSON), "regex": None}},
    "a choice": {"structured_outputs": {"choice": ["yes", "no"]}},
    "a tool": {"tools": [{"type": "function", "function": {"name": "f", "parameters": PERSON}}]},
    "a tool without parameters": {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "texts of a few lengths": schema(texts(*range(300, 308), *[300] * 100)),
    "properties with names of figures": schema(
        {"properties": {"maxLength": PERSON, "multipleOf": True, "maxProperties": {}}}
    ),
    "an object that is counted": schema(properties([True] * 16, minProperties=1, maxProperties=8)),
    "a few steps": schema(properties([{"type": "number", "multipleOf": 0.01}] * 4)),
    "a pattern that is data": schema({"enum": [{"pattern": "^[^a]{1,999}$"}]}),
}
LONG = "^" + "[^a]{1,999}" * 3 + "$"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a grammar": ({"structured_outputs": {"grammar": 'root ::= "a"'}}, "only json, json_object and choice"),
    "a regular expression": ({"structured_outputs": {"regex": "a+"}}, "only json, json_object and choice"),
    "a structural tag": (
        {"response_format": {"type": "structural_tag", "format": {}}},
        "only the types text, json_object",
    ),
    "no object": ({"response_format": "json"}, "only the types text"),
    "a list": ({"structured_outputs": ["regex"]}, "only json, json_object and choice"),
    "no JSON": ({"structured_outputs": {"json": "{"}}, "not a JSON document"),
    "far counts": (schema(pattern(LONG)), "counts beyond 32"),
    "far counts as text": ({"structured_outputs": {"json": json.dumps(pattern(LONG))}}, "counts beyond 32"),
    "far counts of a tool": (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": pattern(LONG)}}]},
        "counts beyond 32",
    ),
    "an open count": (schema(pattern("^a{999,}$")), "counts beyond 32"),
    "counts of counts": (schema(pattern("^(a{1,30}b){1,30}$")), "counts a group"),
    "a count of a count": (schema(pattern("[^a]{1,32}{1,32}")), "what repeats already"),
    "a count of a count, apart": (schema(pattern("[^a]{1,32} {1,32}")), "what repeats already"),
    "a count after two modifiers": (schema(pattern("([^a]{1,32})??{1,32}")), "counts a group"),
    "a count after one": (schema(pattern("(a)+?{1,32}")), "what repeats already"),
    "a count of a lazy count": (schema(pattern("[^a]{1,32}?{1,32}")), "what repeats already"),
    "a count of any number": (schema(pattern("[^a]*{1,32}")), "what repeats already"),
    "many lengths": (schema(texts(*range(300, 309))), "has 9 different pairs, more than 8"),
    "many lengths that JavaScript cannot tell apart": (schema(texts(*range(2**62, 2**62 + 9))), "9 different pairs"),
    "many pairs of few lengths": (
        schema(properties({"type": "string", "minLength": n % 5, "maxLength": 300 + n % 4} for n in range(9))),
        "9 different pairs",
    ),
    "many steps": (schema(properties([{"type": "integer", "multipleOf": 100}] * 5)), "has 5 of them, more than 4"),
    "many counted objects": (schema(properties([{"minProperties": 1, "maxProperties": 2}] * 3)), "has 6 of them"),
    "a large object that is counted": (
        schema(properties([True] * 17, minProperties=1)),
        "has 17 properties, more than 16",
    ),
    "below a name of data": (schema({"properties": {"default": pattern(LONG)}}), "counts beyond 32"),
    "below __proto__": (schema({"properties": {"__proto__": pattern(LONG)}}), "counts beyond 32"),
    "names of properties": (schema({"patternProperties": {LONG: {"type": "string"}}}), "counts beyond 32"),
    "below names of properties": (schema({"patternProperties": {"^a$": pattern(LONG)}}), "counts beyond 32"),
    "long patterns": (schema({"anyOf": [pattern("a?" * 30)] * 10}), "have 600 characters, more than 512"),
    "a long schema": (schema({"properties": {f"k{number}": True for number in range(2000)}}), "more than 16384"),
    "a long choice": ({"structured_outputs": {"choice": ["x" * 100] * 200}}, "more than 16384"),
}


@pytest.mark.parametrize("more", TAKEN.values(), ids=TAKEN)
def test_usual_forms_reach_the_model_as_they_came(world: World, more: dict[str, Any]) -> None:
    answer = world.gateway.ask("alice", CHAT, {**ASK, **more})
    assert answer.status == 200, answer.body
    assert world.chat.arrived[-1].body == {**ASK, **more}


@pytest.mark.parametrize(("more", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_would_keep_a_model_busy_never_reaches_it(world: World, more: dict[str, Any], reason: str) -> None:
    before = world.count()
    answer = world.gateway.ask("alice", CHAT, {**ASK, **more})
    assert answer.status == 400, answer.body
    assert reason in json.loads(answer.body)["error"]["message"]
    assert world.count() == before
    line = world.gateway.audit(answer.headers["x-request-id"])
    assert (line["status"], line["model"]) == (400, "tiny-chat")
    assert reason in line["refusal"]
    assert "a?" not in line["refusal"], "and nothing of what was asked is written down"


def test_of_two_forms_the_last_counts_as_it_does_for_the_model(world: World) -> None:
    before = world.count()
    first, last = (json.dumps(schema(content)["response_format"]) for content in (PERSON, pattern(LONG)))
    body = f'{json.dumps(ASK)[:-1]}, "response_format": {first}, "response_format": {last}}}'.encode()
    assert world.gateway.ask("alice", CHAT, body).status == 400
    assert world.count() == before
