"""``appliance verify``: a bundle directory, a trusted root, the clock, a policy if there is one; nothing else."""

from datetime import UTC, datetime
from pathlib import Path

from appliance.model.documents.policy import DEFAULT_POLICY, SitePolicy
from appliance.model.limits import MAX_ENVELOPE
from appliance.model.progress import Progress
from appliance.store.disk import read_bounded
from appliance.store.tree import Tree
from appliance.trust.policy import Policy
from appliance.trust.verify import VerifiedBundle
from appliance.trust.verify import verify as verify_tree


def verify(bundle: Path, root: Path, progress: Progress, *, demands: SitePolicy = DEFAULT_POLICY) -> VerifiedBundle:
    """Verify a bundle by the root document in ``root``, as a site with these ``demands`` and no memory would.

    Raises BadInput when one of them cannot be read, NotTrusted for everything else.
    """
    trusted = read_trusted(root)
    with Tree(bundle, progress) as tree:
        return verify_tree(tree, trusted, Policy(now=datetime.now(UTC), demands=demands))


def read_trusted(root: Path) -> bytes:
    """The root document that whoever calls trusts.  Raises BadInput (``root-unreadable``)."""
    return read_bounded(root, MAX_ENVELOPE, "root-unreadable", "the root document")
