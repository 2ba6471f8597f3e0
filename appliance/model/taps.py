"""Who gets the bytes of files too while they are hashed: one read serves all."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

# Opened for each path that is hashed, in the thread that hashes it; takes every block, which
# is valid during the call only.  Left by an exception when the file was not read to its end.
Tap = Callable[[str], AbstractContextManager[Callable[[memoryview], None]]]


class Sha384:
    """A tap that takes the SHA-384 of each file; ``found`` has it by path."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    @contextmanager
    def __call__(self, path: str) -> Iterator[Callable[[memoryview], None]]:
        """Take one file."""
        digest = hashlib.sha384()
        yield digest.update
        self.found[path] = digest.hexdigest()


def both(first: Tap, second: Tap | None) -> Tap:
    """A tap that hands every block to two."""
    if second is None:
        return first

    @contextmanager
    def tap(path: str) -> Iterator[Callable[[memoryview], None]]:
        with first(path) as take_first, second(path) as take_second:

            def take(block: memoryview) -> None:
                take_first(block)
                take_second(block)

            yield take

    return tap
