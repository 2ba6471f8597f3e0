"""Weights from a directory that is another one a moment later, or that lies elsewhere."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.weights.kind import Weights
from appliance.artifacts.weights.section import WeightsSection
from appliance.errors import ApplianceError, BadInput, Stale
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Progress, Silent, Task
from appliance.store.cache import Cache
from tests.support.locking import lock_one
from tests.support.weights import model_files

KIND = Weights()
SECRET = b"root:$y$j9T$secret"


class Meanwhile(Silent):
    """Progress of somebody who does something when the files have been listed and are about to be read."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._happens = happens

    @contextmanager
    def task(self, text: str, total: int | None) -> Iterator[Task]:
        self._happens()
        with super().task(text, total) as task:
            yield task


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Where the definition lies; a model is beside it, and a secret elsewhere."""
    write(tmp_path / "base/model")
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path / "base"


def write(folder: Path) -> None:
    for path, data in model_files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def context(base: Path, cache: str = "cache", progress: Progress | None = None, **options: Any) -> Context:
    return Context(base, Cache(base.parent / cache), progress or Silent(), **options)


def lock(context: Context, directory: str = "model", **more: Any) -> LockedArtifact:
    fields = {"directory": directory, "licence": "CC0-1.0", **more}
    return lock_one(KIND, "tiny", WeightsSection.model_validate_json(json.dumps(fields)), context)


def kept(context: Context) -> list[bytes]:
    return [path.read_bytes() for path in context.sink.root.rglob("blobs/*/*/*")]  # type: ignore[attr-defined]


def replaced(path: Path, by: Callable[[Path], None]) -> Callable[[], None]:
    def happens() -> None:
        path.unlink()
        by(path)

    return happens


def a_link(path: Path) -> None:
    path.symlink_to(path.parents[2] / "secret")


CHANGES = {
    "a link": a_link,
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "a longer file": lambda path: path.write_bytes(SECRET * 100),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("by", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("verb", ["lock", "fetch"])
def test_a_file_that_becomes_something_else_after_the_listing_is_not_read(
    base: Path, by: Callable[[Path], None], verb: str
) -> None:
    artifact = lock(context(base))
    happens = replaced(base / "model/config.json", by)
    meanwhile = context(base, "another cache", Meanwhile(happens))
    verbs: dict[str, Callable[[], object]] = {
        "lock": lambda: lock(meanwhile),
        "fetch": lambda: KIND.fetch(artifact, meanwhile),
    }
    with pytest.raises(BadInput) as caught:
        verbs[verb]()
    assert caught.value.where == str(base / "model/config.json")
    assert not any(SECRET in data for data in kept(meanwhile))


@pytest.mark.parametrize("path", ["up/model", "model"], ids=["in the middle", "at the end"])
def test_a_link_on_the_way_to_the_directory_is_not_followed(base: Path, path: str) -> None:
    (base / "model").rename(base.parent / "model")
    (base / path.split("/", maxsplit=1)[0]).symlink_to(base.parent if "/" in path else base.parent / "model")
    with pytest.raises(BadInput) as caught:
        lock(context(base), path)
    assert caught.value.reference == "weights-directory-link"
    with (
        pytest.raises(BadInput, match="it is a link, or is behind one"),
        context(base).sink.open_local(base, Silent(), path),
    ):
        pass


@pytest.mark.parametrize(
    ("make", "said"),
    [(a_link, "is a link"), (os.mkfifo, "is a FIFO, a socket, a device"), (lambda path: path.touch(0o4644), "set-id")],
    ids=["link", "FIFO", "set-id"],
)
def test_what_is_no_file_is_named_and_nothing_can_allow_it(base: Path, make: Callable[[Path], None], said: str) -> None:
    """Also where there is no file beside it, which is not the same as an empty directory."""
    shutil.rmtree(base / "model")
    (base / "model").mkdir()
    make(base / "model/model.safetensors")
    if "set" in said:
        (base / "model/model.safetensors").chmod(0o4644)
    with pytest.raises(ApplianceError, match=said) as caught:
        lock(context(base))
    assert caught.value.reference == "weights-refused"
    assert "allow" not in caught.value.hint


def test_a_directory_elsewhere_gives_the_same_lock(base: Path, tmp_path: Path) -> None:
    """140 GB lie where there is room; which place that is, is no business of the lock."""
    beside = lock(context(base), "model")
    disk = tmp_path / "big disk"
    disk.mkdir()
    (base / "model").rename(disk / "model")
    there = context(base, weights=disk)
    assert lock(there) == beside
    KIND.check_local(beside, there)
    KIND.fetch(beside, context(base, "another cache", weights=disk))
    with pytest.raises(BadInput) as caught:
        lock(context(base))
    assert caught.value.reference == "weights-directory-missing"
    assert "--weights DIRECTORY" in caught.value.hint


def test_what_is_not_there_is_looked_for_beside_the_definition(base: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    assert lock(context(base, weights=tmp_path / "disk")) == lock(context(base))


def test_a_changed_directory_elsewhere_is_stale(base: Path, tmp_path: Path) -> None:
    artifact = lock(context(base))
    write(tmp_path / "disk/model")
    (tmp_path / "disk/model/config.json").write_bytes(b'{"model_type": "other"}')
    with pytest.raises(Stale, match="has changed"):
        KIND.check_local(artifact, context(base, weights=tmp_path / "disk"))
