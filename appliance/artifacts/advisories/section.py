"""What a definition says about a snapshot of advisories, and what a lock keeps of it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from appliance.artifacts.advisories.snapshot import DEBIAN, EPSS, KEV, OSV
from appliance.artifacts.base import ArtifactSection
from appliance.model.addresses import check_server
from appliance.model.base import Strict
from appliance.model.names import BundlePath
from appliance.model.times import Day, Time

Url = Annotated[str, AfterValidator(check_server)]


class AdvisoriesSources(Strict):
    """Where each source publishes; without one of the last two, the snapshot has nothing of it."""

    osv: Url = "https://storage.googleapis.com/osv-vulnerabilities/PyPI/all.zip"
    debian: Url = "https://security-tracker.debian.org/tracker/data/json"
    epss: Url | None = "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"
    kev: Url | None = "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"

    def by_file(self) -> dict[str, str]:
        """Addresses by the name of the file in the snapshot."""
        urls = {OSV: self.osv, DEBIAN: self.debian, EPSS: self.epss, KEV: self.kev}
        return {name: url for name, url in urls.items() if url}


class VexSection(Strict):
    """Statements of the security team: ``directory`` beside the definition holds ``openvex.json`` alone.

    They hold through ``until``, in UTC.  OpenVEX has no such day, and who reviews a statement sets one.
    """

    directory: BundlePath
    until: Day


class AdvisoriesSection(ArtifactSection):
    """One entry under ``advisories``: ``sources``, or a ``directory`` beside the definition that has their files.

    ``vex`` is what the security team states of vulnerabilities.
    """

    sources: AdvisoriesSources | None = None
    directory: BundlePath | None = None
    vex: VexSection | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "AdvisoriesSection":
        if self.sources is not None and self.directory is not None:
            raise ValueError("gives sources and a directory: give one of them, or none for the usual sources")
        return self


class AdvisoriesOrigin(Strict):
    """What a lock keeps of it: ``directory`` where it came from one, else its files have addresses.

    ``vex_directory`` and ``vex_until`` are those of the security team's statements.
    """

    type: Literal["sources", "directory"]
    taken: Time
    directory: BundlePath | None = Field(default=None)
    vex_directory: BundlePath | None = Field(default=None)
    vex_until: Day | None = Field(default=None)

    @model_validator(mode="after")
    def _has_its_directory(self) -> "AdvisoriesOrigin":
        if (self.type == "directory") != (self.directory is not None):
            raise ValueError("says no directory where it should, or one where it should not")
        if (self.vex_directory is None) != (self.vex_until is None):
            raise ValueError("says of VEX statements where they are or how long they hold, and not both")
        return self
