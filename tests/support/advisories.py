"""Published advisories in small, in the forms in which their sources publish them.

The records of PyPI are those of https://github.com/github/advisory-database and
https://github.com/pypa/advisory-database (CC-BY 4.0), without their prose.  Those of Debian have the versions of its
advisories DSA-5059, 5497, 5523, 5532, 5673 and 5724.
"""

import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from appliance.formats.purl import deb_purl, pypi_purl
from appliance.model.parts import Part, PartType

_V31 = "CVSS:3.1/"
Fields = dict[str, Any]


def osv(name: str, distribution: str, *ranges: tuple[str, str], **more: Any) -> Fields:
    """A record with a range for each pair of versions: from the first on, mended in the second."""
    events = [[{"introduced": first}, *([{"fixed": last}] if last else [])] for first, last in ranges]
    return {
        "schema_version": "1.4.0",
        "id": name,
        "modified": "2024-07-08T14:35:53Z",
        "published": "2021-03-25T21:26:26Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": distribution},
                "ranges": [{"type": "ECOSYSTEM", "events": one}],
            }
            for one in events
        ],
        "references": [],
        **more,
    }


def _github(name: str, alias: str, word: str, vector: str, distribution: str, *ranges: tuple[str, str]) -> Fields:
    return osv(
        name,
        distribution,
        *ranges,
        aliases=[alias],
        severity=[{"type": "CVSS_V3", "score": f"{_V31}{vector}"}],
        database_specific={"severity": word, "github_reviewed": True, "nvd_published_at": None},
    )


def _pysec() -> Fields:
    """PYSEC-2023-74, which tells of the same hole in requests as GHSA-j8r2-6x86-q33q."""
    record = osv("PYSEC-2023-74", "requests", ("2.3.0", "2.31.0"), aliases=["CVE-2023-32681", "GHSA-j8r2-6x86-q33q"])
    commits = [{"introduced": "0"}, {"fixed": "74ea7cf7a6a27a4eeb2ae24e162bcc942a6706d5"}]
    git = {"type": "GIT", "repo": "https://github.com/psf/requests", "events": commits}
    record["affected"][0]["ranges"].insert(0, git)
    record["affected"][0]["versions"] = ["2.3.0", "2.10.0", "2.29.0", "2.30.0"]
    record["modified"] = "2023-06-05T01:13:00.534973Z"
    return record


PYPI: tuple[Fields, ...] = (
    _github(
        *("GHSA-j8r2-6x86-q33q", "CVE-2023-32681", "MODERATE", "AV:N/AC:H/PR:N/UI:R/S:C/C:H/I:N/A:N", "requests"),
        ("2.3.0", "2.31.0"),
    ),
    _pysec(),
    _github(
        *("GHSA-v845-jxx5-vc9f", "CVE-2023-43804", "MODERATE", "AV:N/AC:H/PR:H/UI:N/S:U/C:H/I:H/A:N", "urllib3"),
        *(("2.0.0", "2.0.6"), ("0", "1.26.17")),
    ),
    _github(
        *("GHSA-h75v-3vvj-5mfj", "CVE-2024-34064", "MODERATE", "AV:N/AC:L/PR:N/UI:R/S:U/C:L/I:L/A:N", "Jinja2"),
        ("0", "3.1.4"),
    ),
    _github(
        *("GHSA-8q59-q68h-6hv4", "CVE-2020-14343", "CRITICAL", "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "PyYAML"),
        ("0", "5.4"),
    ),
    _github(
        *("GHSA-xqr8-7jwr-rhp7", "CVE-2023-37920", "HIGH", "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:N", "certifi"),
        ("2015.04.28", "2023.07.22"),
    ),
    _github(
        *("GHSA-jjg7-2v4v-x38h", "CVE-2024-3651", "MODERATE", "AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", "idna"),
        ("0", "3.7"),
    ),
    _github(
        *("GHSA-jfhm-5ghh-2f97", "CVE-2023-49083", "CRITICAL", "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:H/A:H", "cryptography"),
        ("3.1", "41.0.6"),
    ),
)


def fixed_in(version: str, urgency: str = "not yet assigned") -> Fields:
    """A release that has the fix in ``version``."""
    return {"status": "resolved", "repositories": {}, "fixed_version": version, "urgency": urgency}


def still_open(urgency: str = "not yet assigned") -> Fields:
    """A release that has none."""
    return {"status": "open", "repositories": {}, "urgency": urgency, "nodsa": "Minor issue", "nodsa_reason": ""}


def hole(**releases: Fields) -> Fields:
    """One of a source package, by releases of Debian."""
    return {"description": "", "scope": "remote", "debianbug": 1, "releases": releases}


DEBIAN: Mapping[str, Fields] = {
    "glibc": {"CVE-2024-2961": hole(bookworm=fixed_in("2.36-9+deb12u6"))},
    "openssh": {"CVE-2024-6387": hole(bullseye=fixed_in("0"), bookworm=fixed_in("1:9.2p1-2+deb12u3"))},
    "libwebp": {"CVE-2023-4863": hole(bookworm=fixed_in("1.2.4-0.2+deb12u1"))},
    "policykit-1": {"CVE-2021-4034": hole(bullseye=fixed_in("0.105-31+deb11u1"), bookworm=fixed_in("0.105-31.1"))},
    "curl": {"CVE-2023-38545": hole(bookworm=fixed_in("7.88.1-10+deb12u4"))},
    "openssl": {"CVE-2023-5363": hole(bullseye=fixed_in("0"), bookworm=fixed_in("3.0.11-1~deb12u2"))},
}
# Of these, CISA's catalogue has the holes of libwebp and PolicyKit.
KEV = ("CVE-2023-4863", "CVE-2021-4034")
# The form is EPSS's; the numbers are made up.
EPSS = {"CVE-2021-4034": "0.94", "CVE-2023-38545": "0.25", "CVE-2024-3651": "0.00043"}

# Distribution or source and release, version with the hole, id, version with the fix, severity.
BAD: tuple[tuple[str, str, str, str, str], ...] = (
    ("requests", "2.30.0", "CVE-2023-32681", "2.31.0", "medium"),
    ("urllib3", "1.26.16", "CVE-2023-43804", "1.26.17", "medium"),
    ("urllib3", "2.0.5", "CVE-2023-43804", "2.0.6", "medium"),
    ("jinja2", "3.1.3", "CVE-2024-34064", "3.1.4", "medium"),
    ("PyYAML", "5.3.1", "CVE-2020-14343", "5.4", "critical"),
    ("certifi", "2022.12.7", "CVE-2023-37920", "2023.7.22", "high"),
    ("idna", "3.6", "CVE-2024-3651", "3.7", "medium"),
    ("cryptography", "41.0.5", "CVE-2023-49083", "41.0.6", "critical"),
    ("glibc/bookworm", "2.36-9+deb12u3", "CVE-2024-2961", "2.36-9+deb12u6", "unknown"),
    ("openssh/bookworm", "1:9.2p1-2+deb12u2", "CVE-2024-6387", "1:9.2p1-2+deb12u3", "unknown"),
    ("libwebp/bookworm", "1.2.4-0.2", "CVE-2023-4863", "1.2.4-0.2+deb12u1", "unknown"),
    ("policykit-1/bullseye", "0.105-31", "CVE-2021-4034", "0.105-31+deb11u1", "unknown"),
    ("curl/bookworm", "7.88.1-10+deb12u1", "CVE-2023-38545", "7.88.1-10+deb12u4", "unknown"),
    ("openssl/bookworm", "3.0.11-1~deb12u1", "CVE-2023-5363", "3.0.11-1~deb12u2", "unknown"),
)
FIXED: tuple[tuple[str, str], ...] = (
    ("requests", "2.31.0"),
    ("urllib3", "1.26.17"),
    ("urllib3", "2.0.6"),
    ("jinja2", "3.1.10"),
    ("PyYAML", "6.0"),
    ("certifi", "2015.4.27"),
    ("idna", "3.10"),
    ("cryptography", "3.0"),
    ("glibc/bookworm", "2.36-9+deb12u10"),
    ("openssh/bookworm", "1:9.2p1-2+deb12u3"),
    ("openssh/bullseye", "1:8.4p1-5+deb11u3"),
    ("openssh/bookworm", "1:10.0p1-1"),
    ("policykit-1/bookworm", "122-3"),
    ("curl/bookworm", "7.88.1-10+deb12u12"),
    ("openssl/bookworm", "3.0.11-1"),
)


def osv_archive(records: Iterable[Fields] = PYPI, **others: bytes) -> bytes:
    """An ``all.zip``; ``others`` are further members by name, without ``.json``."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        members = {record["id"]: json.dumps(record).encode() for record in records} | others
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.json"), data)
    return packed.getvalue()


def tracker(sources: Mapping[str, Fields] = DEBIAN) -> bytes:
    return json.dumps(sources).encode()


def epss(scores: Mapping[str, str] = EPSS) -> bytes:
    lines = ["#model_version:v2025.03.14,score_date:2026-11-20T12:55:00Z", "cve,epss,percentile"]
    lines += [f"{name},{score},0.5" for name, score in scores.items()]
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


def kev(ids: Iterable[str] = KEV) -> bytes:
    holes = [{"cveID": name, "dateAdded": "2023-09-13", "knownRansomwareCampaignUse": "Unknown"} for name in ids]
    head = {"title": "CISA Catalog of Known Exploited Vulnerabilities", "catalogVersion": "2026.11.19"}
    return json.dumps({**head, "dateReleased": "2026-11-19T15:00:14.8474Z", "vulnerabilities": holes}).encode()


def vex_statement(name: str, product: str) -> Fields:
    """That a product does not have a hole."""
    return {
        "vulnerability": {"name": name},
        "products": [{"@id": product}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        "impact_statement": "The loader is never called. Ada.",
    }


def vex(*statements: Fields) -> bytes:
    """A document of the security team."""
    head = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "urn:team:vex:1", "author": "Ada <ada@example.org>"}
    return json.dumps({**head, "timestamp": "2026-11-20T09:00:00Z", "version": 1, "statements": statements}).encode()


def snapshot() -> dict[str, bytes]:
    """The files of a whole snapshot by name."""
    return {"osv-pypi.zip": osv_archive(), "debian.json": tracker(), "epss.csv.gz": epss(), "kev.json": kev()}


def part_of(package: str, version: str) -> Part:
    """A distribution of PyPI, or an OS package when ``package`` is ``source/release``."""
    name, _, release = package.partition("/")
    if not release:
        return Part(
            ref=f"wheels/some/{name}-{version}",
            type=PartType.DISTRIBUTION,
            name=name,
            version=version,
            purl=pypi_purl(name, version),
        )
    return Part(
        ref=f"os-packages/some/lib{name}_{version}",
        type=PartType.OS_PACKAGE,
        name=f"lib{name}",
        version=f"{version}+b1",
        purl=deb_purl(f"lib{name}", f"{version}+b1", "amd64", release),
        facts=(("debian:source", name), ("debian:source-version", version)),
    )
