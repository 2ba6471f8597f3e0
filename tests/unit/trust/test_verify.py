import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.errors import NotTrusted
from appliance.model.files import TreeEntry
from appliance.model.progress import Silent
from appliance.model.taps import Tap
from appliance.store.tree import Tree
from appliance.trust import verify as module
from appliance.trust.policy import Policy
from appliance.trust.signatures import check_signature
from appliance.trust.verify import VerifiedBundle, VerifiedList, verify
from tests.support.bundles import (
    FILES,
    FIRST,
    NOW,
    RETIRED,
    SCRIPT,
    SECOND,
    Recipe,
    key,
    keyid,
    root_document,
)
from tests.support.forging import put


def _refused(recipe: Recipe, folder: Path) -> NotTrusted:
    with pytest.raises(NotTrusted) as caught:
        recipe.write(folder).verify()
    return caught.value


def test_a_whole_bundle_tells_who_signed_what(tmp_path: Path) -> None:
    bundle = Recipe().write(tmp_path).verify()
    assert {signer.keyid: signer.label for signer in bundle.signers} == {
        keyid(FIRST): f"signer {FIRST}",
        keyid(SECOND): f"signer {SECOND}",
    }
    assert bundle.root.document.version == 2
    assert bundle.statement.predicate.name == bundle.index.name == "tiny"
    assert set(bundle.digests) == {*FILES, "bundle.json", "verify.sh"}


def test_a_bundle_may_explain_the_script_too(tmp_path: Path) -> None:
    written = Recipe(files={**FILES, "verify.sh": SCRIPT.read_bytes()}).write(tmp_path)
    assert "verify.sh" in {file.path for file in written.verify().index.shared}


def test_a_demo_key_is_told_from_others(tmp_path: Path) -> None:
    root = root_document(1, (FIRST,), threshold=1, change=put(f"keys/{keyid(FIRST)}/use", "demo"))
    bundle = Recipe(roots=(root,), signers=(FIRST,)).write(tmp_path).verify()
    assert [signer.use for signer in bundle.signers] == ["demo"]


def test_all_files_that_differ_are_named(tmp_path: Path) -> None:
    written = Recipe().write(tmp_path)
    for path in FILES:
        (written.path / path).write_bytes(b"changed")
    with pytest.raises(NotTrusted) as caught:
        written.verify()
    # "changed" is longer than the empty file and shorter than most: no more bytes than were signed
    assert [problem.where for problem in caught.value.problems] == sorted(FILES)
    assert all(problem.expected and problem.found for problem in caught.value.problems)
    assert f"and {len(FILES) - 1} more problems" in caught.value.what


def test_everything_that_is_there_and_should_not_be_is_named(tmp_path: Path) -> None:
    written = Recipe().write(tmp_path)
    model = written.path / "models/tiny/model.safetensors"
    model.rename(tmp_path / "elsewhere")
    model.symlink_to(tmp_path / "elsewhere")
    (written.path / "images/oci-layout").unlink()
    (written.path / "evidence/scan report.txt").unlink()
    (written.path / "evidence/scan report.txt").mkdir()
    (written.path / "models/new").mkdir()
    (written.path / "models/tiny/.hidden").touch()
    os.mkfifo(written.path / "models/pipe")
    with pytest.raises(NotTrusted) as caught:
        written.verify()
    assert {problem.where: problem.what for problem in caught.value.problems} == {
        "models/tiny/model.safetensors": "not an ordinary file but a link",
        "images/oci-layout": "a listed file is missing",
        "evidence/scan report.txt": "a directory in place of a file",
        "models/new": "a directory that is not listed",
        "models/tiny/.hidden": "a file that is not listed",
        "models/pipe": "not an ordinary file but a special",
    }


def test_a_file_that_was_blown_up_is_not_read_to_its_end(tmp_path: Path) -> None:
    written = Recipe().write(tmp_path)
    with (written.path / "models/tiny/model.safetensors").open("r+b") as file:
        file.truncate(10**13)  # sparse: 10 TB that would take an hour to hash
    with pytest.raises(NotTrusted) as caught:
        written.verify()
    assert caught.value.reference == "size-mismatch"


def test_nobody_else_makes_a_verified_bundle(tmp_path: Path) -> None:
    bundle = Recipe().write(tmp_path).verify()
    with pytest.raises(TypeError, match="alone"):
        VerifiedBundle(object(), bundle.statement, bundle.root, bundle.signers)
    unfinished = VerifiedBundle(module._SEAL, bundle.statement, bundle.root, bundle.signers)
    with pytest.raises(TypeError, match="alone"):
        VerifiedList(object(), bundle.statement, bundle.root, bundle.signers, (), bundle.digests, {})
    with pytest.raises(TypeError, match="not verified to the end"):
        _ = unfinished.index


class _Double:
    """A reader that stands in front of a real one and lies about single things."""

    def __init__(
        self, tree: Tree, *, contents: Mapping[str, bytes] | None = None, entries: Mapping[str, TreeEntry] | None = None
    ) -> None:
        self.tree = tree
        self.contents = contents or {}
        self.entries = entries or {}

    def read(self, path: str, limit: int) -> bytes:
        return self.contents[path] if path in self.contents else self.tree.read(path, limit)

    def listing(self) -> Mapping[str, TreeEntry]:
        return {**self.tree.listing(), **self.entries}

    def digests(self, paths: Sequence[str], tap: Tap | None = None) -> Iterable[tuple[str, str]]:
        return self.tree.digests(paths, tap)


def _verify_double(folder: Path, **lies: Mapping[str, object]) -> NotTrusted:
    written = Recipe().write(folder)
    with Tree(written.path, Silent()) as tree, pytest.raises(NotTrusted) as caught:
        verify(_Double(tree, **lies), written.trusted.read_bytes(), Policy(now=datetime.now(UTC)))  # type: ignore[arg-type]
    return caught.value


def test_a_bundle_json_that_changes_after_it_was_hashed_is_refused(tmp_path: Path) -> None:
    error = _verify_double(tmp_path, contents={"bundle.json": b"{}"})
    assert (error.reference, error.where) == ("file-mismatch", "bundle.json")


def test_no_crowd_of_signatures_or_roots_is_worked_through(tmp_path: Path) -> None:
    crowd = {f"sigs/{number:064x}.sigstore.json": TreeEntry("file", 1) for number in range(65)}
    assert _verify_double(tmp_path / "1", entries=crowd).reference == "signature-malformed"
    crowd = {f"trust/{number}.root.json": TreeEntry("file", 1) for number in range(1, 1002)}
    assert _verify_double(tmp_path / "2", entries=crowd).reference == "root-chain"


def test_the_order_of_the_checks_is_the_one_that_is_promised(tmp_path: Path) -> None:
    """A bundle in which everything is wrong fails at the first step; mended step by step, at the next."""
    expired = root_document(1, (FIRST, SECOND), expires=NOW - timedelta(hours=1))
    good = root_document(1, (FIRST, SECOND))
    wrong = Recipe(
        roots=(expired,),
        trusted=good,
        signers=(FIRST, RETIRED),
        expires=NOW - timedelta(minutes=30),
        index_bytes=lambda data: b"{",
    )
    steps = [
        ("root-unknown", wrong),
        ("root-expired", wrong := wrong.but(trusted=None)),
        ("signature-unknown-key", wrong := wrong.but(roots=(good,))),
        ("bundle-expired", wrong := wrong.but(signers=(FIRST, SECOND))),
    ]
    for number, (reference, recipe) in enumerate(steps):
        assert _refused(recipe, tmp_path / str(number)).reference == reference
    written = wrong.but(expires=NOW + timedelta(days=1)).write(tmp_path / "last")
    sums = (written.path / "SHA256SUMS").read_bytes()
    model = written.path / "models/tiny/model.safetensors"
    whole = model.read_bytes()
    (written.path / "SHA256SUMS").write_bytes(sums + b"x")
    (written.path / "extra").touch()
    model.write_bytes(b"")
    for reference, mend in (
        ("sums-mismatch", lambda: (written.path / "SHA256SUMS").write_bytes(sums)),
        ("file-unlisted", (written.path / "extra").unlink),
        ("file-mismatch", lambda: model.write_bytes(whole)),
        ("index-malformed", lambda: None),
    ):
        with pytest.raises(NotTrusted) as caught:
            written.verify()
        assert caught.value.reference == reference
        mend()


def test_a_signature_is_checked_alone_too(tmp_path: Path) -> None:
    written = Recipe().write(tmp_path)
    statement = (written.path / "statement.json").read_bytes()
    content = (written.path / f"sigs/{keyid(FIRST)}.sigstore.json").read_bytes()
    root = written.verify().root
    assert check_signature(content, statement, keyid(FIRST), root).label == f"signer {FIRST}"
    with pytest.raises(NotTrusted):
        check_signature(content, statement, key(SECOND).public.keyid, root)
