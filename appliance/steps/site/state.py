"""What a site remembers: opened as its policy says, shown, changed by an import, made anew.

The state knows of a bundle before the site shows it: docs/adr/0012-site-state.md.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from appliance.errors import BadInput, NotTrusted
from appliance.model.counter import Counter
from appliance.model.documents.policy import SitePolicy
from appliance.model.documents.state import SiteState
from appliance.model.progress import Progress
from appliance.steps.site.evidence import record_rebuild
from appliance.store.site import Site
from appliance.store.state import StateFile
from appliance.store.tree import Tree
from appliance.tools.tpm import FIRST_INDEX, INDEXES, TpmCounter
from appliance.trust import ratchet
from appliance.trust.policy import Policy
from appliance.trust.root import Root, check_accepted, read_root
from appliance.trust.verify import VerifiedList, verify_list

_Result = TypeVar("_Result")
# Whether what a site holds is whole does not depend on the day.
AS_HELD = Policy(now=None)


class Memory:
    """The state of one site, under the site's policy."""

    def __init__(self, site: Site, demands: SitePolicy, progress: Progress) -> None:
        self._site = site
        self._demands = demands
        self._progress = progress
        self._file = StateFile(site.state, self._counter(), untied=demands.tpm == "off")

    def load(self) -> SiteState:
        """The state; an empty one for a site that holds nothing.  Raises NotTrusted (``state-*``, ``tpm-missing``)."""
        return self._known(self._with_or_without_tpm(lambda file: file.load()))

    def accept(self, listed: VerifiedList, policy: Policy) -> None:
        """Remember a bundle that is to come in, judged once more by what the site knows now."""

        def change(old: SiteState | None) -> SiteState:
            state = self._known(old)
            now = replace(policy, state=state)
            check_accepted(listed.root.lineage.documents, now.accepted_roots)
            now.check_root(listed.root)
            now.check_statement(listed.statement, listed.root)
            return ratchet.accept(state, listed.root.lineage, listed.statement)

        self._with_or_without_tpm(lambda file: file.update(change))

    def rebuild(self, trusted: bytes) -> SiteState:
        """Make the state anew from the bundles that the site holds, and from what is left of it.

        Raises NotTrusted when one of them does not verify.
        """
        with self._site.importing():
            remains = self._file.remains()
            state = remains or SiteState()
            for path in self._site.bundles():
                self._progress.step(f"reading {path.name}")
                with Tree(path, self._progress) as tree:
                    listed = verify_list(tree, trusted, AS_HELD)
                documents = listed.root.lineage.documents
                check_accepted(documents, dict(enumerate(state.roots[: len(documents)], start=1)))
                state = ratchet.accept(state, listed.root.lineage, listed.statement)
            self._with_or_without_tpm(lambda file: file.replace(state))
            record_rebuild(self._site, state, kept=remains is not None)
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
            "no bundle of the site still has the newest root document",
            where=str(self._site.root),
            hint="import the newest bundle again",
        )

    def _counter(self) -> Counter | None:
        device = Path(self._demands.tpm_device)
        if self._demands.tpm == "off" or (self._demands.tpm == "auto" and not device.exists()):
            return None
        # One for each site of a host: two indexes, at a place that its path gives.
        digest = hashlib.sha256(os.fsencode(self._site.root.resolve())).digest()
        return TpmCounter(device, FIRST_INDEX + int.from_bytes(digest[:4], "big") % (INDEXES // 2) * 2)

    def _with_or_without_tpm(self, act: Callable[[StateFile], _Result]) -> _Result:
        """Do without a TPM that cannot be used, if the policy leaves that open and the state is not tied to it."""
        try:
            return act(self._file)
        except BadInput as error:
            if error.reference != "tpm-unusable" or self._demands.tpm == "required":
                raise
            self._progress.step(f"what the site remembers is not tied to a TPM: {error}")
            self._file = StateFile(self._site.state)
            return act(self._file)

    def _known(self, state: SiteState | None) -> SiteState:
        if state is not None:
            return state
        if held := self._site.bundles():
            raise NotTrusted(
                "state-missing",
                "the site holds bundles, but its state is gone",
                where=str(self._file.folder),
                found=", ".join(path.name for path in held),
                hint="find out who removed it, then rebuild it: appliance state rebuild --root ROOT.json",
            )
        return SiteState()
