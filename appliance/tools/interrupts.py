"""Ctrl-C and SIGTERM, held back while a program starts, so that none runs that nobody knows of.

Python raises what a signal means as soon as it can, also in the middle of ``Popen``: the program
then runs already, and who started it has no handle on it.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Hold signals back until what it yields is called, which raises those that came.

    Call that within the ``try`` that ends the program.  The program inherits nothing of it.
    """
    if threading.current_thread() is not threading.main_thread():  # signals raise nothing in others
        yield lambda: None
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    # What is ignored stays so, here and in the program.
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
    handlers = {number: signal.signal(number, note) for number in handled}

    def let_in() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        while came:
            signal.raise_signal(came.pop())

    try:
        yield let_in
    finally:
        let_in()
