"""What a site remembers: opened as its policy says, shown, changed by an import, made anew.

The state knows of a bundle before the site shows it: docs/adr/0012-site-state.md.
"""

from dataclasses import replace
from datetime import UTC, datetime

from appliance.errors import BadInput, NotTrusted
from appliance.model.policy import SitePolicy
from appliance.model.progress import Progress
from appliance.model.state import SiteState
from appliance.store.site import Site
from appliance.store.state import StateFile
from appliance.store.tree import Tree
from appliance.trust import ratchet
from appliance.trust.policy import Policy
from appliance.trust.root import Root, check_accepted, read_root
from appliance.trust.verify import VerifiedList, verify_list

# Earlier than anything that is signed expires: whether what a site holds is whole does not depend on the day.
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)
AS_HELD = Policy(now=_ANY_DAY)


class Memory:
    """The state of one site, under the site's policy."""

    def __init__(self, site: Site, demands: SitePolicy) -> None:
        self._site = site
        self._file = StateFile(site.state)
        if demands.tpm == "required":
            raise NotTrusted("tpm-missing", "the policy demands a TPM", where=demands.tpm_device)

    def load(self) -> SiteState:
        """The state; an empty one for a site that holds nothing.  Raises NotTrusted (``state-*``, ``tpm-*``)."""
        return self._known(self._file.load())

    def accept(self, listed: VerifiedList, policy: Policy) -> None:
        """Remember a bundle that is to come in, judged once more by what the site knows now."""

        def change(old: SiteState | None) -> SiteState:
            state = self._known(old)
            now = replace(policy, state=state)
            check_accepted(listed.root.lineage.documents, now.accepted_roots)
            now.check_root(listed.root)
            now.check_statement(listed.statement, listed.root)
            return ratchet.accept(state, listed.root.lineage, listed.statement)

        self._file.update(change)

    def rebuild(self, trusted: bytes, progress: Progress) -> SiteState:
        """Make the state anew from the bundles that the site holds, and from what is left of it.

        Raises NotTrusted when one of them does not verify.
        """
        with self._site.importing():
            state = self._file.remains() or SiteState()
            for path in self._site.bundles():
                progress.step(f"reading {path.name}")
                with Tree(path, progress) as tree:
                    listed = verify_list(tree, trusted, AS_HELD)
                documents = listed.root.lineage.documents
                check_accepted(documents, dict(enumerate(state.roots[: len(documents)], start=1)))
                state = ratchet.accept(state, listed.root.lineage, listed.statement)
            self._file.replace(state)
        return state

    def newest_root(self) -> Root:
        """The newest root document that the site has accepted.

        The state has its digest; the document came with a bundle.  Raises BadInput
        (``root-unreadable``) when the site does not hold such a bundle any more.
        """
        roots = self.load().roots
        for bundle in self._site.bundles():
            path = bundle / f"trust/{len(roots)}.root.json"
            if path.is_file() and (root := read_root(path.read_bytes(), str(path))).lineage.documents[0] == roots[-1]:
                return root
        raise BadInput(
            "root-unreadable",
            "no bundle of the site has the newest root document any more",
            where=str(self._site.root),
            hint="import the newest bundle again",
        )

    def _known(self, state: SiteState | None) -> SiteState:
        if state is not None:
            return state
        if held := self._site.bundles():
            raise NotTrusted(
                "state-missing",
                "the site holds bundles, and what it remembers of them is gone",
                where=str(self._file.folder),
                found=", ".join(path.name for path in held),
                hint="find out who removed it, then make it anew: appliance state rebuild --root ROOT.json",
            )
        return SiteState()
