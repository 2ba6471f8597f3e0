"""The override: what the signers allow one site to do with one bundle, although it is refused.

A DSSE envelope like a root document's, signed by the release role's threshold.  It can
allow what depends on time and order alone; nothing can allow bytes, signatures or keys.
"""

from typing import Literal

from pydantic import Field, field_validator

from appliance.model.limits import MAX_REASON
from appliance.model.names import Name, Sha256, Version
from appliance.model.times import Lasting

OVERRIDE_SCHEMA: Literal["appliance.override/v1"] = "appliance.override/v1"
OVERRIDE_PAYLOAD_TYPE: Literal["application/vnd.appliance.override.v1+json"] = (
    "application/vnd.appliance.override.v1+json"
)

Allowance = Literal["expired", "rollback"]


class Override(Lasting):
    """The payload.  ``sha256sums`` is the SHA-256 of the bundle's SHA256SUMS.

    ``allows`` is sorted: ``expired`` for a bundle past its time, ``rollback`` for one that is
    older than what the site has accepted.  ``expires`` is the override's own end.
    """

    schema_: Literal["appliance.override/v1"] = Field(alias="schema")
    site: Name
    name: Name
    version: Version
    sha256sums: Sha256
    allows: tuple[Allowance, ...] = Field(min_length=1, json_schema_extra={"uniqueItems": True})
    reason: str = Field(min_length=1, max_length=MAX_REASON, pattern=r"\A[ -~]+\z")

    @field_validator("allows")
    @classmethod
    def _in_one_form(cls, allows: tuple[Allowance, ...]) -> tuple[Allowance, ...]:
        if list(allows) != sorted(set(allows)):
            raise ValueError("is not sorted, or names something twice")
        return allows
