"""What is inside of a bundle, counted: of its SBOM, its report of vulnerabilities and its provenance.

Nothing here is new: it is what evidence of the bundle says, in the form in which people look at it first.
"""

from appliance.model.base import Strict
from appliance.model.documents.vulnerabilities import AppliedWaiver, Severity, Vulnerability
from appliance.model.names import Sha256

# What parts are called, in the order in which they are shown.  A set is an artifact that holds others.
OS_PACKAGE, DISTRIBUTION, OTHER, IMAGE, MODEL, SET = (
    "OS package",
    "Python distribution",
    "other package",
    "image",
    "model",
    "set",
)
PART_TYPES = (OS_PACKAGE, DISTRIBUTION, OTHER, IMAGE, MODEL)


class ListedPart(Strict):
    """One part that an SBOM lists, files left out.

    ``artifact`` is its artifact, ``part`` its name in the SBOM (``bom-ref``); ``licences`` are what its authors
    declare, and ``purl`` is empty of what is no package.
    """

    artifact: str
    part: str
    type: str
    name: str
    version: str
    licences: tuple[str, ...] = ()
    purl: str = ""


class ArtifactContents(Strict):
    """One artifact: ``parts`` counts by type, ``vulnerabilities`` by severity, each of its own."""

    artifact: str
    parts: dict[str, int] = {}
    vulnerabilities: dict[Severity, int] = {}


class DatedWaiver(AppliedWaiver):
    """A waiver of the definition, and whether its last day is over."""

    ended: bool


class ShownVulnerability(Vulnerability):
    """One of the report, with the artifact of its part, and the last day of a waiver that lets it pass today."""

    artifact: str
    waived_until: str = ""


class Provenance(Strict):
    """Who made the bundle of what.

    ``definition`` is the digest of what was asked for, ``inputs`` counts what was fetched or taken from the
    builder's host.
    """

    builder: str
    build_type: str
    definition: Sha256
    inputs: int


class Contents(Strict):
    """A bundle at a glance.

    ``licences`` are numbers of parts by what they declare, ``""`` being nothing, the most frequent first;
    ``severities`` are numbers of vulnerabilities of parts, the worst first.  ``provenance`` is None of a bundle that
    has none.
    """

    bundle: str
    artifacts: tuple[ArtifactContents, ...]
    licences: dict[str, int]
    severities: dict[Severity, int]
    waivers: tuple[DatedWaiver, ...]
    provenance: Provenance | None


def artifact_of(part: str) -> str:
    """The artifact that a part belongs to: names of parts begin with it."""
    return "/".join(part.split("/")[:2])
