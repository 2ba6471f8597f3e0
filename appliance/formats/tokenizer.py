"""What a tokenizer does to texts beyond cutting them into pieces.

Formats: tokenizer.json of the library ``tokenizers`` (https://huggingface.co/docs/tokenizers/components) and
``added_tokens_decoder`` of tokenizer_config.json.  Reads what is of the usual form and passes over the rest:
a tokenizer that cannot be read is refused by the server that loads it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from appliance.formats.chat_templates import special_tokens
from appliance.formats.wording import is_marker
from appliance.model.visible import is_seen, shown

_WORD = re.compile(r"[^\W\d_]{2,}(?:[ '-][^\W\d_]+)*")
_SPACED = re.compile(r"[^\W\d_]\W*\s\W*[^\W\d_]")  # letters with a space between them
_SHOWN = 5  # examples in one sentence
_LONGEST = 60  # characters of an example
_DEEPEST = 32
# SentencePiece writes a space as U+2581, and its decoder makes a space of it again.
_SPACES = ((" ", "\u2581"), ("\u2581", " "))


class AddedToken(NamedTuple):
    """A text that is always one token, wherever it stands; ``special`` ones are left out of answers."""

    number: int
    text: str
    special: bool


def surprises(tokenizer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rule and sentence for each sort of surprise in tokenizer.json or tokenizer_config.json."""
    tokens = added_tokens(tokenizer)
    vocabulary = _vocabulary(tokenizer)
    words = [token for token in tokens if _WORD.fullmatch(token.text.strip()) or _SPACED.search(token.text)]
    yield from _told(
        "tokenizer-word",
        "ordinary words are special tokens, which a server leaves out of answers: {}",
        (token.text for token in words if token.special),
    )
    yield from _told(
        "tokenizer-word",
        "ordinary words are tokens of their own: {}",
        (token.text for token in words if not token.special),
    )
    yield from _told(
        "tokenizer-word",
        "templates write texts for special tokens: {}",
        (f"{role}: {text}" for role, text in special_tokens(tokenizer).items() if text and not is_marker(text)),
    )
    yield from _told(
        "tokenizer-invisible",
        "added tokens have characters that nobody sees: {}",
        (token.text for token in tokens if not is_seen(token.text.strip(" \t\r\n"))),
    )
    yield from _told(
        "tokenizer-number",
        "one number stands for several texts: {}",
        _shared_numbers(tokens, vocabulary),
    )
    yield from _told("tokenizer-overlap", "special tokens begin like others: {}", _overlaps(tokens))
    yield from _told(
        "tokenizer-replaces", "texts are replaced before they are read: {}", _replaced(tokenizer, "normalizer")
    )
    yield from _told(
        "tokenizer-replaces",
        "answers are replaced before they are read: {}",
        _replaced(tokenizer, "decoder"),
    )
    yield from _told("tokenizer-adds", "texts are added to each input: {}", _inserted(tokenizer, tokens))


def _told(rule: str, sentence: str, examples: Iterable[str]) -> Iterator[tuple[str, str]]:
    found = list(dict.fromkeys(examples))
    if found:
        named = ", ".join(f"{shown(text)[:_LONGEST]!r}" for text in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield rule, sentence.format(named + more)


def added_tokens(tokenizer: Mapping[str, Any]) -> list[AddedToken]:
    """What tokenizer.json or tokenizer_config.json add to the vocabulary, by number."""
    found = []
    listed = tokenizer.get("added_tokens")
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and isinstance(entry.get("id"), int):
            found.append(AddedToken(entry["id"], entry["content"], entry.get("special") is True))
    decoder = tokenizer.get("added_tokens_decoder")
    for number, entry in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and number.isdecimal():
            found.append(AddedToken(int(number), entry["content"], entry.get("special") is True))
    return sorted(set(found))


def _vocabulary(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Numbers by text.  Unigram models have a list, in which the place is the number."""
    model = tokenizer.get("model")
    pieces = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(pieces, list):
        return {
            piece[0]: number
            for number, piece in enumerate(pieces)
            if isinstance(piece, list) and piece and isinstance(piece[0], str)
        }
    if isinstance(pieces, dict):
        return {text: number for text, number in pieces.items() if isinstance(number, int)}
    return {}


def _shared_numbers(tokens: Iterable[AddedToken], vocabulary: Mapping[str, int]) -> Iterator[str]:
    names: dict[int, str] = {}
    for text, number in (*vocabulary.items(), *((token.text, token.number) for token in tokens)):
        if names.setdefault(number, text) != text:
            yield f"{number}: {names[number]}, {text}"


def _overlaps(tokens: Iterable[AddedToken]) -> Iterator[str]:
    texts = sorted({token.text for token in tokens if token.special and token.text})
    # Of sorted texts, all that begin with one stand behind it.
    for place, text in enumerate(texts[:-1]):
        if texts[place + 1].startswith(text):
            yield f"{text}, {texts[place + 1]}"


def _replaced(tokenizer: Mapping[str, Any], part: str) -> Iterator[str]:
    for step in _steps(tokenizer.get(part), 0):
        if step.get("type") != "Replace":
            continue
        pattern = step.get("pattern")
        before = next(iter(pattern.values()), "") if isinstance(pattern, dict) else pattern
        if (before, step.get("content")) not in _SPACES:
            yield f"{before} by {step.get('content')}"


def _steps(value: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, dict) or depth > _DEEPEST:
        return
    yield value
    for key in ("normalizers", "decoders", "processors"):
        inner = value.get(key)
        for step in inner if isinstance(inner, list) else []:
            yield from _steps(step, depth + 1)


def _inserted(tokenizer: Mapping[str, Any], tokens: Iterable[AddedToken]) -> Iterator[str]:
    """What a TemplateProcessing puts beside a text that is no special token."""
    special = {token.text for token in tokens if token.special}
    for step in _steps(tokenizer.get("post_processor"), 0):
        known = step.get("special_tokens")
        for entry in known.values() if isinstance(known, dict) else ():
            pieces = entry.get("tokens") if isinstance(entry, dict) else None
            yield from (
                piece
                for piece in (pieces if isinstance(pieces, list) else [])
                if isinstance(piece, str) and piece not in special
            )
