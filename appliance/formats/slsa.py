"""What a provenance of ours says, in the form of SLSA v1: https://slsa.dev/spec/v1.0/provenance."""

from typing import Any

from appliance.model.documents.contents import Provenance
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_INDEX

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"


def provenance_in(data: bytes) -> Provenance:
    """Builder, type of build, digest of what was asked for, number of inputs.  Raises ValueError."""
    value = strict_json(data, limit=MAX_INDEX)
    if not isinstance(value, dict) or value.get("predicateType") != PREDICATE_TYPE:
        raise ValueError(f"it is not a statement with the predicate {PREDICATE_TYPE}")
    build = _fields(value, "predicate", "buildDefinition")
    inputs = build.get("resolvedDependencies")
    if not isinstance(inputs, list):
        raise ValueError("resolvedDependencies is not a list")
    return Provenance(
        builder=_text(_fields(value, "predicate", "runDetails", "builder"), "id"),
        build_type=_text(build, "buildType"),
        definition=_text(_fields(build, "externalParameters", "digest"), "sha256"),
        inputs=len(inputs),
    )


def _fields(value: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        inner = value.get(name)
        if not isinstance(inner, dict):
            raise ValueError(f"{name} is not an object")
        value = inner
    return value


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name} is not a text")
    return text
