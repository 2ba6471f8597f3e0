"""Whatever is done to any file of a bundle on its way: both verifiers refuse it, with exit code 3.

The changes and additions are those of the attack corpus, each done to every file.
verify.sh takes up to a second on an old machine, so it judges a change to all signed files
at once, and has to name each of them.
"""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.corpus.builder import disk
from tests.corpus.builder.cases import Case, group
from tests.corpus.builder.words import expand, to_bytes
from tests.support.bundles import FILES, FIRST, SECOND, Recipe, Written, keyid

pytestmark = pytest.mark.integration

SIGNED = (*FILES, "bundle.json", "verify.sh")
TRUSTED = ("SHA256SUMS", "statement.json", "trust/1.root.json", "trust/2.root.json")
SIGNATURES = tuple(f"sigs/{keyid(number)}.sigstore.json" for number in (FIRST, SECOND))
CHANGES = group("tamper")
ANY_CHANGE = pytest.mark.parametrize("change", CHANGES, ids=[case.name for case in CHANGES])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Recipe().write(tmp_path_factory.mktemp("whole bundle"))


@pytest.fixture
def copy(whole: Written, tmp_path: Path) -> Callable[[], Written]:
    """Makes any number of copies to spoil."""

    def make() -> Written:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(whole.path, folder / "bundle")
        (folder / "outside").mkdir()
        (folder / "outside/secret").touch()
        return Written(folder / "bundle", whole.trusted)

    return make


def do(case: Case, bundle: Written, *, at: str | None = None) -> None:
    """Do to ``bundle`` what the case says, or do it to the file ``at``."""
    outside = str(bundle.path.parent / "outside")
    for operation in case.do:
        changed = replace(operation, place=at or operation.place, argument=expand(operation.argument, outside))
        disk.apply(changed, bundle, Recipe())


@ANY_CHANGE
def test_a_change_to_any_file_is_refused(change: Case, copy: Callable[[], Written]) -> None:
    accepted = []
    for path in (*SIGNED, *TRUSTED, *SIGNATURES):
        bundle = copy()
        do(change, bundle, at=path)
        if bundle.exit_code() != 3:
            accepted.append(path)
    assert accepted == []


@ANY_CHANGE
def test_the_script_names_every_signed_file_that_was_changed(change: Case, copy: Callable[[], Written]) -> None:
    bundle = copy()
    for path in SIGNED:
        do(change, bundle, at=path)
    result = bundle.verify_sh()
    assert result.returncode == 3, result.stderr
    if change.name != "blow-up":  # that is seen before any file is read
        assert [path for path in SIGNED if json.dumps(path)[1:-1] not in result.stderr] == []


def test_the_script_refuses_a_change_to_what_trust_rests_on(copy: Callable[[], Written]) -> None:
    """Each change to two of these files, so that each file has six of them."""
    paths = (*TRUSTED, SIGNATURES[0])
    bundles = {}
    for number, change in enumerate(CHANGES):
        for path in (paths[number % len(paths)], paths[(number + 2) % len(paths)]):
            bundles[change.name, path] = copy()
            do(change, bundles[change.name, path], at=path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(bundles, pool.map(Written.verify_sh, bundles.values()), strict=True))
    assert {name: result.stderr for name, result in results.items() if result.returncode != 3} == {}


def test_the_script_names_every_addition_and_no_name_steers_the_terminal(copy: Callable[[], Written]) -> None:
    bundle = copy()
    expected = set()
    for case in group("additions"):
        try:
            do(case, bundle)
        except disk.CannotBuild:
            continue  # devices, for who is not root
        (operation,) = case.do
        name = to_bytes(operation.place).replace(b"\n", b"\1").decode(errors="replace")
        expected.add(json.dumps(f"not listed: {name}"))
    result = bundle.verify_sh()
    assert result.returncode == 3
    assert set(result.stderr.splitlines()[: len(expected)]) == expected
    assert all(" " <= character <= "~" or character == "\n" for character in result.stderr)
