"""What an artifact is to a site and to auditors: its ``details`` in ``bundle.json``, typed by each kind."""

from typing import ClassVar, Self

from pydantic import ValidationError

from appliance.model.base import Strict
from appliance.model.documents.bundle import BundleArtifact


class Details(Strict):
    """The base of the kinds' own types; all values are text."""

    kind: ClassVar[str]

    def fields(self) -> dict[str, str]:
        """As ``bundle.json`` has them."""
        return self.model_dump(exclude_none=True)

    @classmethod
    def of(cls, artifact: BundleArtifact) -> Self | None:
        """Those of an artifact; None for one of another kind, and where it does not tell them."""
        known = {key: text for key, text in artifact.details.items() if key in cls.model_fields}
        try:
            return cls(**known) if artifact.kind == cls.kind else None
        except ValidationError:
            return None
