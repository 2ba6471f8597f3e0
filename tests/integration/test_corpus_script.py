"""The attack corpus against verify.sh and a third verifier, as a process of their own for each case.

tests/unit/test_corpus.py asks ``appliance verify`` and ``appliance import`` about the same
cases.  The third (tests/third_verifier) follows docs/bundle-format.md and
docs/schemas: what it says otherwise, the text does not say well enough.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.corpus.builder.build import write
from tests.corpus.builder.cases import Case, Verifier, load_cases, reads_ml_dsa
from tests.corpus.builder.disk import CannotBuild
from tests.support.bundles import Written, run_script
from tests.support.project import REPOSITORY
from tests.support.watched import differences, snapshot

pytestmark = pytest.mark.integration

THIRD = REPOSITORY / "tests/third_verifier/verify.pl"
CASES = [case for case in load_cases().values() if case.alone]
Run = Callable[[Written, Path, Mapping[str, str]], "subprocess.CompletedProcess[str]"]


def made(cases: list[Case], folder: Path) -> dict[str, Written]:
    """Each case that can be made here, in a directory of its own."""
    found = {}
    for number, case in enumerate(cases):
        try:
            found[case.id] = write(case, folder / f"{number}")
        except CannotBuild:
            continue  # devices, for who is not root
    return found


@cache
def old_openssl() -> bool:
    """Whether this machine's reads no ML-DSA-87."""
    return not reads_ml_dsa(subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout)


def by_script(bundle: Written, folder: Path, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return run_script([str(bundle.path), "--root", str(bundle.trusted)], cwd=folder, env=environment)


def by_third(bundle: Written, folder: Path, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = ["perl", THIRD, bundle.path, "--root", bundle.trusted]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def verdicts(run: Run, written: Mapping[str, Written], home: Path) -> dict[str, int]:
    """Exit codes; whoever runs has a home, a place for temporary files and a directory of its own."""
    for name in ("tmp", "work"):
        (home / name).mkdir(parents=True)
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home / "tmp")}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda bundle: run(bundle, home / "work", environment), written.values())
        return {name: result.returncode for name, result in zip(written, results, strict=True)}


@pytest.mark.parametrize("group", sorted({case.group for case in CASES}))
def test_others_say_the_same_and_write_nothing(group: str, tmp_path: Path) -> None:
    cases = {case.id: case for case in CASES if case.group == group}
    written = made(list(cases.values()), tmp_path / "media")
    asked: list[tuple[Run, Verifier]] = []
    if group != "additions":  # all of them can lie in one bundle: test_tamper.py asks the script, which is slow
        asked.append((by_script, "verify.sh before OpenSSL 3.5" if old_openssl() else "verify.sh"))
    if shutil.which("perl"):
        asked.append((by_third, "verify before OpenSSL 3.5" if old_openssl() else "verify"))
    before = snapshot(tmp_path / "media")
    for run, verifier in asked:
        home = tmp_path / run.__name__
        found = verdicts(run, written, home)
        assert found == {name: cases[name].told(verifier).exit_code for name in written}, verifier
        assert [path for path in home.rglob("*") if path.name not in ("tmp", "work")] == []
    assert differences(before, snapshot(tmp_path / "media")) == []


LARGEST = {"resource/crowd-of-signatures-in-the-chain": 127, "resource/heavy-chain": 110}


@pytest.mark.long
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_chains_that_may_be_are_judged_to_their_end(name: str, tmp_path: Path) -> None:
    """One document less than in the case that is refused; every signature is verified, by a process for each."""
    case = load_cases()[name]
    (longer,) = case.do
    shorter = replace(longer, argument={**longer.argument, "by": LARGEST[name]})
    written = write(case.model_copy(update={"do": (shorter,)}), tmp_path / "medium")
    written.verify()
    asked = [by_script, *([by_third] if shutil.which("perl") else [])]
    for run in asked:
        done = run(written, tmp_path, {**os.environ, "TMPDIR": str(tmp_path)})
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("perl") is None, reason="the third verifier needs Perl: apt-get install perl")
def test_the_third_verifier_uses_nothing_of_ours_but_the_schemas() -> None:
    sources = "".join(path.read_text() for path in THIRD.parent.iterdir())
    used = {line.split()[1].rstrip(";") for line in sources.splitlines() if line.startswith("use ")}
    core = {"Digest::SHA", "Encode", "Fcntl", "File::Temp", "FindBin", "MIME::Base64", "POSIX", "Unicode::Normalize"}
    assert used - core == {"Json", "Paths", "constant", "lib", "v5.36"}
