"""Documents go into a bundle as their directory has them, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.docs.kind import Docs
from appliance.artifacts.docs.section import DocsSection
from appliance.errors import BadInput, Stale
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.locking import lock_one

KIND = Docs()
PAGES = {"index.html": b"<p>Begin here", "_static/style sheet.css": b"p {}", ".hidden": b""}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for path, data in PAGES.items():
        page = tmp_path / "with space/manual" / path
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(data)
    return tmp_path / "with space"


def context(base: Path, cache: str = "cache") -> Context:
    return Context(base, Cache(base.parent / cache), Silent())


def lock(base: Path, directory: str = "manual") -> LockedArtifact:
    return lock_one(KIND, "manual", DocsSection(directory=directory, licence="Apache-2.0"), context(base))


def test_each_file_lies_below_docs(base: Path) -> None:
    elsewhere = context(base, "another cache")
    artifact = lock(base)
    KIND.fetch(artifact, elsewhere)
    ((layout,), shared) = KIND.lay_out([artifact], elsewhere)
    assert {file.path: elsewhere.sink.path(file).read_bytes() for file in layout.files} == {
        f"docs/manual/{path}": data for path, data in PAGES.items()
    }
    assert (layout.details.fields(), shared) == ({"path": "docs/manual"}, ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "index.html").write_bytes(b"<p>Begin now!"), "has changed"),
        (lambda folder: (folder / "new.html").touch(), "has been added"),
        (lambda folder: (folder / "index.html").unlink(), "has disappeared"),
    ],
    ids=["changed", "added", "gone"],
)
def test_other_pages_make_the_lock_stale(base: Path, change: Callable[[Path], object], said: str) -> None:
    artifact = lock(base)
    change(base / "manual")
    for verb in (KIND.check_local, KIND.fetch):
        with pytest.raises(Stale, match=said):
            verb(artifact, context(base))


def test_a_link_is_not_followed(base: Path) -> None:
    (base / "manual/secret.html").symlink_to("/etc/shadow")
    with pytest.raises(BadInput, match=r"secret.html is a link") as caught:
        lock(base)
    assert caught.value.reference == "docs-refused"


@pytest.mark.parametrize("name", ["INDEX.html", "con.html", "a\nb"])
def test_names_that_some_systems_read_otherwise_are_refused(base: Path, name: str) -> None:
    (base / "manual" / name).touch()
    with pytest.raises(BadInput) as caught:
        lock(base)
    assert caught.value.reference == "docs-path-unsafe"


def test_a_manual_that_was_not_made_says_how(base: Path) -> None:
    with pytest.raises(BadInput, match="there is no directory other") as caught:
        lock(base, "other")
    assert caught.value.reference == "docs-directory-missing"
    assert "make docs" in caught.value.hint


def test_an_edited_lock_reads_nothing_elsewhere(base: Path) -> None:
    edited = lock(base).model_copy(update={"source": {"type": "directory", "directory": "../manual"}})
    with pytest.raises(BadInput) as caught:
        KIND.fetch(edited, context(base))
    assert caught.value.reference == "lock-source"
