"""Controls of others' catalogues that the appliance helps with: ``appliance/controls.yaml``, which we write.

For each it says what we do, which tests show that, which findings of an audit speak against it, and what stays the
site's.  It claims no control as a whole.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from appliance.model.base import Strict
from appliance.model.times import Time

CONTROLS_SCHEMA: Literal["appliance.controls/v1"] = "appliance.controls/v1"

# The catalogue whose identifiers controls have; the others are references.
CATALOGUE = "sp800-53r5"

Material = Literal["bundle", "log", "receipt", "head", "own-key", "host", "base", "snapshot"]

# What an audit may have looked at.
MATERIALS: Mapping[Material, str] = {
    "bundle": "bundles, each verified anew",
    "log": "the site's log and its chain",
    "receipt": "receipts that the site has signed",
    "head": "heads of the log that were kept elsewhere",
    "own-key": "the site's public key, brought from elsewhere",
    "host": "what hosts said they run",
    "base": "the list of a fresh host's OS packages",
    "snapshot": "the newest advisories that were carried in",
}

# As OSCAL writes it: AC-6(1) is ac-6.1.
ControlId = Annotated[str, Field(pattern=r"\A[a-z]{2}-[1-9][0-9]?(\.[1-9][0-9]?)?\z")]
Word = Annotated[str, Field(pattern=r"\A[a-z0-9]+([.-][a-z0-9]+)*\z")]
Sentence = Annotated[str, Field(pattern=r"\A\S(.*\S)?\z")]
TestName = Annotated[str, Field(pattern=r"\Atests/[a-z0-9_/]+\.py::test_[a-z0-9_]+\z")]


class Standard(Strict):
    """A catalogue: ``source`` is its address, ``read`` says what of it was read when identifiers were chosen."""

    title: Sentence
    source: Annotated[str, Field(pattern=r"\Ahttps://\S+\z")]
    read: Sentence


class Control(Strict):
    """A control, and what there is to say of it.

    ``also`` has identifiers of other standards.  ``checks`` are references of findings or names of groups of them.
    Without ``needs`` no audit says anything of it.
    """

    id: ControlId
    title: Sentence
    also: dict[Word, tuple[Sentence, ...]] = Field(default_factory=dict)
    what: Sentence
    tests: Annotated[tuple[TestName, ...], Field(min_length=1)]
    needs: tuple[Material, ...] = ()
    checks: tuple[Word, ...] = ()
    site: Sentence

    @property
    def label(self) -> str:
        """As SP 800-53 prints it: AC-6(1)."""
        base, _, enhancement = self.id.upper().partition(".")
        return f"{base}({enhancement})" if enhancement else base

    @model_validator(mode="after")
    def _whole(self) -> "Control":
        if bool(self.needs) != bool(self.checks):
            raise ValueError("needs and checks belong together")
        return self


class Controls(Strict):
    """All of them, each once; ``groups`` name several references of findings at once."""

    schema_: Literal["appliance.controls/v1"] = Field(default=CONTROLS_SCHEMA, alias="schema")
    version: Sentence
    modified: Time
    standards: dict[Word, Standard]
    groups: dict[Word, tuple[Word, ...]]
    controls: tuple[Control, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "Controls":
        ids = [control.id for control in self.controls]
        if len(ids) != len(set(ids)):
            raise ValueError("a control is there twice")
        named = {CATALOGUE, *(name for control in self.controls for name in control.also)}
        if unknown := named - set(self.standards):
            raise ValueError(f"no standard is called {', '.join(sorted(unknown))}")
        return self

    def references(self, control: Control) -> frozenset[str]:
        """The findings that speak against a control, groups resolved."""
        return frozenset(one for check in control.checks for one in self.groups.get(check, (check,)))
