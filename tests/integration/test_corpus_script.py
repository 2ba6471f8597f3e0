"""The attack corpus against verify.sh, as a process of its own for each case.

tests/unit/test_corpus.py asks ``appliance verify`` and ``appliance import`` about the same
cases.  What a shell takes up to a second for is asked once: additions, of which all can lie
in one bundle, are in test_tamper.py.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.corpus.builder.build import write
from tests.corpus.builder.cases import Case, load_cases, script_with
from tests.corpus.builder.disk import CannotBuild
from tests.support.bundles import Written, run_script
from tests.support.watched import differences, snapshot

pytestmark = pytest.mark.integration

CASES = [case for case in load_cases().values() if case.alone and case.group != "additions"]


def made(cases: list[Case], folder: Path) -> dict[str, Written]:
    """Each case that can be made here, in a directory of its own."""
    found = {}
    for number, case in enumerate(cases):
        try:
            found[case.id] = write(case, folder / f"{number}")
        except CannotBuild:
            continue  # devices, for who is not root
    return found


@pytest.mark.parametrize("group", sorted({case.group for case in CASES}))
def test_the_script_says_the_same_and_writes_nothing(group: str, tmp_path: Path) -> None:
    cases = {case.id: case for case in CASES if case.group == group}
    written = made(list(cases.values()), tmp_path / "media")
    home = tmp_path / "home"
    for name in ("tmp", "work"):
        (home / name).mkdir(parents=True)
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home / "tmp")}
    before = snapshot(tmp_path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(
            lambda bundle: run_script([bundle.path, "--root", bundle.trusted], cwd=home / "work", env=environment),
            written.values(),
        )
    found = {name: result.returncode for name, result in zip(written, results, strict=True)}
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    script = script_with(openssl)
    assert found == {name: cases[name].told(script).exit_code for name in written}
    assert [line for line in differences(before, snapshot(tmp_path)) if not line.startswith(f"{home}/tmp: ")] == []
