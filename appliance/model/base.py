"""The base of all types: frozen, strict, unknown keys refused."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast

T = TypeVar("T")
K = TypeVar("K")

# What may be long in a document that nobody has verified yet: each error takes some hundred times the memory of the
# value that it is about, so the first one is enough.
Many = Annotated[tuple[T, ...], FailFast()]
ManyByName = Annotated[dict[K, T], FailFast()]


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


# The same for what there may be 100,000 of: a frozen dataclass with slots takes a tenth of the memory.
STRICT = ConfigDict(strict=True, extra="forbid", validate_default=True, defer_build=True)
