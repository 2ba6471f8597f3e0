"""What is accepted beyond valid signatures: time, versions, and what a site demands and remembers.

Times are compared as text: all have one form in UTC, so their order is that of their
characters, and no date is too odd to be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import Predicate, Statement
from appliance.model.documents.override import Allowance
from appliance.model.documents.policy import DEFAULT_POLICY, SitePolicy
from appliance.model.documents.root import RootDocument
from appliance.model.documents.state import SiteState
from appliance.model.times import CLOCK_TOLERANCE, format_time, is_ahead
from appliance.model.versions import version_key
from appliance.trust import ratchet
from appliance.trust.override import SignedOverride
from appliance.trust.root import Root


@dataclass(frozen=True)
class Policy:
    """How bundles are judged.

    ``now`` is the clock (aware, UTC), or None where no day matters; ``demands`` is the site's
    policy.  ``state`` is what the site remembers; None for an auditor, who remembers nothing
    and believes the clock.
    """

    now: datetime | None
    demands: SitePolicy = DEFAULT_POLICY
    state: SiteState | None = None
    override: SignedOverride | None = None

    @property
    def accepted_roots(self) -> dict[int, str]:
        """Version to SHA-256 of the payload of every root document that was accepted before."""
        return dict(enumerate(self.state.roots, start=1)) if self.state else {}

    @property
    def post_quantum(self) -> bool:
        """Whether the profile CNSA 2.0 is demanded (trust/cnsa.py)."""
        return "cnsa-2.0" in self.demands.profiles

    def check_root(self, root: Root) -> None:
        """Check the newest root document of a chain that goes on from the accepted ones.

        Raises NotTrusted: ``root-ahead``, ``root-expired``, ``demo-key-refused``.
        """
        self._check_ahead("root", root.lineage.created, f"trust/{root.document.version}.root.json")
        _check_root_expiry(root.document, self._time(root))
        if self.demands.demo_keys == "refuse":
            _check_no_demo_key(root.document)

    def release_threshold(self, root: Root) -> int:
        """How many keys of the release role have to sign."""
        return max(root.document.roles.release.threshold, self.demands.release_threshold)

    def check_statement(self, statement: Statement, root: Root) -> tuple[Allowance, ...]:
        """Check a bundle that is to come in; returns what the override alone allows.

        Raises NotTrusted: ``bundle-ahead``, ``root-too-old``, ``version-below-lowest``,
        ``root-expired``, ``bundle-expired``, ``bundle-rollback``, ``version-reused``, ``override-*``.
        """
        head = statement.predicate
        self._check_ahead("bundle", head.created, "statement.json")
        _check_root_version(head, root.document)
        self._check_lowest(head)
        time = self._time(root)
        problems: dict[Allowance, NotTrusted | None] = {}
        if self.state is not None:
            time = max(time, head.created)  # whoever signed it knew that it was so late
            _check_root_expiry(root.document, time)
            ratchet.check_reuse(self.state, root.lineage, statement)
            problems["rollback"] = ratchet.rollback(self.state, root.lineage, head)
        problems["expired"] = _expiry(head, time)
        return self._allow(problems, statement, root, time)

    def check_switch(self, statement: Statement, root: Root | None) -> tuple[Allowance, ...]:
        """Check a bundle that the site holds and that is to become current; returns as ``check_statement``.

        ``root`` is the newest that the site has accepted, which an override needs.  An older
        version is not refused: that the site holds it was decided before.
        Raises NotTrusted: ``version-below-lowest``, ``bundle-expired``, ``override-*``.
        """
        head = statement.predicate
        self._check_lowest(head)
        time = max(self._clock, ratchet.latest(self.state) if self.state else "")
        return self._allow({"expired": _expiry(head, time)}, statement, root, time)

    @property
    def _clock(self) -> str:
        """What the clock says; empty where no day matters."""
        return format_time(self.now) if self.now else ""

    def _time(self, root: Root) -> str:
        """The latest moment that is known to have been."""
        return self._clock if self.state is None else max(self._clock, ratchet.latest_of(self.state, root.lineage))

    def _check_ahead(self, subject: Literal["root", "bundle"], created: str, where: str) -> None:
        """What is accepted moves a site's time on, so one from far ahead would turn away all that follow.

        The clock alone counts: by what was accepted before, time could go on in steps.
        """
        if self._clock and is_ahead(created, self._clock):
            what = "root document" if subject == "root" else "bundle"
            raise NotTrusted(
                f"{subject}-ahead",
                f"the {what} says that it was made in the future",
                where=where,
                expected=f"at most {CLOCK_TOLERANCE.total_seconds() / 3600:.0f} hours after {self._clock}",
                found=created,
                hint="check this machine's clock (date --utc) and set it if it is wrong; otherwise whoever made "
                f"the {what} had a wrong clock and must make it again",
            )

    def _check_lowest(self, head: Predicate) -> None:
        lowest = self.demands.lowest_versions.get(head.name)
        if lowest is not None and version_key(head.version) < version_key(lowest):
            raise NotTrusted(
                "version-below-lowest",
                "the site's policy does not accept a version this old",
                where="statement.json",
                expected=f"at least {head.name} {lowest}",
                found=head.version,
                hint="take a newer bundle; lowest_versions in the policy sets the lowest version",
            )

    def _allow(
        self,
        problems: Mapping[Allowance, NotTrusted | None],
        statement: Statement,
        root: Root | None,
        time: str,
    ) -> tuple[Allowance, ...]:
        """Raise the first problem that no override allows; an override that was given has to be good."""
        allows: tuple[Allowance, ...] = ()
        if self.override is not None and root is not None:
            self.override.check_signed(root, self.release_threshold(root), post_quantum=bool(self.demands.profiles))
            self.override.check(statement, self.demands.site, time)
            allows = self.override.content.allows
        found = {allowance: problem for allowance, problem in problems.items() if problem is not None}
        for allowance, problem in found.items():
            if allowance not in allows:
                raise problem
        return tuple(found)


def _check_root_expiry(root: RootDocument, time: str) -> None:
    if time >= root.expires:
        raise NotTrusted(
            "root-expired",
            "the root document has expired",
            where=f"trust/{root.version}.root.json",
            expected=f"a time before {root.expires}",
            found=time,
            hint="check this machine's clock; otherwise the signers must issue a new root",
        )


def _check_no_demo_key(root: RootDocument) -> None:
    for name, role in root.roles.items():
        for keyid in role.keyids:
            if root.keys[keyid].use == "demo":
                raise NotTrusted(
                    "demo-key-refused",
                    f"a key of the {name.replace('_', ' ')} role is a demo key, and the site's policy refuses "
                    "demo keys",
                    where=f"trust/{root.version}.root.json",
                    found=f"key {keyid}",
                    hint="use a bundle and a root document of the signers' production keys",
                )


def _check_root_version(head: Predicate, root: RootDocument) -> None:
    if head.minimum_root_version > root.version:
        raise NotTrusted(
            "root-too-old",
            "the bundle demands a newer root than its chain holds",
            where="trust/",
            expected=f"at least version {head.minimum_root_version}",
            found=f"version {root.version}",
        )


def _expiry(head: Predicate, time: str) -> NotTrusted | None:
    if time < head.expires:
        return None
    return NotTrusted(
        "bundle-expired",
        "the bundle has expired",
        where="statement.json",
        expected=f"a time before {head.expires}",
        found=time,
        hint="check this machine's clock; otherwise ask the signers for a newer bundle or an override",
    )
