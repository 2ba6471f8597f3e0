import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.errors import NotTrusted
from appliance.store.hashing import CHUNK, Hashing, _batches


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_files_of_any_size_have_their_own_digests(tmp_path: Path) -> None:
    contents = {str(tmp_path / str(size)): os.urandom(size) for size in (0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1)}
    contents |= {str(tmp_path / f"small-{number}"): b"%d" % number for number in range(1000)}
    for path, data in contents.items():
        Path(path).write_bytes(data)
    passed: list[int] = []
    sizes = {path: len(data) for path, data in contents.items()}
    found = list(Hashing(_opened, passed.append).digests(sizes))
    assert len(found) == len(contents)
    assert dict(found) == {path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}
    assert sum(passed) == sum(sizes.values())


def test_a_size_that_is_not_true_changes_no_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3 * CHUNK)
    path = str(tmp_path / "file")
    for size in (0, 10**15):
        ((_, digest),) = Hashing(_opened, lambda length: None).digests({path: size})
        assert digest == hashlib.sha256(b"x" * 3 * CHUNK).hexdigest()


def test_large_files_are_alone_and_first_and_none_is_lost() -> None:
    sizes = {f"shard {number}": 5 * 10**9 + number for number in range(5)}
    sizes |= {f"text {number}": number for number in range(10_000)}
    batches = list(_batches(sizes, 16))
    assert batches[:5] == [[f"shard {number}"] for number in (4, 3, 2, 1, 0)]
    assert sorted(path for batch in batches for path in batch) == sorted(sizes)
    assert 16 * 2 < len(batches) < 500


def test_few_files_are_shared_out_among_all_threads() -> None:
    assert list(_batches(dict.fromkeys("abc", 10**6), 16)) == [["a"], ["b"], ["c"]]
    assert list(_batches(dict.fromkeys("abc", 10), 16)) == [
        ["a", "b", "c"]
    ]  # for which a thread takes too long to begin
    assert list(_batches({}, 16)) == []


def test_what_cannot_be_read_ends_it() -> None:
    with pytest.raises(NotTrusted) as caught:
        list(Hashing(_opened, lambda length: None).digests({"/proc/self/mem": 0}))
    assert (caught.value.reference, caught.value.where) == ("file-unreadable", "/proc/self/mem")
