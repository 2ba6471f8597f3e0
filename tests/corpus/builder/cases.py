"""The cases as they stand in ``cases/*.yaml``: read strictly, in a fixed order.

A case is a good bundle (``base``) and a list of operations; each operation has one place
(``in`` a document before it is signed, ``on`` a path of the finished bundle), one verb and
its argument.  README.md has the table of places and verbs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from appliance.model.yamlform import read_yaml

HERE = Path(__file__).parents[1]
Judge = Literal["verify", "import", "verify.sh", "before OpenSSL 3.5"]
# Before 3.5 OpenSSL reads no ML-DSA-87, and who rests on it counts such signatures as absent.
Verifier = Literal["verify", "import", "verify.sh", "verify before OpenSSL 3.5", "verify.sh before OpenSSL 3.5"]
Subject = Literal["bundle", "weights", "wheel", "image"]

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_IMITATED = re.compile(r"CVE-[0-9]{4}-[0-9]{4,}|GHSA(?:-[0-9a-z]{4}){3}|CWE-[1-9][0-9]*")


@dataclass(frozen=True)
class Operation:
    """One thing that is done: ``verb`` with ``argument``, at ``place``; ``on_disk`` once all is signed."""

    place: Any
    on_disk: bool
    verb: str
    argument: Any


def _operation(value: Any) -> Operation:
    if isinstance(value, Operation):
        return value
    places = [key for key in ("in", "on") if key in value]
    verbs = [key for key in value if key not in places]
    if len(places) != 1 or len(verbs) != 1:
        raise ValueError(f"an operation is one place, 'in' or 'on', and one verb: {value}")
    return Operation(value[places[0]], places[0] == "on", verbs[0], value[verbs[0]])


def _named(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name: use a-z, 0-9 and single hyphens")
    return value


def _imitated(value: str) -> str:
    if not _IMITATED.fullmatch(value):
        raise ValueError(f"{value!r} is no CVE, GHSA or CWE")
    return value


Operations = tuple[Annotated[Operation, BeforeValidator(_operation)], ...]
Name = Annotated[str, AfterValidator(_named)]
Imitated = Annotated[str, AfterValidator(_imitated)]


class Data(BaseModel):
    """What is read from YAML: unknown keys refused, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=True)


class Told(Data):
    """What one verifier says of a case.

    ``refused`` is the stable reference, with ``why`` where that differs from what others say;
    ``accepted`` and ``not_asked`` are sentences that give the reason.
    """

    refused: str = ""
    code: int = 3
    why: str = ""
    accepted: str = ""
    not_asked: str = Field("", alias="not asked")

    @model_validator(mode="after")
    def _one(self) -> "Told":
        if sum(map(bool, (self.refused, self.accepted, self.not_asked))) != 1:
            raise ValueError("say one of refused, accepted, not asked")
        return self

    @property
    def exit_code(self) -> int:
        """What the verifier has to end with."""
        return 0 if self.accepted else self.code


class Before(Data):
    """A bundle that a site has accepted before: a base, and what was done to it."""

    base: Name = ""
    do: Operations = ()


class Beside(Data):
    """An override for the bundle: what it ``allows``, ``by`` whom it is signed, ``over`` which type."""

    allows: tuple[str, ...] = ("rollback",)
    by: tuple[str, ...] = ("first", "second")
    over: str = ""
    do: Operations = ()


class Case(Data):
    """One bundle and what has to be said of it.

    ``verdict`` is what all say who are not named in ``others``.  ``meanwhile`` is done while
    the verifier works, at the moment ``when``: once everything is ``listed``, before files
    are ``hashed``, or before it ``read``s a document.  ``history`` is what the site has
    accepted before, ``policy`` what it demands, ``override`` what it is given beside the bundle.
    """

    name: Name
    group: str = ""
    subject: Subject = "bundle"
    what: str = ""
    imitates: tuple[Imitated, ...] = ()
    rows: tuple[Name, ...] = ()
    base: Name = "two-signers"
    do: Operations = ()
    when: str = ""
    meanwhile: Operations = ()
    history: tuple[Before, ...] = ()
    policy: dict[str, Any] = {}
    override: Beside | None = None
    verdict: Told
    others: dict[Judge, Told] = {}

    @property
    def id(self) -> str:
        """``group/name``: stable, and the case's directory."""
        return f"{self.group}/{self.name}"

    @property
    def good(self) -> bool:
        """Whether everybody has to accept it."""
        return bool(self.verdict.accepted)

    def told(self, verifier: Verifier) -> Told:
        """What ``verifier`` has to say."""
        name, old, _ = verifier.partition(" before OpenSSL 3.5")
        others = {str(judge): told for judge, told in self.others.items()}
        return (others.get("before OpenSSL 3.5") if old else None) or others.get(name, self.verdict)

    @property
    def alone(self) -> bool:
        """Whether any verifier can be asked: a directory and a root document, and nothing beside them."""
        return self.subject == "bundle" and not (self.when or self.history or self.policy or self.override)


class Row(Data):
    """One attack class of ``classes.yaml``: a thing to refuse, and where it was seen."""

    row: Name
    refuse: str
    seen: tuple[Imitated, ...] = ()


def _case(value: Mapping[str, Any], common: Mapping[str, Any]) -> Case:
    if "accepted" in value:  # among cases that are refused
        common = {key: common[key] for key in common.keys() - {"refused", "code", "rows", "imitates"}}
    fields = {**common, **value}
    for key in ("imitates", "rows"):
        fields[key] = tuple(dict.fromkeys([*common.get(key, ()), *value.get(key, ())]))
    refused, accepted, code = (fields.pop(key, None) for key in ("refused", "accepted", "code"))
    fields["verdict"] = {
        key: value for key, value in (("refused", refused), ("accepted", accepted), ("code", code)) if value is not None
    }
    fields["others"] = {key: fields.pop(key) for key in get_args(Judge) if key in fields}
    return Case.model_validate(fields)


def reads_ml_dsa(openssl: str) -> bool:
    """Whether that OpenSSL does, by what ``openssl version`` says."""
    found = re.match(r"OpenSSL (\d+)\.(\d+)", openssl)
    return found is not None and tuple(map(int, found.groups())) >= (3, 5)


def script_with(openssl: str) -> Verifier:
    """verify.sh as a verifier, by what ``openssl version`` says."""
    return "verify.sh" if reads_ml_dsa(openssl) else "verify.sh before OpenSSL 3.5"


@cache
def load_cases() -> Mapping[str, Case]:
    """All cases by id.  Raises ValueError naming the file for what is none."""
    found: dict[str, Case] = {}
    for path in sorted((HERE / "cases").glob("*.yaml")):
        data = read_yaml(path.read_bytes()).data
        common = {key: value for key, value in data.items() if key not in ("about", "cases")}
        for value in data["cases"]:
            try:
                case = _case(value, {**common, "group": path.stem})
            except ValueError as error:
                raise ValueError(f"{path.name}: {value.get('name')}: {error}") from None
            if case.id in found:
                raise ValueError(f"{case.id} is there twice")
            found[case.id] = case
    return found


@cache
def load_rows() -> Mapping[str, Row]:
    """The attack classes by their ids, in the order of ``classes.yaml``."""
    rows = [Row.model_validate(value) for value in read_yaml((HERE / "classes.yaml").read_bytes()).data["rows"]]
    return {row.row: row for row in rows}


@cache
def load_bases() -> Mapping[str, Operations]:
    """The good bundles that cases start from."""
    data = read_yaml((HERE / "bases.yaml").read_bytes()).data["bases"]
    return {name: tuple(_operation(value) for value in operations) for name, operations in data.items()}


def group(name: str) -> list[Case]:
    """The cases of one file."""
    return [case for case in load_cases().values() if case.group == name]
