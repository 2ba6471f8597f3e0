"""What is made under another umask than the caller's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Files that are made meanwhile have the modes that ``mask`` leaves; a decorator, too."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
