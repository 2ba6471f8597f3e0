"""What a provenance of ours says, in the form of SLSA v1: https://slsa.dev/spec/v1.0/provenance."""

from appliance.formats.json_fields import object_at, text_at
from appliance.model.documents.contents import Provenance
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_INDEX

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"


def provenance_in(data: bytes) -> Provenance:
    """Builder, type of build, digest of what was asked for, number of inputs.  Raises ValueError."""
    value = strict_json(data, limit=MAX_INDEX)
    if not isinstance(value, dict) or value.get("predicateType") != PREDICATE_TYPE:
        raise ValueError(f"it is not a statement with the predicate {PREDICATE_TYPE}")
    build = object_at(value, "predicate", "buildDefinition")
    inputs = build.get("resolvedDependencies")
    if not isinstance(inputs, list):
        raise ValueError("resolvedDependencies is not a list")
    return Provenance(
        builder=text_at(object_at(value, "predicate", "runDetails", "builder"), "id"),
        build_type=text_at(build, "buildType"),
        definition=text_at(object_at(build, "externalParameters", "digest"), "sha256"),
        inputs=len(inputs),
    )
