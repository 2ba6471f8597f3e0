"""verify.sh as a program: how it is called, what it says, what it leaves, and that its rules are ours.

What it refuses stands in test_tamper.py, the systems it runs on in test_interop.py.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.model.jsonform import canonical_json
from tests.corpus.builder.cases import reads_ml_dsa
from tests.support.bundles import (
    CNSA,
    FILES,
    FIRST,
    PLAIN,
    POST_QUANTUM,
    SCRIPT,
    Written,
    key,
    keyid,
    root_document,
    run_script,
)
from tests.support.documents import DOCS
from tests.support.forging import put
from tests.support.json_values import VALUES
from tests.support.script_rules import (
    accepted_by_python,
    accepted_by_script,
    forms,
    rule_command,
    some_paths,
    sums_lines,
)
from tests.support.site_log import LOG_SCRIPT

pytestmark = pytest.mark.integration

PROGRAMS = "PATH=/usr/local/bin:/usr/bin:/bin"


def with_path(script: Path, path: str, folder: Path) -> Path:
    """A copy that looks for programs elsewhere, which no caller can bring it to do."""
    text = script.read_text()
    assert text.count(PROGRAMS) == 1
    copy = folder / script.name
    copy.write_text(text.replace(PROGRAMS, f'"PATH={path}"'))
    return copy


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return PLAIN.write(tmp_path_factory.mktemp("a medium"))


# How it is called ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["bundle", "--root", "root.json"],
        ["--root", "root.json", "bundle"],
        ["--root=root.json", "bundle/"],
        ["bundle", "root.json"],
        ["{folder}/bundle", "{folder}/root.json"],
        ["./bundle/../bundle", "--root", "/dev/stdin"],
    ],
)
def test_it_can_be_called_in_several_ways(bundle: Written, arguments: list[str]) -> None:
    folder = bundle.path.parent
    with bundle.trusted.open() as root:
        result = subprocess.run(
            ["sh", str(SCRIPT), *(argument.format(folder=folder) for argument in arguments)],
            cwd=folder,
            stdin=root,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("verified: tiny 1.0.0, 9 files, ")
    assert f"signed by {keyid(FIRST)}  signer {FIRST}" in result.stderr


def test_without_a_directory_it_verifies_the_one_it_lies_in(bundle: Written, tmp_path: Path) -> None:
    for script, cwd in ((bundle.path / "verify.sh", tmp_path), (Path("verify.sh"), bundle.path)):
        result = subprocess.run(
            ["sh", str(script), "--root", str(bundle.trusted)], cwd=cwd, capture_output=True, check=False
        )
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no root document given"),
        (["bundle"], "no root document given"),
        (["bundle", "--root"], "no file after --root"),
        (["bundle", "--root", "missing.json"], "cannot read the root document missing.json"),
        (["bundle", "--root", "bundle"], "cannot read the root document bundle"),
        (["missing", "--root", "root.json"], "not a readable directory: ./missing"),
        (["root.json", "--root", "root.json"], "not a readable directory: ./root.json"),
        (["bundle", "--no-verify", "--root", "root.json"], "unknown option --no-verify"),
        (["bundle", "root.json", "more"], "one argument too many: more"),
        (["bundle", "root.json", "--profile"], "the profile is cnsa-2.0"),
        (["bundle", "root.json", "--profile", "none"], "the profile is cnsa-2.0"),
        (["bundle", "root.json", "--profile=none"], "unknown option --profile=none"),
    ],
)
def test_a_wrong_call_is_told_from_a_bad_bundle(bundle: Written, arguments: list[str], said: str) -> None:
    result = run_script(arguments, cwd=bundle.path.parent)
    assert result.returncode == 2
    assert said in result.stderr


def test_help_is_no_error() -> None:
    assert run_script(["--help"]).returncode == 0


def test_odd_names_of_the_bundle_itself_change_nothing(bundle: Written, tmp_path: Path) -> None:
    for name in ("-", "--", "-rf", "a\nb", "*", " "):
        folder = tmp_path / "x" / name
        shutil.copytree(bundle.path, folder)
        result = run_script([f"./{name}", "--root", str(bundle.trusted)], cwd=folder.parent)
        assert result.returncode == 0, result.stderr
    # A directory of the same name elsewhere: cd would go there.
    (tmp_path / "y/bundle").mkdir(parents=True)
    shutil.copytree(bundle.path, tmp_path / "x/bundle")
    environment = {**os.environ, "CDPATH": str(tmp_path / "y")}
    assert run_script(["bundle", str(bundle.trusted)], cwd=tmp_path / "x", env=environment).returncode == 0
    environment = {**os.environ, "OLDPWD": str(tmp_path / "y/bundle")}
    assert run_script(["-", str(bundle.trusted)], cwd=tmp_path / "x", env=environment).returncode == 2


def test_a_missing_program_is_named(bundle: Written, tmp_path: Path) -> None:
    for missing in ("jq", "openssl"):
        tools = tmp_path / missing
        tools.mkdir()
        for folder in ("/usr/bin", "/bin"):
            for program in Path(folder).iterdir():
                if program.name != missing and not (tools / program.name).exists():
                    (tools / program.name).symlink_to(program)
        script = with_path(SCRIPT, str(tools), tools)
        result = subprocess.run(
            ["sh", script, bundle.path, bundle.trusted], capture_output=True, encoding="utf-8", check=False
        )
        assert (result.returncode, result.stderr) == (2, f"error: {missing} is not installed in {tools}\n")


def test_a_newer_openssl_is_named_and_not_found(bundle: Written, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "openssl").write_text("#!/bin/sh\nexit 1\n")
    (tools / "openssl").chmod(0o755)
    arguments = [str(bundle.path), "--root", str(bundle.trusted)]
    told = run_script([*arguments, "--tools", str(tools)])
    assert (told.returncode, "is not a key" in told.stderr) == (3, True)
    assert run_script(arguments, env={"PATH": f"{tools}:{os.environ['PATH']}"}).returncode == 0
    assert run_script([*arguments, "--tools", "tools"], cwd=tmp_path).returncode == 2


# What it says --------------------------------------------------------------------------------


def test_a_changed_file_is_named_with_both_digests(bundle: Written, tmp_path: Path) -> None:
    written = PLAIN.write(tmp_path)
    path = "models/tiny/model.safetensors"
    (written.path / path).write_bytes(FILES[path][:-1] + b"x")
    found = subprocess.run(["sha256sum", written.path / path], capture_output=True, check=True).stdout[:64].decode()
    expected = written.path.joinpath("SHA256SUMS").read_text().split(f"  {path}")[0][-64:]
    said = written.verify_sh().stderr
    assert f'file:     "{path}"\n  expected: {expected}\n  found:    {found}\n' in said


def test_a_demo_key_is_called_one(tmp_path: Path) -> None:
    root = root_document(1, (FIRST,), threshold=1, change=put(f"keys/{keyid(FIRST)}/use", "demo"))
    result = PLAIN.but(roots=(root,)).write(tmp_path).verify_sh()
    assert result.returncode == 0
    assert "DEMO" in result.stderr


def test_a_demo_key_that_did_not_sign_is_not_mentioned(tmp_path: Path) -> None:
    root = root_document(1, (FIRST, 55), threshold=1, change=put(f"keys/{keyid(55)}/use", "demo"))
    result = PLAIN.but(roots=(root,)).write(tmp_path).verify_sh()
    assert (result.returncode, "DEMO" in result.stderr) == (0, False)


def test_what_its_openssl_cannot_read_it_says(tmp_path: Path) -> None:
    """Here, or on the bare systems of test_profile.py: the two OpenSSLs differ, and a note tells it."""
    written = CNSA.write(tmp_path)
    result = written.verify_sh()
    assert result.returncode == 0, result.stderr
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    if not reads_ml_dsa(openssl):
        assert "note: this openssl cannot read ML-DSA-87: 4 co-signatures count as absent" in result.stderr
        assert result.stderr.count("signed by ") == 2
        demanded = written.verify_sh("cnsa-2.0")
        assert (demanded.returncode, "3.5 or newer can" in demanded.stderr) == (2, True)
    else:
        assert result.stderr.count("signed by ") == 4


# Where it runs -------------------------------------------------------------------------------


def test_files_that_are_hard_links_of_each_other_are_files(tmp_path: Path) -> None:
    written = PLAIN.but(files={"a": b"same", "b": b"same", "c/d": b"same"}).write(tmp_path)
    for name in ("b", "c/d"):
        (written.path / name).unlink()
        (written.path / name).hardlink_to(written.path / "a")
    assert written.verify_sh().returncode == 0
    assert written.verify().digests["b"] == written.verify().digests["a"]


@pytest.mark.parametrize("folder", ["a place", "-", "relative"])
def test_its_temporary_files_lie_where_it_is_told_and_go_away(bundle: Written, tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    place.mkdir()
    environment = {**os.environ, "TMPDIR": folder if folder == "relative" else str(place)}
    result = run_script([str(bundle.path), str(bundle.trusted)], cwd=tmp_path, env=environment, umask=0o077)
    assert result.returncode == 0, result.stderr
    assert list(place.iterdir()) == []


def test_without_a_place_for_temporary_files_it_fails(bundle: Written, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path / "missing")}
    assert run_script([str(bundle.path), str(bundle.trusted)], env=environment).returncode == 2


def _open_when_read(pipe: Path, process: "subprocess.Popen[bytes]") -> int:
    while process.poll() is None:
        with suppress(OSError):  # ENXIO: nobody reads yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    pytest.fail("the script ended before it read the root document")


def test_an_interrupted_run_leaves_nothing(bundle: Written, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root.json")  # nothing is written to it: the script waits
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(
        ["sh", str(SCRIPT), str(bundle.path), str(tmp_path / "root.json")],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    ) as process:
        writer = _open_when_read(tmp_path / "root.json", process)
        assert len(list((tmp_path / "tmp").iterdir())) == 1
        for _ in range(100):
            # Not SIGINT, which is ignored for good where the tests run in the background; and
            # again, because dash forgets a signal that comes between its fork and its exec.
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.1)
                break
        os.close(writer)  # whatever happened, the script comes to its end
    assert process.returncode == 130
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("script", [SCRIPT, LOG_SCRIPT], ids=lambda script: script.name)
def test_a_run_interrupted_while_it_makes_its_directory_leaves_nothing(script: Path, tmp_path: Path) -> None:
    for name in ("bin", "tmp"):
        (tmp_path / name).mkdir()
    # The real one, and a signal to the whole group at the moment when only mktemp knows the name.
    slow = tmp_path / "bin/mktemp"
    slow.write_text(f'#!/bin/sh\nmade=$({shutil.which("mktemp")} "$@")\nkill -TERM 0\necho "$made"\n')
    slow.chmod(0o755)
    done = subprocess.run(
        ["sh", with_path(script, f"{tmp_path / 'bin'}:{os.environ['PATH']}", tmp_path), tmp_path, "--root", slow],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        start_new_session=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 130
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_users_own_jq_functions_decide_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".jq").write_text("def test($x): true; def all(f; g): true; def select(f): .;")
    written = PLAIN.but(statement=put("predicate/name", "../x")).write(tmp_path)
    result = run_script([str(written.path), str(written.trusted)], env={**os.environ, "HOME": str(home)})
    assert result.returncode == 3


def test_an_attacker_who_fills_a_list_with_files_is_not_followed_for_ever(tmp_path: Path) -> None:
    files = {f"models/{number:04}/{number % 7}": b"x" for number in range(2000)}
    written = PLAIN.but(files=files).write(tmp_path)
    assert written.verify_sh().returncode == 0
    shutil.rmtree(written.path / "models")
    result = written.verify_sh()
    assert result.returncode == 3
    assert len(result.stderr.splitlines()) < 110


# That its rules are ours ---------------------------------------------------------------------


def test_it_accepts_the_same_paths_as_python(tmp_path: Path) -> None:
    paths = [*some_paths(), *("x/" + "y" * 250 + "/" + "z" * length for length in range(240, 260))]
    paths += ["x" * 200 + "/" + "y/" * length + "z" * 255 for length in range(26, 34)]
    paths += [("x" * 249 + "/") * 4 + "y" * length for length in range(20, 30)]
    (tmp_path / "sums").write_text(sums_lines(paths))
    result = subprocess.run(rule_command(tmp_path / "sums"), capture_output=True, check=True)
    accepted = accepted_by_script(paths, result.stdout)
    assert accepted == accepted_by_python(paths)
    assert 200 < len(accepted) < 3500  # both verdicts were asked for


@settings(max_examples=15)
@given(st.lists(VALUES, min_size=50, max_size=60))
def test_jq_writes_canonical_json_as_we_do(values: list[Any]) -> None:
    text = json.dumps(values, indent=3)
    written = subprocess.run(
        ["jq", "--compact-output", "--sort-keys", ".[]"], input=text.encode(), capture_output=True, check=True
    )
    assert written.stdout.splitlines() == [canonical_json(value) for value in values]


@settings(max_examples=5)
@given(VALUES)
def test_an_auditors_command_for_the_canonical_form_is_right(value: Any) -> None:
    text = json.dumps(value, indent=1)
    written = subprocess.run(["jq", "-cjS", "."], input=text.encode(), capture_output=True, check=True)
    # -j writes a lone text without its quotes; documents are objects
    assert isinstance(value, str) or written.stdout == canonical_json(value)


@pytest.mark.parametrize(("name", "first"), [("p256", 1), ("mldsa", POST_QUANTUM)])
def test_it_knows_the_keys_that_openssl_knows(name: str, first: int) -> None:
    """The pattern for each type of key in the script fits every key of that type, and no other."""
    pattern = re.search(rf'def {name}: text\("([^"]+)"\)', forms())
    assert pattern
    for number in range(first, first + 100):
        assert re.fullmatch(pattern[1], key(number).public.spki())
    assert not re.fullmatch(pattern[1], key(POST_QUANTUM + 1 - first).public.spki())


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck: apt-get install shellcheck")
    result = subprocess.run(
        ["shellcheck", "--shell=sh", str(SCRIPT)], capture_output=True, encoding="utf-8", check=False
    )
    assert result.stdout == ""


def test_its_lines_are_as_long_as_those_of_the_code() -> None:
    assert [line for line in SCRIPT.read_text().splitlines() if len(line) > 120] == []


def _properties(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value.get("properties", {})
        for inner in value.values():
            yield from _properties(inner)


def test_the_script_knows_every_property_of_the_index() -> None:
    """What appliance verify takes and verify.sh has never heard of, verify.sh would refuse."""
    script = SCRIPT.read_text()
    schema = json.loads((DOCS / "schemas/bundle.schema.json").read_text())
    assert [name for name in sorted(set(_properties(schema))) if not re.search(rf"\b{name}\b", script)] == []
