"""What a bundle says of a set of weights, and the list by which hosts check them."""

import hashlib
from typing import ClassVar

from appliance.artifacts.details import Details
from appliance.model.documents.bundle import BundleArtifact


class WeightsDetails(Details):
    """``path`` is the directory of the model in the bundle."""

    kind: ClassVar[str] = "weights"
    path: str

    def files(self, artifact: BundleArtifact) -> tuple[tuple[str, str], ...]:
        """Path below the model's directory, and SHA-256, of each file."""
        top = f"{self.path}/"
        return tuple((file.path.removeprefix(top), file.sha256) for file in artifact.files if file.path.startswith(top))

    def list_digest(self, artifact: BundleArtifact) -> str:
        """SHA-256 of the list that a host checks them by: lines as in SHA256SUMS."""
        lines = "".join(f"{digest}  {path}\n" for path, digest in self.files(artifact))
        return hashlib.sha256(lines.encode()).hexdigest()
