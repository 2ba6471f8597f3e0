"""Blocks of one file, handed from one thread to another: while one block is written, the next is read.

For files that are long enough to be waited for.  What is gained is measured in docs/benchmarks.md.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

BLOCK = 512 * 1024  # bytes: what fits into the cache of a core
_BLOCKS = 8


def relay(read: Callable[[memoryview], memoryview], take: Callable[[memoryview], None]) -> None:
    """Give each block to ``take``, until ``read``, in a thread of its own, returns an empty one.

    ``read`` fills what it is given and returns the part that it has filled.  Raises what one of
    them raises; then both have ended.
    """
    free: SimpleQueue[memoryview | None] = SimpleQueue()
    filled: SimpleQueue[memoryview | BaseException] = SimpleQueue()
    for _ in range(_BLOCKS):
        free.put(memoryview(bytearray(BLOCK)))
    thread = Thread(target=_fill, args=(read, free, filled), daemon=True)
    thread.start()
    try:
        while block := filled.get():
            if isinstance(block, BaseException):
                raise block
            take(block)
            free.put(memoryview(block.obj))
    finally:
        free.put(None)
        thread.join()


def _fill(
    read: Callable[[memoryview], memoryview],
    free: "SimpleQueue[memoryview | None]",
    filled: "SimpleQueue[memoryview | BaseException]",
) -> None:
    """Until a block is empty, ``read`` fails, or nobody wants another."""
    while (buffer := free.get()) is not None:
        try:
            block = read(buffer)
        except BaseException as error:
            filled.put(error)
            return
        filled.put(block)
        if not block:
            return
