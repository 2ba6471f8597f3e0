import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.store.relay import BLOCK, relay


def _reader(path: Path) -> Callable[[memoryview], memoryview]:
    descriptor = os.open(path, os.O_RDONLY)

    def read(buffer: memoryview) -> memoryview:
        return buffer[: os.readv(descriptor, [buffer])]

    return read


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 11 * BLOCK + 7])
def test_every_block_arrives_in_order(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    digest = hashlib.sha256()
    relay(_reader(tmp_path / "file"), digest.update)
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


class _Broken(Exception):
    pass


def test_a_taker_that_fails_ends_the_reader(tmp_path: Path) -> None:
    def take(block: memoryview) -> None:
        raise _Broken

    (tmp_path / "file").write_bytes(bytes(20 * BLOCK))
    before = threading.active_count()
    with pytest.raises(_Broken):
        relay(_reader(tmp_path / "file"), take)
    assert threading.active_count() == before


def test_a_file_that_cannot_be_read_to_its_end_is_no_file(tmp_path: Path) -> None:
    blocks = iter(range(3))
    taken: list[int] = []

    def read(buffer: memoryview) -> memoryview:
        if next(blocks) == 2:
            raise _Broken
        return buffer[:5]

    with pytest.raises(_Broken):
        relay(read, lambda block: taken.append(len(block)))
    assert taken == [5, 5]
