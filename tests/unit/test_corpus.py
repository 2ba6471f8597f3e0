"""The attack corpus against us: every case is refused for what it is, and nothing else happens.

What is watched is a whole file system of its own: the medium, a site that holds a bundle,
a home, a place for temporary files, and files of others that links and names lead to.
tests/integration/test_corpus_script.py asks verify.sh about the same cases.
"""

import json
import os
import re
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance.model.documents.policy import POLICY_SCHEMA
from appliance.store.tree import Tree
from tests.corpus.builder.build import meanwhile, write, write_override
from tests.corpus.builder.cases import Before, Case, Operation, Told, Verifier, load_cases, load_rows
from tests.corpus.builder.content import write_content
from tests.corpus.builder.disk import CannotBuild
from tests.corpus.gates import judge
from tests.support.bundles import Written
from tests.support.in_process import Answer, ask
from tests.support.project import REPOSITORY
from tests.support.watched import Snapshot, differences, snapshot

CASES = load_cases()
BAD = {name: case for name, case in CASES.items() if case.alone and not case.good}
GOOD = {name: case for name, case in CASES.items() if case.alone and case.good}
AT_A_SITE = {name: case for name, case in CASES.items() if case.history or case.policy}
RACES = {name: case for name, case in CASES.items() if case.when}
CONTENT = {name: case for name, case in CASES.items() if case.subject != "bundle"}


@dataclass(frozen=True)
class World:
    """A machine's files: ``medium`` is where a case is made, below ``srv`` are sites with a past."""

    root: Path
    sites: dict[tuple[str, str], Path] = field(default_factory=dict)

    @property
    def medium(self) -> Path:
        return self.root / "medium"

    def make(self, case: Case) -> Written:
        """The case, alone on the medium."""
        if self.medium.exists():
            for folder, names, _ in os.walk(self.medium):
                for name in names:
                    if not Path(folder, name).is_symlink():
                        Path(folder, name).chmod(0o700)
            shutil.rmtree(self.medium)
        try:
            return write(case, self.medium)
        except CannotBuild as error:
            pytest.skip(f"needs root: {error}")

    def site(self, case: Case) -> Path:
        """A site that has accepted what the case says, or else version 0.9.0 of the same bundle.

        One for all cases with that past: what is refused changes nothing of it.
        """
        key = (case.base, repr(case.history))
        if key not in self.sites:
            self.sites[key] = self.new_site(case, self.root / f"srv/site {len(self.sites)}")
        return self.sites[key]

    def new_site(self, case: Case, site: Path) -> Path:
        """Such a site for one case alone."""
        for before in case.history or (Before(do=(Operation("version", False, "is", "0.9.0"),)),):
            accepted = Told(accepted="it was")
            bundle = Case(name="before", base=before.base or case.base, do=before.do, verdict=accepted)
            written = write(bundle, self.root / f"held/{len(list(self.root.glob('held/*')))}")
            assert ask("import", written.path, "--root", written.trusted, "--site", site).code == 0
        return site

    def seen(self, site: Path) -> Snapshot:
        """Everything but what an import is there to write: its log and receipts, and its staging's times."""
        told = tuple(site / name for name in ("log", "receipts"))
        everything = snapshot(self.root, leave_out=(*told, self.root / "held"))
        return {path: what for path, what in everything.items() if path != f"{site}/bundles"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("a machine"))
    for name in ("home", "tmp", "work"):
        (world.root / name).mkdir()
    (world.root / "home/secret").write_bytes(b"somebody's\n")
    return world


@pytest.fixture(autouse=True)
def _at_home(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.root / "work")
    monkeypatch.setenv("HOME", str(world.root / "home"))
    monkeypatch.setenv("TMPDIR", str(world.root / "tmp"))


def check(answer: Answer, told: Told) -> None:
    assert (answer.code, answer.reference) == (told.exit_code, told.refused)


@pytest.mark.parametrize("case", BAD.values(), ids=list(BAD))
def test_a_bad_bundle_is_refused_for_what_it_is_and_nothing_is_written(case: Case, world: World) -> None:
    written, site = world.make(case), world.site(case)
    before = world.seen(site)
    answer = ask("verify", written.path, "--root", written.trusted)
    check(answer, case.told("verify"))
    assert answer.value["error"]["where"]
    check(ask("import", written.path, "--root", written.trusted, "--site", site), case.told("import"))
    assert differences(before, world.seen(site)) == []
    last = json.loads((site / "log/log.jsonl").read_bytes().splitlines()[-1])
    assert last["details"]["refusal"]["reference"] == case.told("import").refused


@pytest.mark.parametrize("case", GOOD.values(), ids=list(GOOD))
def test_a_good_bundle_is_accepted_and_imported(case: Case, world: World, tmp_path: Path) -> None:
    written, site = world.make(case), tmp_path / "site"
    before = world.seen(site)
    assert ask("verify", written.path, "--root", written.trusted).code == 0
    taken = ask("import", written.path, "--root", written.trusted, "--site", site)
    assert taken.code == 0
    assert ask("verify", taken.value["path"], "--root", written.trusted).code == 0
    assert differences(before, world.seen(site)) == []
    for path in Path(taken.value["path"]).rglob("*"):  # names and bytes came in, and nothing else
        status = path.lstat()
        assert (stat.S_IMODE(status.st_mode), os.listxattr(path)) == (0o755 if path.is_dir() else 0o444, []), path
        assert path.is_dir() or not path.samefile(written.path / path.relative_to(taken.value["path"]))


@pytest.mark.parametrize("case", AT_A_SITE.values(), ids=list(AT_A_SITE))
def test_a_site_refuses_what_its_past_and_its_policy_forbid(case: Case, world: World, tmp_path: Path) -> None:
    written = world.make(case)
    site = world.site(case) if not case.good else world.new_site(case, tmp_path / "site")
    options: list[object] = []
    if case.policy:
        policy = world.medium / "policy.yaml"
        policy.write_text(json.dumps({"schema": POLICY_SCHEMA, **case.policy}))
        options += ["--policy", policy]
    before = world.seen(site)
    check(ask("verify", written.path, "--root", written.trusted, *options), case.told("verify"))
    options += ["--override", write_override(case, written)] if case.override else []
    before = world.seen(site)
    check(ask("import", written.path, "--root", written.trusted, "--site", site, *options), case.told("import"))
    assert differences(before, world.seen(site)) == []
    if not case.good and case.verdict.refused != "override-malformed":  # that says nothing of a bundle
        last = json.loads((site / "log/log.jsonl").read_bytes().splitlines()[-1])
        assert last["details"]["refusal"]["reference"] == case.told("import").refused


@pytest.mark.parametrize("command", ["verify", "import"])
@pytest.mark.parametrize("case", RACES.values(), ids=list(RACES))
def test_what_changes_meanwhile_is_seen(
    case: Case, command: Verifier, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, site = world.make(case), world.site(case)
    moments: list[str] = []

    def at(moment: str) -> None:
        moments.append(moment)
        if moments.count(case.when) == 1 and moment == case.when:
            meanwhile(case, written)

    listing, read, digests = Tree.listing, Tree.read, Tree.digests

    def listed(tree: Tree) -> Any:
        found = listing(tree)
        at("listed")
        return found

    def reading(tree: Tree, path: str, limit: int) -> bytes:
        at(f"read {path}")
        return read(tree, path, limit)

    def hashing(tree: Tree, paths: Sequence[str], *tap: Any) -> Any:
        if paths:  # an import asks for what it has linked first, which may be nothing
            at("hashed")
        return digests(tree, paths, *tap)

    for name, method in (("listing", listed), ("read", reading), ("digests", hashing)):
        monkeypatch.setattr(Tree, name, method)
    before = world.seen(site)
    options = ["--site", site] if command == "import" else []
    check(ask(command, written.path, "--root", written.trusted, *options), case.told(command))
    assert case.when in moments
    medium = str(world.medium)
    assert [line for line in differences(before, world.seen(site)) if not line.startswith(medium)] == []


@pytest.mark.parametrize("case", CONTENT.values(), ids=list(CONTENT))
def test_what_may_not_get_into_a_bundle_is_refused_before_there_is_one(case: Case, tmp_path: Path) -> None:
    assert judge(case.subject, write_content(case, tmp_path)) == (case.verdict.exit_code, case.verdict.refused)


def test_a_site_that_refuses_its_first_bundle_is_none(world: World, tmp_path: Path) -> None:
    for name in ("tamper/flip-a-byte-in-the-middle", "additions/link-out", "index/key-twice", "signature/none"):
        written = world.make(CASES[name])
        assert ask("import", written.path, "--root", written.trusted, "--site", tmp_path / "srv/site").code == 3
        assert list(tmp_path.iterdir()) == []


# The corpus itself ----------------------------------------------------------------------------


def test_every_attack_class_has_a_case() -> None:
    rows = {row for case in CASES.values() for row in case.rows}
    assert rows == set(load_rows())


def test_everything_seen_elsewhere_is_imitated_and_named_once() -> None:
    seen = {name for row in load_rows().values() for name in row.seen}
    imitated = {name for case in CASES.values() for name in case.imitates if not name.startswith("CWE-")}
    assert imitated == seen


def test_every_bad_case_says_what_it_imitates() -> None:
    assert [case.id for case in CASES.values() if not case.good and not (case.imitates and case.rows)] == []
    assert len(BAD) >= 150
    assert len(GOOD) >= 15


def test_every_place_and_verb_is_described() -> None:
    lines = (REPOSITORY / "tests/corpus/README.md").read_text().splitlines()
    described = {word for line in lines if line.startswith("|") for word in re.findall(r"`([^`]+)`", line)}
    operations = [each for case in CASES.values() for each in (*case.do, *case.meanwhile)]
    assert {each.verb for each in operations} <= described
    places = {each.place for each in operations if not each.on_disk and isinstance(each.place, str)}
    general = {re.sub(r"(?<=^signature ).*", "WHO", re.sub(r"(?<=^root )\d", "N", place)) for place in places}
    assert {f"in: {place}" for place in general} <= described


def test_what_a_verifier_leaves_out_has_a_reason() -> None:
    for case in CASES.values():
        for told in case.others.values():
            assert len(told.why + told.accepted + told.not_asked) > 20, case.id


def test_the_threat_model_points_to_cases_that_are_there_and_to_every_group() -> None:
    document = (REPOSITORY / "docs/threat-model.md").read_text()
    groups = {case.group for case in CASES.values()}
    named = set(re.findall(r"`([a-z0-9-]+/[a-z0-9-]+)`", document))
    assert named <= set(CASES)
    last_column = document.split("| class | seen elsewhere | here | cases |\n")[1].split("\n\n")[0]
    cells = [line.split(" | ")[-1] for line in last_column.splitlines()[1:]]
    assert {name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)} | {"good"} == groups
