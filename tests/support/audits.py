"""Sites to audit: a small bundle with what hosts are compared with, and a host that runs it."""

import hashlib
from typing import Any

from appliance.model.documents.audit import Report
from appliance.model.documents.events import Install
from appliance.steps.switch import current_bundle
from appliance.store.site import Site
from tests.support.bundles import (
    FILES,
    Recipe,
)
from tests.support.sites import version

IMAGE = f"sha256:{'2' * 64}"
PACKAGES = b"Package: nginx\nVersion: 1.26.3-3\n\nnonsense\n\nPackage: jq\nVersion: 1.7.1-6\nArchitecture: amd64\n"
_MODEL = {path.removeprefix("models/tiny/"): data for path, data in FILES.items() if path.startswith("models/tiny/")}
WEIGHTS = hashlib.sha256(
    "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(_MODEL.items())).encode()
).hexdigest()


def image(digest: str) -> dict[str, Any]:
    """An image that a bundle names, of which it carries nothing."""
    details = {"manifest_digest": digest}
    return {"kind": "images", "name": "tiny", "licence": "MIT", "source": {}, "details": details, "files": []}


def full(number: str = "1.0.0", **changes: object) -> Recipe:
    """The small bundle, with what hosts are compared with."""

    def index(value: dict[str, Any]) -> None:
        value["version"] = number
        value["artifacts"][0]["details"] = {"path": "models/tiny"}
        value["artifacts"].append(image(IMAGE))

    files = {**FILES, "os/debian13/Packages": PACKAGES}
    return version(number, files=files, index=index).but(**changes)


def install(site: Site, **changes: object) -> Install:
    """A host that runs what the current bundle has."""
    return Install.model_validate(
        {
            "host": "gpu1",
            "bundle": current_bundle(site, "tiny").model_dump(),
            "system": "Debian GNU/Linux 13 (trixie)",
            "kernel": "6.12.48",
            "models": {"tiny-chat": {"image": IMAGE, "weights": WEIGHTS}},
            "files": {"/etc/appliance/gateway/nginx.conf": "4" * 64},
            "packages": {"nginx": "1.26.3-3", "jq:amd64": "1.7.1-6", "bash": "5.2.37-2"},
            **changes,
        }
    )


def found(report: Report, severity: str = "problem") -> list[str]:
    return [finding.reference for finding in report.findings if finding.severity == severity]


def flipped_file(site: Site) -> None:
    path = site.path("tiny", "1.0.0") / "models/tiny/model.safetensors"
    path.chmod(0o644)
    path.write_bytes(b"x")
