"""What upstream has signed of an artifact: who has checked it, with which result, and what is kept of it.

It stands in a lock for those who review it, and in a bundle's ``evidence/upstream.json`` for those who check it again.
"""

from typing import Literal

from pydantic import Field

from appliance.model.base import Strict
from appliance.model.names import BundlePath

UPSTREAM_SCHEMA: Literal["appliance.upstream/v1"] = "appliance.upstream/v1"

# ``nothing``: upstream publishes no signature there.  ``unchecked``: there may be one, and nobody has checked it.
UpstreamState = Literal["verified", "nothing", "unchecked"]


class UpstreamFinding(Strict):
    """One thing that upstream could have signed.

    ``about`` is an archive (its address and suite) or the path of a file in the lock.  ``said`` names who has signed,
    and where the state is not ``verified``, the reason.  ``evidence`` are paths below ``evidence/upstream``.
    """

    about: str = Field(min_length=1)
    state: UpstreamState
    said: str = Field(min_length=1)
    evidence: tuple[BundlePath, ...] = ()


class ArtifactUpstream(Strict):
    """The findings of one artifact; none where its lock is from before they were written down."""

    artifact: str
    findings: tuple[UpstreamFinding, ...]


class UpstreamReport(Strict):
    """``evidence/upstream.json``."""

    schema_: Literal["appliance.upstream/v1"] = Field(alias="schema")
    artifacts: tuple[ArtifactUpstream, ...]
