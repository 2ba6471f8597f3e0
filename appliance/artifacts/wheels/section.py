"""What a definition says about one set of wheels."""

from pydantic import Field

from appliance.artifacts.base import ArtifactSection
from appliance.model.documents.wheel_set import WheelSet


class WheelsSection(WheelSet, ArtifactSection):
    """A named set of wheels.  ``licence`` is what people are told of the whole set."""

    licence: str = Field(min_length=1)
