"""What comes into a site, what does not, and that nothing but a whole bundle stays."""

import errno
import hashlib
import os
import stat
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.policy import DEFAULT_POLICY
from appliance.model.files import Content
from appliance.model.progress import Silent, Task
from appliance.steps.import_bundle import Imported, import_bundle
from appliance.steps.verify import verify
from appliance.store import staging as staging_module
from appliance.store.site import Site
from appliance.store.tree import Tree
from tests.support.bundles import CNSA, FILES, STRANGER, Recipe, Written
from tests.support.forging import put, sign_with
from tests.support.sites import holdings, version
from tests.support.umask import umask

WEIGHTS = "models/tiny/model.safetensors"


class Telling(Silent):
    """Keeps the lines that a person would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "srv/a site")


@pytest.fixture
def carried(tmp_path: Path) -> Written:
    return Recipe().write(tmp_path / "on a medium")


def take(written: Written, site: Site, progress: Silent | None = None, *, switch: bool = True) -> Imported:
    return import_bundle(written.path, written.trusted, site, progress or Silent(), switch=switch)


def refused(written: Written, site: Site) -> NotTrusted:
    """The refusal, after which the site is as it was, and a host that was no site is none."""
    before = holdings(site.root)
    with pytest.raises(NotTrusted) as caught:
        take(written, site)
    assert holdings(site.root) == before
    assert site.root.parent.exists() == bool(before)
    return caught.value


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_the_imported_directory_is_the_bundle(carried: Written, site: Site) -> None:
    with umask(0o077):
        imported = take(carried, site)
    assert imported.path == site.root / "bundles/tiny-1.0.0"
    assert (imported.written, imported.switched, imported.current) == (True, True, "1.0.0")
    assert (site.root / "current/tiny").samefile(imported.path)
    assert [path.name for path in (site.root / "bundles").iterdir()] == ["tiny-1.0.0"]
    verify(imported.path, carried.trusted, Silent())
    for path in (site.root, *site.path("tiny", "1.0.0").parent.rglob("*"), *(site.root / "current").rglob("*")):
        if not path.is_symlink():
            folder, file = (0o700, 0o600) if path.is_relative_to(site.state) else (0o755, 0o444)
            assert stat.S_IMODE(path.stat().st_mode) == (folder if path.is_dir() else file), path
    theirs = {str(path.relative_to(carried.path)): path for path in carried.path.rglob("*") if path.is_file()}
    ours = {str(path.relative_to(imported.path)): path for path in imported.path.rglob("*") if path.is_file()}
    assert {path: file.read_bytes() for path, file in ours.items()} == {
        path: file.read_bytes() for path, file in theirs.items()
    }


@pytest.mark.parametrize("path", [*FILES, "bundle.json", "verify.sh", "SHA256SUMS", "statement.json"])
def test_bytes_that_changed_on_the_way_leave_no_trace(path: str, carried: Written, site: Site) -> None:
    data = (carried.path / path).read_bytes()
    (carried.path / path).write_bytes(data + b"x" if not data else bytes([data[0] ^ 1]) + data[1:])
    refused(carried, site)
    assert not site.root.parent.exists()


def test_nothing_is_written_before_list_and_set_are_verified(
    carried: Written, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger and an extra file are refused on a site that nobody could write to."""
    monkeypatch.setattr(Site, "importing", lambda self: pytest.fail("began to write"))
    (carried.path / "models/extra").write_bytes(b"x")
    assert refused(carried, site).reference == "file-unlisted"
    (carried.path / "models/extra").unlink()
    sign_with(STRANGER, carried)
    assert refused(carried, site).reference == "signature-unknown-key"


def test_every_wrong_file_is_named(carried: Written, site: Site) -> None:
    for path in (WEIGHTS, "images/oci-layout"):
        flip(carried.path / path)
    assert {problem.where for problem in refused(carried, site).problems} == {WEIGHTS, "images/oci-layout"}


def test_the_same_bundle_again_changes_nothing(carried: Written, site: Site) -> None:
    take(carried, site)
    before = holdings(site.root)
    again = take(carried, site)
    assert (again.written, again.switched, again.current) == (False, False, "1.0.0")
    assert holdings(site.root) == before


def test_the_same_bundle_again_is_verified_again(carried: Written, site: Site) -> None:
    take(carried, site)
    flip(carried.path / WEIGHTS)
    assert refused(carried, site).where == WEIGHTS


@pytest.mark.parametrize("path", [WEIGHTS, "SHA256SUMS"])
def test_a_damaged_copy_of_the_site_is_not_called_imported(path: str, carried: Written, site: Site) -> None:
    held = take(carried, site).path
    (held / path).unlink()
    error = refused(carried, site)
    assert (error.reference, error.where) == ("file-missing", str(held / path))
    assert "own copy" in error.what
    assert f"remove {held}" in error.hint


def test_a_version_never_gets_other_content(carried: Written, site: Site, tmp_path: Path) -> None:
    take(carried, site)
    other = Recipe(files={**FILES, WEIGHTS: b"others"}).write(tmp_path / "other")
    assert refused(other, site).reference == "version-reused"


def test_versions_share_equal_files(carried: Written, site: Site, tmp_path: Path) -> None:
    first = take(carried, site)
    files = {**FILES, WEIGHTS: b"new weights", "models/tiny/renamed": FILES[WEIGHTS]}
    second = take(version("2.0.0", files=files).write(tmp_path / "second"), site)
    assert second.linked == len(FILES) + 1  # verify.sh too, and the old weights under their new name
    assert (first.path / WEIGHTS).samefile(second.path / "models/tiny/renamed")
    assert (first.path / "verify.sh").samefile(second.path / "verify.sh")
    assert (second.path / WEIGHTS).read_bytes() == b"new weights"
    for held in (first, second):
        verify(held.path, carried.trusted, Silent())


def test_a_damaged_file_of_the_site_is_not_shared(carried: Written, site: Site, tmp_path: Path) -> None:
    first = take(carried, site)
    flip(first.path / WEIGHTS)
    (first.path / "images/oci-layout").unlink()
    (first.path / "images/oci-layout").symlink_to("/etc/hostname")
    progress = Telling()
    second = take(version("2.0.0").write(tmp_path / "second"), site, progress)
    verify(second.path, carried.trusted, Silent())
    assert str(first.path / WEIGHTS) in progress.lines[0]


def test_what_the_site_holds_does_not_make_a_wrong_bundle_right(carried: Written, site: Site, tmp_path: Path) -> None:
    take(carried, site)
    second = version("2.0.0").write(tmp_path / "second")
    flip(second.path / WEIGHTS)
    assert refused(second, site).where == WEIGHTS


@pytest.mark.parametrize("reason", [errno.EMLINK, errno.EXDEV])
def test_what_cannot_be_linked_is_copied(
    reason: int, carried: Written, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(carried, site)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", refuse)
    second = take(version("2.0.0").write(tmp_path / "second"), site)
    assert second.linked == 0
    verify(second.path, carried.trusted, Silent())


def test_a_bundle_can_wait_to_become_current(carried: Written, site: Site, tmp_path: Path) -> None:
    take(carried, site)
    second = version("2.0.0").write(tmp_path / "second")
    assert take(second, site, switch=False).current == "1.0.0"
    assert take(second, site).current == "2.0.0"  # also what a run does that follows one killed before the switch


def test_a_disk_that_is_too_small_is_told_before_anything_is_copied(
    carried: Written, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_frsize=4096, f_bavail=3))
    monkeypatch.setattr(os, "write", lambda *arguments: pytest.fail("copied"))
    with pytest.raises(BadInput) as caught:
        take(carried, site)
    assert (caught.value.reference, caught.value.found) == ("disk-full", "12288 bytes")
    # Blocks, not bytes: eight small files and one of 12 kB (verify.sh grows at times).
    assert int(caught.value.expected.split()[0]) % 4096 == 0
    assert not site.root.parent.exists()


def test_a_disk_that_becomes_full_keeps_nothing(carried: Written, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(BadInput) as caught:
        take(carried, site)
    assert caught.value.reference == "disk-full"
    assert not site.root.parent.exists()


def test_an_interrupted_import_keeps_nothing_and_the_next_one_works(carried: Written, site: Site) -> None:
    class Interrupting(Silent):
        def task(self, text: str, total: int | None) -> AbstractContextManager[Task]:
            def interrupt(amount: int) -> None:
                raise KeyboardInterrupt

            return nullcontext(SimpleNamespace(advance=interrupt))

    with pytest.raises(KeyboardInterrupt):
        take(carried, site, Interrupting())
    assert not site.root.parent.exists()
    assert take(carried, site).written


def test_what_is_written_is_what_was_verified(
    carried: Written, site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A medium that shows other signatures after they were verified changes nothing."""

    def swap(self: staging_module.Staging) -> None:
        for path in (*carried.path.glob("sigs/*"), *carried.path.glob("trust/*"), carried.path / "statement.json"):
            path.write_bytes(b"others")
        (carried.path / "sigs/later.sigstore.json").write_bytes(b"others")

    monkeypatch.setattr(staging_module.Staging, "check_room", swap)
    imported = take(carried, site)
    verify(imported.path, carried.trusted, Silent())


def test_a_file_that_grows_without_end_does_not_fill_the_disk(
    carried: Written, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(self: staging_module.Staging) -> None:
        with (carried.path / WEIGHTS).open("ab") as file:
            file.truncate(2**40)

    monkeypatch.setattr(staging_module.Staging, "check_room", grow)
    with pytest.raises(NotTrusted, match="grew"):
        take(carried, site)
    assert not site.root.parent.exists()


def test_a_root_that_cannot_be_read_is_bad_input(carried: Written, site: Site) -> None:
    carried.trusted.unlink()
    with pytest.raises(BadInput) as caught:
        take(carried, site)
    assert caught.value.reference == "root-unreadable"
    assert not site.root.parent.exists()


# A site that demands the profile CNSA 2.0 ---------------------------------------------------------


def _for_profile(number: str, folder: Path) -> Written:
    return CNSA.but(index=put("version", number), statement=put("predicate/version", number)).write(folder)


def test_files_are_shared_only_with_equal_sha384(site: Site, tmp_path: Path) -> None:
    """Nobody can make two files of one SHA-256 for this test, so the list of SHA-384 is made to differ."""
    demands = DEFAULT_POLICY.model_copy(update={"profiles": ("cnsa-2.0",)})
    for number in ("1.0.0", "2.0.0"):
        written = _for_profile(number, tmp_path / number)
        taken = import_bundle(written.path, written.trusted, site, Silent(), demands=demands)
    assert taken.linked == len(FILES) + 1  # verify.sh too; bundle.json and the list tell the version
    assert verify(taken.path, written.trusted, Silent(), demands=demands).signers
    telling = Telling()
    with Tree(written.path, Silent()) as tree, site.staging("tiny", "3.0.0", {WEIGHTS: _content(written)}) as staging:
        source = {_content(written).sha256: taken.path / WEIGHTS}
        staging.link(source, telling, {WEIGHTS: hashlib.sha384(tree.read(WEIGHTS, 10**6)).hexdigest()})
        assert staging.linked == {WEIGHTS}
    with site.staging("tiny", "3.0.0", {WEIGHTS: _content(written)}) as staging:
        staging.link(source, telling, {WEIGHTS: "0" * 96})
        assert staging.linked == set()
        assert not (staging.path / WEIGHTS).exists()


def _content(written: Written) -> Content:
    data = (written.path / WEIGHTS).read_bytes()
    return Content(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
