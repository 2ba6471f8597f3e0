"""What a verifier accepts beyond valid signatures: time and root versions.

Times are compared with the clock that the caller states, as text: all have one form in
UTC, so their order is that of their characters, and no date is too odd to be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from appliance.errors import NotTrusted
from appliance.model.bundle import Predicate
from appliance.model.root import RootDocument
from appliance.trust.statement import format_time


@dataclass(frozen=True)
class Policy:
    """What one verification demands.

    ``now`` is the time to judge expiry by (aware, UTC).  ``accepted_roots`` are the root
    documents that whoever verifies has accepted before, version to SHA-256: all of them, for
    two histories may end in one document.
    """

    now: datetime
    accepted_roots: Mapping[int, str] = field(default_factory=dict)

    def check_root(self, root: RootDocument) -> None:
        """Raise NotTrusted (``root-expired``) for a root document past its time."""
        if format_time(self.now) >= root.expires:
            raise NotTrusted(
                "root-expired",
                "the root document has expired",
                where=f"trust/{root.version}.root.json",
                expected=f"a time before {root.expires}",
                found=format_time(self.now),
                hint="check this machine's clock; otherwise the signers have to issue a new root",
            )

    def check_statement(self, predicate: Predicate, root: RootDocument) -> None:
        """Raise NotTrusted (``root-too-old``, ``bundle-expired``)."""
        if predicate.minimum_root_version > root.version:
            raise NotTrusted(
                "root-too-old",
                "the bundle demands a newer root than its chain leads to",
                where="trust/",
                expected=f"at least version {predicate.minimum_root_version}",
                found=f"version {root.version}",
            )
        if format_time(self.now) >= predicate.expires:
            raise NotTrusted(
                "bundle-expired",
                "the bundle has expired",
                where="statement.json",
                expected=f"a time before {predicate.expires}",
                found=format_time(self.now),
                hint="check this machine's clock; otherwise ask for a newer bundle",
            )
