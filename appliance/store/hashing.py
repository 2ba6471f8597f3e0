"""SHA-256 of many files, several read at once.

The figures for threads, blocks and reading ahead are measured in docs/benchmarks.md.
Which files there are, and how they are opened, is the caller's business.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from appliance.errors import NotTrusted
from appliance.model.taps import Tap

CHUNK = 1024 * 1024
# How far the kernel is asked to read ahead.
_WINDOW = 64 * 1024 * 1024
# A file is hashed by one thread.  With no more threads than cores, five equal files on two
# cores leave one core idle for a sixth of the time; with a thread each, they end together.
_LEAST_THREADS = 16
# Handing a file to a thread costs more than hashing a small one, so small ones are handed
# over together: about as many as there are parts for each thread, within these bounds (bytes).
_PARTS = 8
_LEAST_BATCH, _LARGEST_BATCH = CHUNK, 4 * CHUNK
# What a file costs beside its bytes (open, read the end, close), in bytes that are hashed in that time.
_OPENING = 64 * 1024

# Gives a descriptor of the file at a path, opened for reading.
Opened = Callable[[str], AbstractContextManager[int]]


def _no_tap(path: str) -> AbstractContextManager[Callable[[memoryview], None]]:
    return nullcontext(lambda block: None)


class Stopped(Exception):
    """Ends a thread whose result nobody waits for any more."""


@dataclass(frozen=True)
class Hashing:
    """How files are opened, who gets their bytes too, and who is told how many passed."""

    opened: Opened
    advance: Callable[[int], None]
    tap: Tap = _no_tap
    stop: threading.Event = field(default_factory=threading.Event)

    def digests(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """Path and SHA-256 of every file, the largest first; ``sizes`` in bytes, as far as they are known.

        Raises what opening raises, and NotTrusted (``file-unreadable``).
        """
        workers = max(_LEAST_THREADS, len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(workers) as pool:
            try:
                for batch in pool.map(self._batch, _batches(sizes, workers)):
                    yield from batch
            finally:
                # Ctrl-C: the threads end at their next block, not at the end of their file.
                self.stop.set()
                pool.shutdown(cancel_futures=True)

    def _batch(self, paths: Iterable[str]) -> list[tuple[str, str]]:
        buffer = memoryview(bytearray(CHUNK))
        return [(path, self._digest(path, buffer)) for path in paths]

    def _digest(self, path: str, buffer: memoryview) -> str:
        digest = hashlib.sha256()
        position = 0
        with self.opened(path) as descriptor, self.tap(path) as take:
            while length := _read_block(descriptor, buffer, position, path):
                if self.stop.is_set():
                    raise Stopped
                block = buffer[:length]
                digest.update(block)
                take(block)
                position += length
                self.advance(length)
        return digest.hexdigest()


def _batches(sizes: Mapping[str, int], workers: int) -> Iterator[list[str]]:
    """The largest files first, each alone; small ones together."""
    costs = {path: size + _OPENING for path, size in sizes.items()}
    enough = min(max(sum(costs.values()) // (workers * _PARTS), _LEAST_BATCH), _LARGEST_BATCH)
    batch: list[str] = []
    cost = 0
    for path in sorted(costs, key=lambda path: -costs[path]):
        batch.append(path)
        cost += costs[path]
        if cost >= enough:
            yield batch
            batch, cost = [], 0
    if batch:
        yield batch


def _read_block(descriptor: int, buffer: memoryview, position: int, path: str) -> int:
    try:
        length = os.readv(descriptor, [buffer])
        if length == CHUNK and position % _WINDOW == 0:
            os.posix_fadvise(descriptor, position + CHUNK, _WINDOW, os.POSIX_FADV_WILLNEED)
    except OSError as error:
        raise unreadable(path, error) from None
    return length


def unreadable(path: str, error: OSError) -> NotTrusted:
    """What a dying medium means: what cannot be read is not what was signed."""
    return NotTrusted("file-unreadable", f"it cannot be read: {error.strerror}", where=path)
