"""What a site remembers of the bundles that it has accepted.

Written by the appliance alone, in canonical JSON; ``jq . state.json`` shows it.  What
follows from it is for trust/ratchet.py to say.
"""

from typing import Literal

from pydantic import Field, ValidationError, model_validator

from appliance.model.base import Strict
from appliance.model.jsonform import canonical_json, parse_canonical
from appliance.model.limits import MAX_STATE
from appliance.model.names import Name, Sha256, Version
from appliance.model.times import Time
from appliance.model.value_problem import first_problem

STATE_SCHEMA: Literal["appliance.state/v1"] = "appliance.state/v1"


class Accepted(Strict):
    """A bundle that was accepted: its version, and the SHA-256 of its SHA256SUMS."""

    version: Version
    sha256sums: Sha256


class Epoch(Strict):
    """What was accepted while one release role was in force.

    ``time`` is the latest moment that accepted documents prove to have been, UTC.
    ``bundles`` has the highest version of each name.
    """

    time: Time
    bundles: dict[Name, Accepted]


class SiteState(Strict):
    """The whole of ``state.json``.

    ``roots`` are the accepted root documents from version 1 on: the SHA-256 of each one's
    payload, which is what it says without who signed it.  ``epochs`` are known by the version
    of the root document that began them.  ``counter`` is the TPM's when this was written.
    """

    schema_: Literal["appliance.state/v1"] = Field(default=STATE_SCHEMA, alias="schema")
    roots: tuple[Sha256, ...] = ()
    epochs: dict[int, Epoch] = {}
    counter: int | None = Field(default=None, ge=0, lt=2**53)

    @model_validator(mode="after")
    def _consistent(self) -> "SiteState":
        for epoch in self.epochs:
            if not 1 <= epoch <= len(self.roots):
                raise ValueError(f"no accepted root document began epoch {epoch}")
        return self

    @classmethod
    def from_bytes(cls, data: bytes) -> "SiteState":
        """Read it.  Raises ValueError for anything but its one form."""
        parse_canonical(data, limit=MAX_STATE)
        try:
            state = cls.model_validate_json(data)
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        if state.to_bytes() != data:
            raise ValueError("is not in the canonical form of a state")
        return state

    def to_bytes(self) -> bytes:
        """Write it."""
        value = self.model_dump(mode="json", by_alias=True)
        return canonical_json({**value, "epochs": {str(epoch): what for epoch, what in value["epochs"].items()}})
