"""Which restrictions of a model's licences a person is told before its weights are fetched."""

from typing import Any

import pytest

from appliance.artifacts.weights.model_licences import known_licences, review_licences


def told(defined: str, card: dict[str, Any] | None = None, **texts: str) -> list[tuple[str, str, str]]:
    return [(found.rule, found.path, found.what) for found in review_licences(defined, card or {}, texts)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama3.1", "700 million monthly users"),
        ("llama3.1 (Llama 3.1 Community License Agreement)", "acceptable use policy"),
        ("Llama3.3", "Built with Llama"),
        ("gemma", "prohibited use policy"),
        ("qwen", "100 million"),
        ("qwen-research", "Research and evaluation alone"),
        ("mrl", "Research alone"),
        ("bigscience-openrail-m", "attachment"),
        ("openrail++", "attachment"),
        ("CC-BY-NC-4.0", "commercial advantage"),
        ("cc-by-nc-sa-4.0", "commercial advantage"),
    ],
)
def test_what_a_definition_names_is_told_with_what_it_restricts(name: str, words: str) -> None:
    ((rule, path, what),) = told(name)
    assert (rule, path) == ("licence-restricts", "")
    assert words in what


@pytest.mark.parametrize("name", ["Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0"])
def test_free_licences_say_nothing(name: str) -> None:
    assert told(name, {"license": name.lower()}) == []


def test_what_only_the_card_names_is_told() -> None:
    restricts, differs = told("Apache-2.0", {"license": "cc-by-nc-4.0"})
    assert restricts[:2] == ("licence-restricts", "README.md")
    assert differs == (
        "licence-differs",
        "README.md",
        "the model card says 'CC-BY-NC-4.0' and the definition 'Apache-2.0'",
    )


def test_a_licence_of_its_own_is_told_with_its_address() -> None:
    card = {"license": "other", "license_name": "falcon-llm-license", "license_link": "https://falcon.example/terms"}
    ((rule, path, what),) = told("falcon-llm-license", card)
    assert (rule, path) == ("licence-unknown", "README.md")
    assert what.endswith("read what it restricts, at https://falcon.example/terms")


def test_a_licence_file_tells_what_nobody_named() -> None:
    text = "\n\n   LLAMA 3.1 COMMUNITY\n LICENSE AGREEMENT\nLlama 3.1 Version Release Date: July 23, 2024"
    ((rule, path, what),) = told("Apache-2.0", LICENSE=text)
    assert (rule, path) == ("licence-restricts", "LICENSE")
    assert what.startswith("this is the Llama 3.1 Community License, which neither definition nor model card names")


def test_a_file_that_only_names_a_licence_is_not_told_as_being_it() -> None:
    notice = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
    ((rule, path, what),) = told("Apache-2.0", NOTICE=notice)
    assert (rule, path) == ("licence-restricts", "NOTICE")
    assert what.startswith("this mentions the Gemma Terms of Use, which neither definition nor model card names: ")
    apache = "Apache License\nVersion 2.0, January 2004\n\nNot under the Qwen Research License Agreement."
    assert [what.partition(",")[0] for _, _, what in told("MIT", LICENSE=apache)] == [
        "this mentions the Qwen Research License Agreement"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "# Gemma Terms of Use\n\nLast modified",
        "\ufeffGemma  Terms\nof Use",
        "**Gemma Terms of Use**",
        "Creative Commons Attribution-NonCommercial 4.0 International Public License",
        "Attribution-NonCommercial-ShareAlike 4.0 International\n\n======",
        # https://huggingface.co/roshikhan301/NEWONE1/blob/main/LICENSE-SD1%2BSD2.txt
        "Copyright (c) 2022 Robin Rombach and Patrick Esser and contributors\n\nCreativeML Open RAIL-M\ndated",
    ],
)
def test_a_licence_begins_with_its_title(text: str) -> None:
    ((_, _, what),) = told("Apache-2.0", LICENSE=text)
    assert what.startswith("this is the ")


def test_a_licence_is_told_once() -> None:
    card = {"license": "llama3.1"}
    assert len(told("llama3.1", card, LICENSE="LLAMA 3.1 COMMUNITY LICENSE AGREEMENT")) == 1


def test_every_known_licence_has_the_address_of_its_text() -> None:
    assert len({known.title for known in known_licences()}) == len(known_licences()) > 10
    for known in known_licences():
        assert all(name == name.casefold() for name in known.names)
        assert all(text == text.casefold() for text in known.text)
