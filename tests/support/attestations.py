"""Real attestations of files on PyPI, and what becomes of them when somebody changes a part."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("recorded")
# By a workflow of GitHub: the answer of the index, the file, its SHA-256 and the repository
NAME = "pypi_attestations-0.0.19.tar.gz"
SHA256 = "9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3"
REPOSITORY = "https://github.com/trailofbits/pypi-attestations"
PROVENANCE = (RECORDED / f"{NAME}.provenance").read_bytes()
_GITLAB = (RECORDED / "gitlab_oidc_project-0.0.3.tar.gz.publish.attestation").read_bytes()


def of_gitlab(repository: str = "facutuesca/gitlab-oidc-project", file: str = ".gitlab-ci.yml") -> bytes:
    """What an index would answer for an attestation by GitLab."""
    publisher = {"kind": "GitLab", "repository": repository, "workflow_filepath": file}
    bundles = [{"publisher": publisher, "attestations": [json.loads(_GITLAB)]}]
    return json.dumps({"version": 1, "attestation_bundles": bundles}).encode()


def changed(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> bytes:
    """The answer after ``change`` of its publisher and its attestation."""
    provenance = json.loads(PROVENANCE)
    (bundle,) = provenance["attestation_bundles"]
    change(bundle["publisher"], bundle["attestations"][0])
    return json.dumps(provenance).encode()


def other_statement(**fields: Any) -> bytes:
    """The answer with a statement that its signature does not cover."""

    def change(_: dict[str, Any], attestation: dict[str, Any]) -> None:
        statement = json.loads(base64.b64decode(attestation["envelope"]["statement"])) | fields
        attestation["envelope"]["statement"] = base64.b64encode(json.dumps(statement).encode()).decode()

    return changed(change)
