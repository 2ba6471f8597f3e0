"""A parser as a function of bytes that must not fail in a way of its own, and random changes of what it accepts."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutations import mutate


@dataclass(frozen=True)
class Target:
    """``run`` is tried with bytes; ``seeds`` are where to begin, and are accepted.

    ``run`` says whether the bytes are accepted.  It raises AssertionError when something was accepted that is not in
    its one form; any other error than the parser's own goes through.  All of that is a finding.
    """

    run: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]


def mutated(target: Target, random: Random, *, times: int = 2**63, seconds: float = 1e9) -> None:
    """Try random changes of the seeds, so many times or for so long."""
    meaning = words(target)
    end = time.monotonic() + seconds
    for _ in range(times):
        if time.monotonic() > end:
            break
        data = mutate(random.choice(target.seeds), random, meaning)
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise


def words(target: Target) -> list[bytes]:
    """What stands between quotation marks, line breaks and spaces in the seeds: what a parser looks for."""
    found = {word for seed in target.seeds for word in re.findall(rb'"[^"]{1,80}"|[^\s"]{1,80}', seed)}
    return sorted(found)
