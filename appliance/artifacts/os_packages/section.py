"""What a definition says about one set of OS packages."""

from pydantic import Field

from appliance.artifacts.base import ArtifactSection
from appliance.model.documents.package_set import PackageSet


class OsPackagesSection(PackageSet, ArtifactSection):
    """A package set, and its licence as an expression or in words."""

    licence: str = Field(min_length=1, max_length=500)
