"""Statements of a security team on vulnerabilities, in OpenVEX 0.2.0: https://github.com/openvex/spec

Read strictly: a statement that we would take for less than it says is refused, and so is one that has no meaning here.
A product is a package by its package URL with a version, as SBOMs have it; what the format allows beside that
(subcomponents, CPEs, hashes alone, products that are told elsewhere) is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from packaging.utils import canonicalize_name
from pydantic import ConfigDict, Field, PlainValidator, ValidationError, model_validator

from appliance.formats.purl import Purl, parse_purl
from appliance.model.base import Strict
from appliance.model.documents.vulnerabilities import VexStatus
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_VEX, MAX_VEX_TEXT
from appliance.model.value_problem import first_problem

Justification = Literal[
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
]
# Of two statements of one moment, the one that lets less pass counts.
_CAUTION: tuple[VexStatus, ...] = ("not_affected", "fixed", "under_investigation", "affected")

_Text = Annotated[str, Field(min_length=1, max_length=MAX_VEX_TEXT)]


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = datetime.min
    if moment.tzinfo is None or not 2000 <= moment.year < 2100:
        raise ValueError(f"{str(text)[:40]!r} is no time with its zone, of this century")
    return moment.astimezone(UTC)


_Moment = Annotated[datetime, PlainValidator(_moment)]


class _Form(Strict):
    model_config = ConfigDict(populate_by_name=False)  # "context" is no "@context"


class _Vulnerability(_Form):
    id_: _Text | None = Field(default=None, alias="@id")
    name: _Text
    description: str = ""
    aliases: tuple[_Text, ...] = ()


class _Identifiers(_Form):
    purl: _Text


class _Product(_Form):
    id_: _Text | None = Field(default=None, alias="@id")
    identifiers: _Identifiers | None = None

    def purl(self) -> Purl:
        """Raises ValueError for a product that is named in another way."""
        named = [self.id_] if self.id_ and self.id_.startswith("pkg:") else []
        named += [self.identifiers.purl] if self.identifiers else []
        if len(set(named)) != 1:
            raise ValueError("a product needs one package URL, as its @id or as identifiers.purl")
        return parse_purl(named[0])


class _Statement(_Form):
    id_: _Text | None = Field(default=None, alias="@id")
    version: int | None = Field(default=None, ge=1)
    vulnerability: _Vulnerability
    timestamp: _Moment | None = None
    last_updated: _Moment | None = None
    products: tuple[_Product, ...] = Field(min_length=1)
    status: VexStatus
    supplier: str = ""
    status_notes: _Text | None = None
    justification: Justification | None = None
    impact_statement: _Text | None = None
    action_statement: _Text | None = None
    action_statement_timestamp: _Moment | None = None

    @model_validator(mode="after")
    def _says_why(self) -> "_Statement":
        if self.status == "not_affected" and not (self.justification or self.impact_statement):
            raise ValueError("is not_affected without a justification or an impact_statement")
        if self.status == "affected" and not self.action_statement:
            raise ValueError("is affected without an action_statement")
        return self

    @model_validator(mode="after")
    def _is_updated_later(self) -> "_Statement":
        if self.timestamp and self.last_updated and self.last_updated < self.timestamp:
            raise ValueError("contradicts itself: last_updated is before its timestamp")
        return self


class _Document(_Form):
    context: Literal["https://openvex.dev/ns/v0.2.0"] = Field(alias="@context")
    id_: _Text = Field(alias="@id")
    author: _Text
    role: str = ""
    timestamp: _Moment
    last_updated: _Moment | None = None
    version: int = Field(ge=1)
    tooling: str = ""
    statements: tuple[_Statement, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Statement:
    """One statement: ``names`` are the id and aliases of the vulnerability, ``why`` what the team says of it.

    ``time`` is when it was last updated or else made, which is the document's moment where it has none of its own.
    """

    names: frozenset[str]
    products: tuple[Purl, ...]
    status: VexStatus
    why: str
    time: datetime

    def concerns(self, part: Purl, names: Iterable[str]) -> bool:
        """Whether it is about one of ``names`` in ``part``."""
        return not self.names.isdisjoint(names) and any(_same(product, part) for product in self.products)


@dataclass(frozen=True)
class Vex:
    """A document."""

    statements: tuple[Statement, ...]

    def about(self, part: Purl, names: Iterable[str]) -> Statement | None:
        """What holds of ``part`` now: the newest statement, and of one moment the most cautious."""
        wanted = frozenset(names)
        found = [one for one in self.statements if one.concerns(part, wanted)]
        return max(found, key=lambda one: (one.time, _CAUTION.index(one.status)), default=None)


def parse_vex(data: bytes) -> Vex:
    """Read a document.  Raises ValueError."""
    strict_json(data, limit=MAX_VEX)
    try:
        document = _Document.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    return Vex(tuple(_read(one, document.timestamp) for one in document.statements))


def _read(one: _Statement, issued: datetime) -> Statement:
    said = (one.justification, one.impact_statement, one.action_statement, one.status_notes)
    return Statement(
        names=frozenset({one.vulnerability.name, *one.vulnerability.aliases}),
        products=tuple(product.purl() for product in one.products),
        status=one.status,
        why="; ".join(filter(None, said)),
        time=one.last_updated or one.timestamp or issued,
    )


def _same(product: Purl, part: Purl) -> bool:
    """Whether ``part`` is the product: what the product leaves open (architecture, release) may be anything."""

    def name(purl: Purl) -> str:
        return canonicalize_name(purl.name) if purl.type == "pypi" else purl.name

    return (
        (product.type, product.namespace, name(product), product.version)
        == (part.type, part.namespace, name(part), part.version)
        # What is more than the part says is another part.
        and product.qualifiers.items() <= part.qualifiers.items()
    )
