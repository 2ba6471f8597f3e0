"""The report as one HTML page, with the one script that it may run: its policy names the digest of that."""

import base64
import hashlib
from importlib import resources

from markupsafe import Markup

from appliance.model.documents.audit import AuditedVulnerability, Report
from appliance.model.documents.contents import PART_TYPES, SET
from appliance.model.documents.vulnerabilities import SEVERITIES
from appliance.steps.documents.contents import PART_COLUMNS, VULNERABILITY_COLUMNS, worst_first
from appliance.steps.documents.html import rendered

_SCRIPT = "report.js"
# What an audit knows of a vulnerability beyond the bundle's own table.
_AUDIT_COLUMNS = ("refused", "news", "hosts", "models")


def page(report: Report) -> str:
    """The whole page."""
    script = resources.files("appliance").joinpath(_SCRIPT).read_text(encoding="utf-8")
    return rendered(
        "report.html.j2",
        report=report,
        vulnerabilities=_vulnerabilities(report),
        parts=[(bundle.bundle, one) for bundle in report.contents for one in bundle.parts if one.type != SET],
        types=PART_TYPES,
        severities=SEVERITIES,
        part_columns=" ".join(PART_COLUMNS),
        vulnerability_columns=" ".join((*VULNERABILITY_COLUMNS, *_AUDIT_COLUMNS)),
        script=Markup(script),  # noqa: S704 - a file of this package
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _vulnerabilities(report: Report) -> list[tuple[str, AuditedVulnerability]]:
    """All that are known of any bundle, the worst first."""
    found = [(known.bundle, one) for known in report.vulnerabilities for one in (*known.listed, *known.others)]
    return sorted(found, key=lambda entry: (*worst_first(entry[1]), entry[0]))
