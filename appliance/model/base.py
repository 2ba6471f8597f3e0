"""The base of all types: frozen, strict, unknown keys refused."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """No coercion ("1" is no number), no unknown key, no change after creation."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        validate_default=True,
        ser_json_inf_nan="constants",
        defer_build=True,  # most runs use a few of the types that they import
    )
