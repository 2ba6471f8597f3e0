"""What is known against the parts of a bundle: the report of a build, and what a definition lets pass.

The report is ``evidence/vulnerabilities.json``.  It follows from the lock alone, so it knows no time but that of its
snapshot; whether a waiver has ended is asked by those who build.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from appliance.model.base import Many, Strict
from appliance.model.jsonform import strict_json
from appliance.model.limits import MAX_INDEX
from appliance.model.names import Name
from appliance.model.times import Day, Time
from appliance.model.value_problem import first_problem

VULNERABILITIES_SCHEMA: Literal["appliance.vulnerabilities/v1"] = "appliance.vulnerabilities/v1"

Severity = Literal["critical", "high", "medium", "low", "none", "unknown"]
# From the worst: what nobody has rated may be anything but the worst.
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "unknown", "low", "none")
# ``undetermined``: whether the part is concerned, the advisory does not say, or its versions cannot be compared.
Status = Literal["affected", "undetermined"]


def _check_reason(value: str) -> str:
    if not value.strip():
        raise ValueError("says nothing: write why it does no harm here, and who has decided that")
    return value


ID_PATTERN = "[A-Za-z0-9][A-Za-z0-9._:-]{2,99}"
Id = Annotated[str, Field(pattern=rf"\A{ID_PATTERN}\z")]


class Condition(Strict):
    """What stops a build: a vulnerability that meets all that is said here.

    ``severity`` lists the words that count, of which ``unknown`` is one.  ``fixed`` asks whether there is a version
    with a fix, ``kev`` whether it is known to be exploited (CISA's catalogue), ``epss`` for at least this probability
    that it will be in the next 30 days.
    """

    severity: tuple[Severity, ...] | None = Field(default=None, min_length=1)
    fixed: bool | None = None
    kev: bool | None = None
    epss: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _says_something(self) -> "Condition":
        if self == Condition.model_construct():
            raise ValueError("says nothing: give severity, fixed, kev or epss")
        return self


class Waiver(Strict):
    """A vulnerability that is let pass.

    ``id`` is its id or an alias, ``part`` a pattern of parts; ``until`` is the last day on which it holds, in UTC.
    """

    id: Id
    part: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(max_length=1000), AfterValidator(_check_reason)]
    until: Day


class VulnerabilityPolicy(Strict):
    """What a security team writes into its definition: any of ``fail`` stops a build, ``waived`` are exceptions."""

    fail: tuple[Condition, ...] = ()
    waived: tuple[Waiver, ...] = ()


# OpenVEX's words: https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md#status-labels
VexStatus = Literal["not_affected", "affected", "fixed", "under_investigation"]


class VexStatement(Strict):
    """What the security team says of a vulnerability of a part, in OpenVEX's words; it holds through ``until``, in UTC.

    ``why`` has its justification and what else it says of the status.
    """

    status: VexStatus
    why: str
    until: Day

    def lets_pass(self, day: Day) -> bool:
        """Whether it says that the part has no such hole, and still does on ``day``."""
        return self.status in ("not_affected", "fixed") and day <= self.until

    def told(self) -> str:
        """It in words for people."""
        return f"{self.status} until {self.until}" + (f": {self.why}" if self.why else "")


class Vulnerability(Strict):
    """One vulnerability of one part.

    ``id`` is the CVE where there is one.  ``fixed`` is the version of ``package`` with the fix, or empty; the package
    of an OS package is its source, and ``version`` that of the source.  ``epss`` is as published, or empty.
    ``vex`` is what the security team states of it.
    """

    part: str
    package: str
    version: str
    id: str
    aliases: Many[str] = ()
    summary: str = ""
    status: Status = "affected"
    severity: Severity = "unknown"
    fixed: str = ""
    kev: bool = False
    epss: str = ""
    vex: VexStatement | None = None


class Unmatched(Strict):
    """Parts that nothing is known of, because the snapshot does not cover them: why, and how many."""

    why: str
    parts: int


class AppliedWaiver(Waiver):
    """A waiver, and how many vulnerabilities of parts it lets pass."""

    met: int


class VulnerabilityReport(Strict):
    """The whole of it.

    ``taken`` is the newest moment that the sources of the snapshot ``advisories`` tell of, ``matched`` counts the parts
    that were looked up in it.  ``unread`` counts its records that could not be read.
    """

    schema_: Literal["appliance.vulnerabilities/v1"] = Field(default=VULNERABILITIES_SCHEMA, alias="schema")
    advisories: Name
    taken: Time
    matched: int
    unread: int
    unmatched: Many[Unmatched] = ()
    vulnerabilities: Many[Vulnerability] = ()
    waived: Many[AppliedWaiver] = ()


def parse_report(data: bytes) -> VulnerabilityReport:
    """Read ``evidence/vulnerabilities.json``, of a bundle that nobody has verified too.

    Raises ValueError saying where it is wrong.
    """
    strict_json(data, limit=MAX_INDEX)
    try:
        return VulnerabilityReport.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
