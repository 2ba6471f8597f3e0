"""verify.sh and check-log.sh whatever their caller's environment is: the same verdicts, no program of the bundle.

Each environment is tried with a bundle that is good, and with one of which a byte was changed and which carries
programs that would call it good.  Where something acts before the first line of a script, the verdict is at
least never given: exit code 0 counts only with the line that says so.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.model.progress import Silent
from appliance.steps.import_bundle import import_bundle
from appliance.store.log import Log
from appliance.store.site import Site
from tests.support.bundles import PLAIN, SCRIPT, Written
from tests.support.site_log import LOG_SCRIPT

pytestmark = pytest.mark.integration

_PROGRAMS = [
    "sha256sum",
    "sha384sum",
    "du",
    "jq",
    "openssl",
    "head",
    "tail",
    "wc",
    "cut",
    "sort",
    "comm",
    "uniq",
    "cat",
    "tr",
    "grep",
    "sed",
    "date",
    "mktemp",
    "rm",
    "base64",
    "split",
    "nproc",
    "paste",
    "xargs",
]
_FUNCTIONS = (*_PROGRAMS, *["exec", "test", "[", "command", "printf", "read", "cd", "set", "trap", "unset", "true"])
_TEMPLATE = "() { exit 0; }"


@dataclass(frozen=True)
class Hostile:
    """A caller: variables beside PATH, its umask, where it stands, what it does to its shell first, and in which shell.

    ``{bundle}`` and ``{place}`` (a directory with a hostile file of each kind) are put in.  ``acts_first`` is for what
    a script cannot undo.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    inside: bool = False
    before: str = ""
    closing: str = ""
    acts_first: bool = False


ENVIRONMENTS = {
    "an empty PATH": Hostile({"PATH": ""}, inside=True),
    "PATH is the bundle": Hostile({"PATH": "{bundle}:/usr/bin:/bin"}),
    "PATH begins empty": Hostile({"PATH": ":/usr/bin:/bin"}, inside=True),
    "PATH ends empty": Hostile({"PATH": "/usr/bin:/bin:"}, inside=True),
    "PATH with a dot": Hostile({"PATH": ".:/usr/bin:/bin"}, inside=True),
    "PATH with a relative directory": Hostile({"PATH": "evidence:/usr/bin:/bin"}, inside=True),
    "PATH of somebody": Hostile({"PATH": "{place}:/usr/bin:/bin"}),
    "PATH leads nowhere": Hostile({"PATH": "/nonexistent"}),
    "IFS of digits": Hostile({"IFS": "0123456789abcdef/"}),
    "IFS empty": Hostile({"IFS": ""}),
    "LC_ALL Turkish": Hostile({"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}),
    "LC_ALL UTF-8": Hostile({"LC_ALL": "C.UTF-8"}),
    "LC_ALL nonsense": Hostile({"LC_ALL": "../../{place}", "LANGUAGE": "x", "NLSPATH": "{place}/%N"}),
    "LOCPATH": Hostile({"LOCPATH": "{place}", "LC_ALL": "xx_XX"}),
    "CDPATH": Hostile({"CDPATH": "{place}:/"}),
    "ENV": Hostile({"ENV": "{place}/rc"}),
    "BASH_ENV": Hostile({"BASH_ENV": "{place}/rc"}, acts_first=True),
    "BASH_ENV with aliases": Hostile({"BASH_ENV": "{place}/aliases"}, acts_first=True),
    "SHELLOPTS noexec": Hostile({"SHELLOPTS": "noexec"}, acts_first=True),
    "SHELLOPTS": Hostile({"SHELLOPTS": "noglob:noclobber:nounset:verbose:keyword:allexport"}),
    "SHELLOPTS errexit": Hostile({"SHELLOPTS": "errexit:xtrace:physical", "PS4": "$(exit 0)"}),
    "BASHOPTS": Hostile({"BASHOPTS": "extglob:failglob:nullglob:dotglob:nocasematch:nocaseglob"}),
    "POSIXLY_CORRECT": Hostile({"POSIXLY_CORRECT": "1", "_POSIX2_VERSION": "199209"}),
    "OPENSSL_CONF": Hostile({"OPENSSL_CONF": "{place}/openssl.cnf"}),
    "OPENSSL_MODULES": Hostile({"OPENSSL_MODULES": "{place}", "OPENSSL_ENGINES": "{place}"}),
    "OPENSSL_CONF missing": Hostile({"OPENSSL_CONF": "/nonexistent", "SSL_CERT_FILE": "/nonexistent"}),
    "JQ": Hostile({"JQ_LIBRARY_PATH": "{place}", "JQ_COLORS": "0;31:x", "NO_COLOR": "", "CLICOLOR_FORCE": "1"}),
    "HOME with .jq": Hostile({"HOME": "{place}"}),
    "HOME unset": Hostile({"HOME": ""}),
    "grep, sort and du": Hostile(
        {
            "GREP_OPTIONS": "--invert-match",
            "GREP_COLORS": "x",
            "DU_BLOCK_SIZE": "1M",
            "BLOCK_SIZE": "1M",
            "BLOCKSIZE": "9",
        }
    ),
    "quoting": Hostile({"QUOTING_STYLE": "c", "TIME_STYLE": "iso", "COLUMNS": "1", "LS_COLORS": "x"}),
    "TZ": Hostile({"TZ": "XXX-167"}),
    "exported functions": Hostile(dict.fromkeys((f"BASH_FUNC_{name}%%" for name in _FUNCTIONS), _TEMPLATE)),
    "old exported functions": Hostile(dict.fromkeys(("test", "sha256sum", "exec"), _TEMPLATE)),
    "names of our own variables": Hostile(
        dict.fromkeys(("work", "bundle", "trusted", "profile", "FORMS", "newest", "anchor", "threshold", "name"), "x")
    ),
    "PWD and OLDPWD": Hostile({"PWD": "{place}", "OLDPWD": "{place}"}),
    "umask 077": Hostile(umask=0o077),
    "umask 777": Hostile(umask=0o777),
    "umask 000": Hostile(umask=0),
    "no standard input": Hostile(closing="<&-"),
    "no standard error": Hostile(closing="2>&-"),
    "neither": Hostile(closing="<&- 2>&-"),
    "PIPE ignored": Hostile(before="trap '' PIPE;"),
    "CHLD ignored": Hostile(before="trap '' CHLD;"),
    "few descriptors": Hostile(before="ulimit -n 20;"),
    "TMPDIR with a space": Hostile({"TMPDIR": "{place}/a place\n*"}),
}
Verdict = tuple[bool, bool]
SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody hostile has prepared: programs that are always content, and files that programs read."""
    folder = tmp_path_factory.mktemp("hostile")
    _programs(folder)
    (folder / "rc").write_text("exit 0\n")
    (folder / "aliases").write_text("shopt -s expand_aliases\nalias exec='exit 0 #' case='exit 0 #' set='exit 0 #'\n")
    (folder / ".jq").write_text("def test($x): true; def all(f; g): true; def select(f): .;")
    (folder / "openssl.cnf").write_text("openssl_conf = x\n[x]\nproviders = y\n[y]\nz = w\n[w]\nmodule = /x\n")
    (folder / "a place\n*").mkdir()
    return folder


def _programs(folder: Path) -> None:
    for name in _PROGRAMS:
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(0o755)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return PLAIN.write(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A byte is another, and the programs that would not mind lie beside."""
    written = PLAIN.write(tmp_path_factory.mktemp("bad"))
    path = written.path / "models/tiny/model.safetensors"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    _programs(written.path)
    _programs(written.path / "evidence")
    return written


def _run(hostile: Hostile, shell: str, script: Path, arguments: list[str], place: Path, cwd: Path) -> tuple[int, str]:
    words = [f"{shutil.which(shell)}", *(["sh"] if shell == "busybox" else []), str(script), *arguments]
    variables = {"PATH": os.environ["PATH"], "TMPDIR": str(place), **hostile.variables}
    known = {
        name: value.format(bundle=cwd, place=place) if "{" in value and "()" not in value else value
        for name, value in variables.items()
    }
    # What is done first is done by another shell, without these variables.
    caller = f'{hostile.before} umask {hostile.umask:04o}; exec /usr/bin/env -i "$@" {hostile.closing}'
    assignments = [f"{name}={value}" for name, value in known.items()]
    done = subprocess.run(
        ["/bin/bash", "-c", caller, "caller", *assignments, *words],
        cwd=cwd if hostile.inside else place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def _verdicts(name: str, shell: str, good: Written, bad: Written, place: Path) -> dict[str, Verdict]:
    """Whether each bundle was called verified, and whether the call ended as if it had been."""
    found = {}
    for what, written in (("good", good), ("bad", bad)):
        arguments = [str(written.path), "--root", str(written.trusted)]
        code, said = _run(ENVIRONMENTS[name], shell, SCRIPT, arguments, place, written.path)
        found[what] = (code == 0, said.startswith("verified:") and code == 0)
    return found


def _check(name: str, shell: str, found: dict[str, Verdict]) -> None:
    if ENVIRONMENTS[name].acts_first:
        assert found["bad"][1] is False
    else:
        assert found == {"good": (True, True), "bad": (False, False)}, (name, shell)


@pytest.mark.parametrize("name", ["PATH begins empty", "exported functions", "no standard error", "SHELLOPTS noexec"])
def test_nothing_of_the_caller_decides(name: str, good: Written, bad: Written, place: Path) -> None:
    _check(name, "bash", _verdicts(name, "bash", good, bad, place))


@pytest.mark.long
@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_of_any_caller_decides(shell: str, good: Written, bad: Written, place: Path) -> None:
    assert len(ENVIRONMENTS) >= 40
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(
            zip(
                ENVIRONMENTS, pool.map(lambda name: _verdicts(name, shell, good, bad, place), ENVIRONMENTS), strict=True
            )
        )
    for name, verdicts in found.items():
        _check(name, shell, verdicts)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_rest_is_the_same_in_every_shell(shell: str, good: Written, bad: Written, place: Path) -> None:
    """What /bin/sh runs, which is another shell on other systems."""
    for written, code in ((good, 0), (bad, 3)):
        arguments = ["--in-an-empty-environment", str(written.path), "--root", str(written.trusted)]
        hostile = Hostile({"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
        assert _run(hostile, shell, SCRIPT, arguments, place, written.path)[0] == code


def test_without_a_place_for_the_verdict_there_is_none(good: Written, place: Path) -> None:
    arguments = [str(good.path), "--root", str(good.trusted)]
    assert _run(Hostile(closing=">&-"), "bash", SCRIPT, arguments, place, good.path)[0] == 2


@pytest.fixture(scope="module")
def logs(good: Written, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A log as a site has written it, and one of which a line was changed."""
    site = Site(tmp_path_factory.mktemp("log") / "site")
    import_bundle(good.path, good.trusted, site, Silent())
    sound = Log(site.root).path
    lines = sound.read_bytes().splitlines(keepends=True)
    entry = {**json.loads(lines[0]), "time": "2026-01-01T00:00:00Z"}
    forged = sound.with_name("forged.jsonl")
    forged.write_bytes(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n" + b"".join(lines[1:]))
    return {"good": sound, "bad": forged}


def _log_verdicts(name: str, shell: str, logs: Mapping[str, Path], bad: Written, place: Path) -> dict[str, Verdict]:
    """The same of logs; who calls stands in a bundle that carries programs."""
    found = {}
    for what, log in logs.items():
        code, said = _run(ENVIRONMENTS[name], shell, LOG_SCRIPT, [str(log)], place, bad.path)
        found[what] = (code == 0, said.startswith("the chain holds:") and code == 0)
    return found


@pytest.mark.parametrize("name", ["PATH begins empty", "exported functions"])
def test_a_log_is_checked_as_it_is(name: str, logs: Mapping[str, Path], bad: Written, place: Path) -> None:
    _check(name, "bash", _log_verdicts(name, "bash", logs, bad, place))


@pytest.mark.long
@pytest.mark.parametrize("shell", SHELLS)
def test_no_caller_decides_about_a_log(shell: str, logs: Mapping[str, Path], bad: Written, place: Path) -> None:
    for name in ENVIRONMENTS:
        _check(name, shell, _log_verdicts(name, shell, logs, bad, place))
