"""Under which licences a model is, and what these restrict: told before anybody fetches its weights.

Licences of models often forbid uses, which no list of software licences says.  ``licences.yaml`` has the usual ones,
each with the address of its text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any

from pydantic import Field, TypeAdapter

from appliance.artifacts.weights.rules import finding
from appliance.formats.licences import is_expression, licence_name
from appliance.formats.model_card import card_licence
from appliance.model.base import Strict
from appliance.model.findings import Finding
from appliance.model.yamlform import read_yaml

CARD = "README.md"
_BEGINNING = 4096  # characters of a licence file in which a licence is looked for
# Signs of markup, and lines of copyright, stand in front of a licence's title.
_FRONT = re.compile(r"(?:[\W_]*copyright\b[^\n]*\n)*[\W_]*", re.IGNORECASE)


class KnownLicence(Strict):
    """A licence that restricts what a model may be used for."""

    names: tuple[str, ...] = Field(min_length=1)
    title: str
    text: tuple[str, ...] = ()
    restricts: str
    source: str = Field(pattern=r"^https://\S+$")


@cache
def known_licences() -> tuple[KnownLicence, ...]:
    """The table of ``licences.yaml``."""
    data = resources.files(__package__).joinpath("licences.yaml").read_bytes()
    return TypeAdapter(tuple[KnownLicence, ...]).validate_python(tuple(map(_entry, read_yaml(data).data)))


def _entry(fields: Mapping[str, Any]) -> KnownLicence:
    lists = {"names": tuple(fields["names"]), "text": tuple(fields.get("text", ()))}
    return KnownLicence.model_validate({**fields, **lists})


def review_licences(defined: str, card: Mapping[str, Any], texts: Mapping[str, str]) -> Iterator[Finding]:
    """What the definition's licence, the model card's and the licence files (text by path) come to."""
    declared = card_licence(card)
    told: set[str] = set()
    for path, name in (("", licence_name(defined)), *((CARD, name) for name in declared)):
        for known in _by_name(name):
            if known.title not in told:
                told.add(known.title)
                yield finding("licence-restricts", path, f"the licence {name}: {_restricts(known)}", known.source)
        if path and not _by_name(name) and not is_expression(name):
            what = f"the licence {name!r} is not known here: read what it restricts{_link(card)}"
            yield finding("licence-unknown", path, what)
    for path, text in sorted(texts.items()):
        for known, verb in _by_text(text):
            if known.title not in told:
                told.add(known.title)
                neither = "which neither definition nor model card names"
                what = f"this {verb} the {known.title}, {neither}: {known.restricts}"
                yield finding("licence-restricts", path, what, known.source)
    if declared and not _same(licence_name(defined), declared):
        what = f"the model card says {', '.join(map(repr, declared))} and the definition {defined!r}"
        yield finding("licence-differs", CARD, what)


def _restricts(known: KnownLicence) -> str:
    return f"{known.title}: {known.restricts}"


def _by_name(name: str) -> list[KnownLicence]:
    """By the whole name, or the first word of it: people write ``llama3.1 (Llama 3.1 Community License)``."""
    names = {name.casefold(), *name.casefold().split()[:1]}
    return [
        known
        for known in known_licences()
        if any(fnmatchcase(small, pattern) for small in names for pattern in known.names)
    ]


def _by_text(text: str) -> Iterator[tuple[KnownLicence, str]]:
    """Each licence that the text ``is`` or ``mentions``."""
    beginning = text[:_BEGINNING]
    front = _FRONT.match(beginning)
    title, everything = (
        " ".join(part.casefold().split()) for part in (beginning[front.end() if front else 0 :], beginning)
    )
    for known in known_licences():
        if title.startswith(known.text):
            yield known, "is"
        elif any(words in everything for words in known.text):
            yield known, "mentions"


def _link(card: Mapping[str, Any]) -> str:
    link = card.get("license_link")
    return f", at {link}" if isinstance(link, str) and link.strip() else ""


def _same(defined: str, declared: Iterable[str]) -> bool:
    names = {defined.casefold(), *defined.casefold().split()[:1]}
    return any(name.casefold() in names for name in declared)
