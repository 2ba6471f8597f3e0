"""The parsers that trust rests on, by name."""

from collections.abc import Mapping

from tests.fuzz import our_targets, their_targets
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {**our_targets.targets(), **their_targets.targets()}


def _planted(data: bytes) -> bool:
    if len(data) > 3 and data[0] == 0x46 and data[1] == 0x55 and data[2] == 0x5A and data[3] == 0x5A:
        raise AssertionError("the planted fault")
    return False


# Shows that a run finds what is there: without looking at coverage it would take 2^32 tries.
PLANTED = Target(_planted, (b"seed",))
