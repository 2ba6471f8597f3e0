"""An audit's report: what it says, for programs; ``steps/audit/page.py`` shows the same to people.

Nothing here is trusted by anybody; each field says whose word it is.  What was verified stands
beside what was only said, and what does not fit together stands in ``findings``.
"""

from typing import Literal

from pydantic import Field

from appliance.model.base import Strict
from appliance.model.documents.bundle import SumsDigest
from appliance.model.documents.contents import Contents, ListedPart, ShownVulnerability
from appliance.model.documents.events import Install, Model, RootVersion, SignedBy
from appliance.model.documents.log import Head
from appliance.model.documents.vulnerabilities import Unmatched
from appliance.model.names import Sha256
from appliance.model.times import Time

AUDIT_SCHEMA: Literal["appliance.audit/v1"] = "appliance.audit/v1"


class Finding(Strict):
    """Something that an auditor has to know: a ``problem`` does not fit, a ``note`` does.

    ``reference`` is stable, as those of errors.
    """

    severity: Literal["problem", "note"]
    reference: str
    what: str
    where: str = ""


def problem(reference: str, what: str, where: str = "") -> Finding:
    """Something that does not fit."""
    return Finding(severity="problem", reference=reference, what=what, where=where)


def note(reference: str, what: str, where: str = "") -> Finding:
    """Something that fits, and is worth knowing."""
    return Finding(severity="note", reference=reference, what=what, where=where)


class AuditedKey(Strict):
    """A key of a root document; ``roles`` are the names of those that it is in."""

    keyid: str
    label: str
    use: str
    type: str
    roles: tuple[str, ...]


class AuditedRole(Strict):
    """How many of which keys a role demands."""

    name: str
    threshold: int
    keys: int


class AuditedRoot(RootVersion):
    """A root document of the chain: in force from ``created``, or from when its successor was not known."""

    created: str
    expires: str
    roles: tuple[AuditedRole, ...]
    keys: tuple[AuditedKey, ...]
    revoked: tuple[str, ...]
    signed_by: tuple[str, ...]


class AuditedFile(Strict):
    """A signed file; ``origin`` is where the lock says that it was fetched, a record and no proof."""

    path: str
    sha256: str
    size: int
    origin: str = ""


class AuditedArtifact(Strict):
    """An artifact as the signed bundle.json explains it.

    ``inputs`` are what the lock says that it was made from: fetched, and not carried.
    """

    kind: str
    name: str
    licence: str
    source: dict[str, str]
    details: dict[str, str]
    files: tuple[AuditedFile, ...]
    inputs: tuple[AuditedFile, ...]


class AuditedBundle(Strict):
    """A bundle that verifies: every field but origins was signed.

    ``shared`` files belong to no single artifact, ``own`` are those that check and explain the others.
    """

    path: str
    name: str
    version: str
    description: str
    created: str
    expires: str
    previous: str | None
    files: int
    bytes: int
    sums: SumsDigest
    root: RootVersion
    signers: tuple[SignedBy, ...]
    current: bool
    serves: tuple[str, ...]
    artifacts: tuple[AuditedArtifact, ...]
    shared: tuple[AuditedFile, ...]
    own: tuple[AuditedFile, ...]


class AuditedEntry(Strict):
    """A line of the log, told."""

    seq: int
    time: str
    event: str
    tells: str


class AuditedLog(Strict):
    """The log as far as its chain holds."""

    head: Head
    torn_bytes: int
    entries: tuple[AuditedEntry, ...]


class AuditedReceipt(Strict):
    """A receipt or head whose signature by the site's key holds, and the line of the log that it names.

    ``sha256`` is that of the file.
    """

    kind: Literal["receipt", "head"]
    file: str
    sha256: Sha256
    time: str
    seq: int
    tells: str


class AuditedModel(Model):
    """A model of a host; ``bundles`` are the audited ones that hold its image and all its weights."""

    name: str
    bundles: tuple[str, ...]


class AuditedHost(Strict):
    """What a host ran when the log's line ``seq`` was written.

    ``from_bundle`` counts the OS packages that it has in the version of its bundle,
    ``other_version`` names those that it has in another, and ``unknown`` those that its bundle
    does not have.  What the base system has, as far as the auditor has told, is in neither.
    """

    seq: int
    time: str
    install: Install
    models: tuple[AuditedModel, ...]
    from_bundle: int
    other_version: tuple[str, ...]
    unknown: tuple[str, ...]


# Why a vulnerability is listed: it became known, it became known to be exploited, a version with the fix became known.
News = Literal["known", "exploited", "fixed"]


class AuditedVulnerability(ShownVulnerability):
    """One of a bundle, whether it is news since that was built, and whether its own policy refuses it today.

    ``hosts`` have the OS package in this version, or run the image that it is in, as they said of themselves; of an
    image, ``models`` are those that it serves there.
    """

    news: News | None
    refused: bool
    hosts: tuple[str, ...]
    models: tuple[str, ...]


class AuditedVulnerabilities(Strict):
    """A bundle by the newest advisories that were carried in, of ``taken``; ``before`` is the day of its own, if any.

    ``known`` counts all that is known of it now.  ``listed`` has what follows from that: what is news, and what its
    own policy refuses today.  ``others`` are the rest, which was known when it was built.
    """

    bundle: str
    advisories: str
    taken: Time
    before: Time | None
    known: int
    matched: int
    unmatched: tuple[Unmatched, ...]
    listed: tuple[AuditedVulnerability, ...]
    others: tuple[AuditedVulnerability, ...] = ()


class AuditedContents(Contents):
    """What is inside of a bundle that verifies; vulnerabilities are those of the newest advisories.

    ``taken`` is the day of these, None where no bundle carries any that can be read.
    """

    taken: Time | None
    parts: tuple[ListedPart, ...]


class Report(Strict):
    """The whole of it.

    ``auditor`` is who they say they are.  ``base`` says whether the base system's OS packages
    were known.  ``fits`` is False when there is a problem among the findings.
    """

    schema_: Literal["appliance.audit/v1"] = Field(default=AUDIT_SCHEMA, alias="schema")
    time: str
    tool: str
    auditor: str | None
    site: str | None
    site_key: str | None
    trusted_root: Sha256 | None
    base: bool
    fits: bool
    findings: tuple[Finding, ...]
    roots: tuple[AuditedRoot, ...]
    bundles: tuple[AuditedBundle, ...]
    log: AuditedLog | None
    receipts: tuple[AuditedReceipt, ...]
    hosts: tuple[AuditedHost, ...]
    vulnerabilities: tuple[AuditedVulnerabilities, ...] = ()
    contents: tuple[AuditedContents, ...] = ()
