"""The definition: what a person writes to say what a bundle holds, and what definitions share.

Only heads are typed here.  The sections of the kinds are typed by the kinds, so a new
kind changes nothing in this file.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from appliance.model.base import Strict
from appliance.model.documents.licences import LicencePolicy
from appliance.model.documents.policy import Profile
from appliance.model.documents.vulnerabilities import VulnerabilityPolicy
from appliance.model.limits import MAX_INCLUDES, MAX_ROOT_VERSION
from appliance.model.names import Name, Version, path_problem
from appliance.model.serving.adapters import check_served_names
from appliance.model.serving.wanted import WantedProfile

DEFINITION_SCHEMA: Literal["appliance.definition/v1"] = "appliance.definition/v1"
INCLUDE_SCHEMA: Literal["appliance.include/v1"] = "appliance.include/v1"


class DefinitionHead(Strict):
    """What a definition says about the bundle as a whole.

    ``expires_after_days`` counts from the day of sealing; ``previous`` is the version
    this one follows; ``serving`` tells how each model is to be served, by the name that
    clients ask for.  ``profile`` makes the bundle fit for sites that demand it.  ``licences`` says
    which licences the bundle may hold, ``vulnerabilities`` which known ones keep it from being built.
    """

    schema_: Literal["appliance.definition/v1"] = Field(alias="schema")
    name: Name
    version: Version
    description: str = Field(min_length=1, max_length=500)
    expires_after_days: int = Field(default=365, ge=1, le=3650)
    previous: Version | None = None
    minimum_root_version: int = Field(default=1, ge=1, le=MAX_ROOT_VERSION)
    profile: Profile | None = None
    serving: dict[Name, WantedProfile] = {}
    licences: LicencePolicy | None = None
    vulnerabilities: VulnerabilityPolicy | None = None

    @model_validator(mode="after")
    def _served_once(self) -> "DefinitionHead":
        check_served_names(self.serving)
        return self


def _check_included(value: str) -> str:
    if problem := path_problem(value):
        raise ValueError(f"path {value!r} {problem}: included files must be below the definition's directory")
    return value


class Includes(Strict):
    """Files whose artifacts belong to the definition too; paths are relative to it and never lead up."""

    include: tuple[Annotated[str, AfterValidator(_check_included)], ...] = Field(default=(), max_length=MAX_INCLUDES)


class IncludedHead(Strict):
    """All that an included file says beside its artifacts."""

    schema_: Literal["appliance.include/v1"] = Field(alias="schema")
