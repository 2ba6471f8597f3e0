"""Small bundles of which vulnerabilities are known: an SBOM, a report, a policy, advisories, provenance."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from appliance.artifacts.advisories.matching import asked_of, match
from appliance.artifacts.advisories.policy import waives
from appliance.artifacts.advisories.snapshot import read_snapshot
from appliance.formats.cyclonedx import cyclonedx
from appliance.formats.purl import deb_purl, pypi_purl
from appliance.model.documents.definition import DEFINITION_SCHEMA, DefinitionHead
from appliance.model.documents.lock import LOCK_SCHEMA, Lock
from appliance.model.documents.vulnerabilities import AppliedWaiver, VulnerabilityPolicy, VulnerabilityReport, Waiver
from appliance.model.files import Content
from appliance.model.parts import Licences, Part, PartType
from appliance.steps.documents.lock import lock_text
from appliance.steps.sealing.provenance import provenance
from appliance.steps.sealing.vulnerabilities import report_text
from tests.support.advisories import fixed_in, kev, osv_archive, snapshot, tracker
from tests.support.audits import full
from tests.support.bundles import FILES, Recipe
from tests.support.sboms import TOOL, WHEN
from tests.support.sites import version

NGINX = Part(
    ref="os-packages/debian13/nginx_1.26.3-3_amd64.deb",
    type=PartType.OS_PACKAGE,
    name="nginx",
    version="1.26.3-3",
    purl=deb_purl("nginx", "1.26.3-3", "amd64", "trixie"),
    licences=Licences(declared=("BSD-2-Clause", "MIT")),
    facts=(("debian:source", "nginx"), ("debian:source-version", "1.26.3-3")),
)
JINJA = Part(
    ref="images/tiny/python/opt/jinja2-3.1.3.dist-info/METADATA",
    type=PartType.DISTRIBUTION,
    name="Jinja2",
    version="3.1.3",
    purl=pypi_purl("Jinja2", "3.1.3"),
)
YAML = Part(
    ref="wheels/control/pyyaml-5.3.1.whl",
    type=PartType.DISTRIBUTION,
    name="PyYAML",
    version="5.3.1",
    purl=pypi_purl("PyYAML", "5.3.1"),
    licences=Licences(declared=("MIT",)),
)
PARTS = (NGINX, JINJA, YAML)
# The number is made up.
HOLE = "CVE-2026-99999"
_HOLES: Mapping[str, Any] = {"nginx": {HOLE: {"releases": {"trixie": fixed_in("1.26.3-3+deb13u1", "high")}}}}
NEWS = {**snapshot(), "debian.json": tracker(_HOLES), "kev.json": kev((HOLE,))}
OLD = {**snapshot(), "osv-pypi.zip": osv_archive(), "debian.json": tracker()}
WAIVER = {"id": "CVE-2020-14343", "part": "wheels/*", "reason": "Never used. Ada.", "until": "2099-12-31"}


def sbom_of(*parts: Part) -> bytes:
    """The SBOM of a bundle that holds these."""
    return cyclonedx(Part(ref="bundle", type=PartType.BUNDLE, name="tiny", version="1.0.0", parts=parts), WHEN, TOOL)


def known(parts: Sequence[Part], files: Mapping[str, bytes], *waivers: Mapping[str, str]) -> bytes:
    """The report of a build whose snapshot has these files."""
    opened = {name: partial(io.BytesIO, data) for name, data in files.items()}
    told = read_snapshot(opened, asked_of(parts))
    done = match(parts, told)
    report = VulnerabilityReport(
        advisories="today",
        taken="2026-11-01T00:00:00Z",
        matched=done.matched,
        unread=0,
        unmatched=done.unmatched,
        vulnerabilities=done.vulnerabilities,
        waived=tuple(
            AppliedWaiver(**waiver, met=sum(waives(Waiver.model_validate(waiver), one) for one in done.vulnerabilities))
            for waiver in waivers
        ),
    )
    return report_text(report)


def bundle(*, policy: Mapping[str, Any] | None = None, report: bytes | None = None, sbom: bytes = b"") -> Recipe:
    """The bundle of the site: what it holds, what was known of it, and what its definition says of that."""
    told = VulnerabilityPolicy.model_validate(policy) if policy else None
    head = DefinitionHead(
        schema_=DEFINITION_SCHEMA, name="tiny", version="1.0.0", description="bad", vulnerabilities=told
    )
    lock = Lock(schema_=LOCK_SCHEMA, locked=WHEN, bundle=head, artifacts=())
    text = lock_text(lock)
    made = provenance(lock, {"evidence/lock.yaml": Content(sha256=hashlib.sha256(text).hexdigest(), size=len(text))})
    files = {
        "evidence/sbom/bundle.cdx.json": sbom or sbom_of(*PARTS),
        "evidence/lock.yaml": text,
        "evidence/provenance.json": made,
    }
    files |= {"evidence/vulnerabilities.json": report} if report else {}
    recipe = full()
    return recipe.but(files={**recipe.files, **files})


def carrier(
    files: Mapping[str, bytes], number: str = "2.0.0", taken: str = "2026-11-20T12:55:00Z", **details: str
) -> Recipe:
    """A bundle that has nothing new but advisories."""

    def index(value: dict[str, Any]) -> None:
        value["version"] = number
        own = [entry for entry in value["shared"] if entry["path"].startswith("advisories/")]
        value["shared"] = [entry for entry in value["shared"] if entry not in own]
        value["artifacts"].append(
            {
                "kind": "advisories",
                "name": "today",
                "licence": "various",
                "source": {},
                "details": {"path": "advisories/today", "taken": taken, **details},
                "files": own,
            }
        )

    return version(number, files={**FILES, **{f"advisories/today/{n}": d for n, d in files.items()}}, index=index)
