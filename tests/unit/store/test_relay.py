import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.store.relay import _BLOCK, relay


def _reader(path: Path) -> Callable[[memoryview], memoryview]:
    descriptor = os.open(path, os.O_RDONLY)

    def read(buffer: memoryview) -> memoryview:
        return buffer[: os.readv(descriptor, [buffer])]

    return read


@pytest.mark.parametrize("size", [0, 1, _BLOCK, _BLOCK + 1, 11 * _BLOCK + 7])
def test_every_taker_gets_every_block_in_order(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    digests = [hashlib.sha256() for _ in range(3)]
    relay(_reader(tmp_path / "file"), *(digest.update for digest in digests))
    assert {digest.hexdigest() for digest in digests} == {hashlib.sha256(data).hexdigest()}


class _Broken(Exception):
    pass


def _fine(block: memoryview) -> None:
    pass


def _broken(block: memoryview) -> None:
    raise _Broken


@pytest.mark.parametrize("takers", [(_broken,), (_broken, _fine), (_fine, _broken), (_fine, _broken, _fine)])
def test_what_one_raises_is_raised_and_nobody_goes_on(
    tmp_path: Path, takers: tuple[Callable[[memoryview], None], ...]
) -> None:
    (tmp_path / "file").write_bytes(bytes(20 * _BLOCK))
    before = threading.active_count()
    with pytest.raises(_Broken):
        relay(_reader(tmp_path / "file"), *takers)
    assert threading.active_count() == before


def test_a_file_that_cannot_be_read_to_its_end_is_no_file(tmp_path: Path) -> None:
    blocks = iter(range(3))
    taken: list[int] = []

    def read(buffer: memoryview) -> memoryview:
        if next(blocks) == 2:
            raise _Broken
        return buffer[:5]

    with pytest.raises(_Broken):
        relay(read, lambda block: taken.append(len(block)), _fine)
    assert taken == [5, 5]
