"""Prompts: the same for the same seed, none twice, shared where they are to be, as long as was wanted."""

import json
from typing import Any

import pytest

from appliance.model.asked import Asked
from appliance.model.documents.bench import Load
from appliance.steps.bench.questions import _FIRST, _SECOND, Gauge, Questions

GAUGE = Gauge(base=10, word=1.5)
LOAD = Load(prompt_tokens=160, output_tokens=64, shared_prefix=False, inputs=1, concurrency=4)
CHAT = Questions("m", "chat", 1, "salt")


def body(load: Load, number: int, questions: Questions = CHAT) -> Any:
    return json.loads(questions.of(load, GAUGE)(number).body)


def prompt(load: Load, number: int, questions: Questions = CHAT) -> str:
    return str(body(load, number, questions)["messages"][0]["content"])


def changed(**fields: object) -> Load:
    return LOAD.model_copy(update=fields)


def test_a_prompt_is_what_it_has_always_been() -> None:
    """Figures of two versions are compared only if they were asked the same."""
    assert prompt(LOAD, 1).startswith("quiet lantern steady river silver lantern steady copper ")
    assert len(set(_FIRST) | set(_SECOND)) == 32


def test_it_depends_on_the_seed_and_the_number_and_the_step() -> None:
    assert prompt(LOAD, 1) == prompt(LOAD, 1, Questions("m", "chat", 1, "another salt"))
    texts = [prompt(LOAD, number) for number in range(200)]
    texts += [prompt(LOAD, 1, Questions("m", "chat", 2, "salt")), prompt(changed(concurrency=8), 1)]
    assert len(set(texts)) == 202


def test_a_prompt_has_the_words_that_make_its_tokens() -> None:
    assert len(prompt(LOAD, 1).split()) == 100  # (160 - 10) / 1.5
    assert len(prompt(changed(prompt_tokens=1), 1).split()) == 2


def test_half_of_a_shared_prompt_is_the_same_in_its_step_alone() -> None:
    first, second = (prompt(changed(shared_prefix=True), number).split() for number in (1, 2))
    assert first[:50] == second[:50]
    assert first[50:] != second[50:]
    assert prompt(changed(shared_prefix=True, concurrency=8), 1).split()[:50] != first[:50]
    apart = [prompt(LOAD, number).split()[:8] for number in (1, 2)]
    assert apart[0] != apart[1]


def test_a_chat_asks_for_answers_of_one_length_that_are_counted_and_for_no_cache_of_others() -> None:
    asked = body(LOAD, 1)
    assert (asked["max_tokens"], asked["ignore_eos"], asked["stream"]) == (64, True, True)
    assert asked["stream_options"] == {"include_usage": True}
    assert asked["cache_salt"] == "salt"


def test_an_embedding_asks_for_many_inputs_none_twice() -> None:
    embedding = Questions("m", "embedding", 1, "salt")
    load = changed(inputs=16, output_tokens=0)
    inputs = [text for number in range(4) for text in body(load, number, embedding)["input"]]
    assert len(inputs) == len(set(inputs)) == 64
    question = embedding.of(load, GAUGE)(1)
    assert (question.path, question.streams) == ("/v1/embeddings", False)


def test_a_reranker_is_asked_for_documents_none_twice() -> None:
    rerank = Questions("m", "rerank", 1, "salt")
    load = changed(inputs=16, output_tokens=0)
    bodies = [body(load, number, rerank) for number in range(4)]
    assert len({text for asked in bodies for text in asked["documents"]}) == 64
    assert {asked["query"] for asked in bodies} == {"quiet river"}
    question = rerank.of(load, GAUGE)(1)
    assert (question.path, question.streams) == ("/v1/rerank", False)


@pytest.mark.parametrize(("few", "more", "base", "word"), [(18, 66, 6.0, 1.5), (8, 40, 0.0, 1.0)])
def test_two_prompts_tell_how_a_server_counts(few: int, more: int, base: float, word: float) -> None:
    found = Gauge.of(Asked(0, 0, 1, tokens_in=few), Asked(0, 0, 1, tokens_in=more))
    assert (found.base, found.word) == (base, word)
