"""Blocks of one file, handed from thread to thread: while one is hashed, the next is read.

For files that are long enough to be waited for.  What is gained is measured in docs/benchmarks.md.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

_BLOCK = 4 * 1024 * 1024  # bytes
_BLOCKS = 4

_Item = memoryview | BaseException | None
_Step = Callable[[memoryview], memoryview]


def relay(read: Callable[[memoryview], memoryview], *takers: Callable[[memoryview], None]) -> None:
    """Give every block to each of ``takers`` in turn, until ``read`` returns an empty one.

    ``read`` fills what it is given and returns the part that it has filled.  It and all takers
    but the last run in threads of their own; a block belongs to one of them at a time.  Raises
    what one of them raises; then all have ended.
    """
    *between, last = takers
    steps = [read, *map(_taking, between)]
    queues: list[SimpleQueue[_Item]] = [SimpleQueue() for _ in range(len(steps) + 1)]
    for _ in range(_BLOCKS):
        queues[0].put(memoryview(bytearray(_BLOCK)))
    threads = [
        Thread(target=_run, args=(step, source, sink), daemon=True)
        for step, source, sink in zip(steps, queues, queues[1:], strict=False)
    ]
    for thread in threads:
        thread.start()
    try:
        while block := _got(queues[-1].get()):
            last(block)
            queues[0].put(_whole(block))
    finally:
        for queue in queues[:-1]:
            queue.put(None)
        for thread in threads:
            thread.join()


def _taking(take: Callable[[memoryview], None]) -> _Step:
    def step(block: memoryview) -> memoryview:
        take(block)
        return block

    return step


def _run(step: _Step, source: "SimpleQueue[_Item]", sink: "SimpleQueue[_Item]") -> None:
    """Take from ``source`` and hand on to ``sink``, until a block is empty or something else than a block comes."""
    while isinstance(item := source.get(), memoryview):
        try:
            item = step(item)
        except BaseException as error:
            item = error
        sink.put(item)
        if not item or isinstance(item, BaseException):
            return
    sink.put(item)


def _got(item: _Item) -> memoryview | None:
    if isinstance(item, BaseException):
        raise item
    return item


def _whole(block: memoryview) -> memoryview:
    return memoryview(block.obj)
