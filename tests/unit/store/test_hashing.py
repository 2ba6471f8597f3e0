import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from appliance.errors import NotTrusted
from appliance.store.hashing import _TINY, CHUNK, Hashing, _alone, _batches, _longest


def _opening() -> AbstractContextManager[Callable[[str], int]]:
    return nullcontext(lambda path: os.open(path, os.O_RDONLY))


def test_files_of_any_size_have_their_own_digests(tmp_path: Path) -> None:
    contents = {str(tmp_path / str(size)): os.urandom(size) for size in (0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1)}
    contents |= {str(tmp_path / f"small-{number}"): b"%d" % number for number in range(1000)}
    for path, data in contents.items():
        Path(path).write_bytes(data)
    passed: list[int] = []
    sizes = {path: len(data) for path, data in contents.items()}
    found = list(Hashing(_opening, passed.append).digests(sizes))
    assert len(found) == len(contents)
    assert dict(found) == {path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}
    assert sum(passed) == sum(sizes.values())


def test_a_size_that_is_not_true_changes_no_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3 * CHUNK)
    path = str(tmp_path / "file")
    for size in (0, 10**15):
        ((_, digest),) = Hashing(_opening, lambda length: None).digests({path: size})
        assert digest == hashlib.sha256(b"x" * 3 * CHUNK).hexdigest()


def test_large_files_are_alone_and_first_and_none_is_lost() -> None:
    sizes = {f"text {number}": number for number in range(10_000)}
    sizes |= {f"table {number}": 10**5 + number for number in range(100)}
    sizes |= {f"shard {number}": 5 * 10**9 + number for number in range(5)}
    assert _alone(sizes) == [[f"shard {number}"] for number in (4, 3, 2, 1, 0)]
    tables, texts = list(_batches(sizes, _TINY, CHUNK)), list(_batches(sizes, 0, _TINY))
    assert [path for batch in texts for path in batch] == list(sizes)[:10_000], "neighbours stay together"
    assert [path for batch in tables for path in batch] == [f"table {number}" for number in range(100)]
    assert (len(tables), len(texts)) == (3, 20)


def test_every_size_is_in_one_class() -> None:
    for size in (0, _TINY - 1, _TINY, CHUNK - 1, CHUNK, 10**12):
        sizes = {"file": size}
        assert [*_alone(sizes), *_batches(sizes, _TINY, CHUNK), *_batches(sizes, 0, _TINY)] == [["file"]]


def test_what_others_would_wait_for_is_read_ahead() -> None:
    assert _longest({"one": 10**10, "small": 5}, 4) == {"one"}
    assert _longest(dict.fromkeys("abc", 10**9), 4) == set("abc")
    assert _longest(dict.fromkeys("abcde", 10**9), 4) == set(), "as it is, every core has something to do"
    assert _longest({"one": 10**10, **dict.fromkeys("abcde", 10**9)}, 4) == {"one"}
    assert len(_longest(dict.fromkeys("abcdefghij", 10**9), 64)) == 4, "each takes memory"
    assert _longest({"one": 10**10}, 1) == set()
    assert _longest(dict.fromkeys(map(str, range(10)), 10**5), 64) == set()


def test_what_cannot_be_read_ends_it() -> None:
    with pytest.raises(NotTrusted) as caught:
        list(Hashing(_opening, lambda length: None).digests({"/proc/self/mem": 0}))
    assert (caught.value.reference, caught.value.where) == ("file-unreadable", "/proc/self/mem")
