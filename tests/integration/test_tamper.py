"""Whatever is done to any file of a bundle on its way: both verifiers refuse it, with exit code 3.

``appliance verify`` judges every change alone.  verify.sh takes up to a second on an old
machine, so it judges a change to all signed files at once, has to name each of them, and
judges the rest (what it looks at one by one) alone.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from tests.support.bad_bundles import CASES
from tests.support.bundles import FILES, FIRST, STRANGER, Recipe, Written, key, keyid, root_chain, root_document
from tests.support.forging import signature_of

pytestmark = pytest.mark.integration

SIGNED = (*FILES, "bundle.json", "verify.sh")
TRUSTED = ("SHA256SUMS", "statement.json", "trust/1.root.json", "trust/2.root.json")
SIGNATURES = tuple(f"sigs/{keyid(number)}.sigstore.json" for number in (11, 12))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Recipe().write(tmp_path_factory.mktemp("whole bundle"))


@pytest.fixture
def copy(whole: Written, tmp_path: Path) -> Callable[[], Written]:
    """Makes any number of copies to spoil."""

    def make() -> Written:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(whole.path, folder / "bundle")
        return Written(folder / "bundle", whole.trusted)

    return make


@dataclass(frozen=True)
class Verdicts:
    """What both said; ``said`` is the script's standard error."""

    python: int
    script: int
    said: str


def judge(bundles: Iterable[Written]) -> list[Verdicts]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_judge, bundles))


def _judge(bundle: Written) -> Verdicts:
    result = bundle.verify_sh()
    return Verdicts(_python(bundle), result.returncode, result.stderr)


def _python(bundle: Written) -> int:
    try:
        bundle.verify()
    except ApplianceError as error:
        return error.exit_code
    return 0


def test_the_whole_bundle_is_accepted(whole: Written, copy: Callable[[], Written]) -> None:
    for bundle in (whole, copy()):
        (verdicts,) = judge([bundle])
        assert (verdicts.python, verdicts.script) == (0, 0), verdicts.said


# What can be done to a file -------------------------------------------------------------------


def _flip(where: Callable[[int], int]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        data = bytearray(path.read_bytes() or b"\0")  # the empty file gets a byte
        data[where(len(data))] ^= 1
        path.write_bytes(data)

    return change


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] or b"x")  # the empty file has nothing to lose


def _empty(path: Path) -> None:
    path.write_bytes(b"" if path.stat().st_size else b"not empty")


def _lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _blow_up(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 10**12)


def _rename(path: Path) -> None:
    path.rename(path.with_name(path.name + "x"))


def _other_case(path: Path) -> None:
    path.rename(path.with_name(path.name.swapcase()))


def _link(path: Path) -> None:
    """The right bytes, but somebody else's file."""
    outside = path.parent / f"outside-{path.name}"
    path.rename(outside)
    target = _above_the_bundle(path) / f"outside-{len(path.name)}"
    outside.rename(target)
    path.symlink_to(target)


def _above_the_bundle(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name == "bundle").parent


def _dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _setuid(path: Path) -> None:
    path.chmod(0o4755)


CHANGES: dict[str, Callable[[Path], None]] = {
    "flip the first byte": _flip(lambda size: 0),
    "flip a byte in the middle": _flip(lambda size: size // 2),
    "flip the last byte": _flip(lambda size: size - 1),
    "cut": _cut,
    "empty": _empty,
    "lengthen": _lengthen,
    "blow up": _blow_up,
    "remove": Path.unlink,
    "rename": _rename,
    "other case": _other_case,
    "replace by a link to its own bytes": _link,
    "replace by a dangling link": _dangling_link,
    "replace by a directory": _folder,
    "replace by a pipe": _pipe,
    "make it setuid": _setuid,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_to_any_file_is_refused(change: Callable[[Path], None], copy: Callable[[], Written]) -> None:
    accepted = []
    for path in (*SIGNED, *TRUSTED, *SIGNATURES):
        bundle = copy()
        change(bundle.path / path)
        if _python(bundle) != 3:
            accepted.append(path)
    assert accepted == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_the_script_names_every_signed_file_that_was_changed(
    change: Callable[[Path], None], copy: Callable[[], Written]
) -> None:
    bundle = copy()
    for path in SIGNED:
        change(bundle.path / path)
    result = bundle.verify_sh()
    assert result.returncode == 3, result.stderr
    if change is not _blow_up:  # that is seen before any file is read
        assert [path for path in SIGNED if json.dumps(path)[1:-1] not in result.stderr] == []


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_the_script_refuses_a_change_to_what_trust_rests_on(
    change: Callable[[Path], None], copy: Callable[[], Written]
) -> None:
    paths = (*TRUSTED, SIGNATURES[0])
    bundles = []
    for path in paths:
        bundles.append(copy())
        change(bundles[-1].path / path)
    verdicts = judge(bundles)
    assert {
        path: (each.script, each.said) for path, each in zip(paths, verdicts, strict=True) if each.script != 3
    } == {}


# What can be added ----------------------------------------------------------------------------


def _file(path: str, data: bytes = b"") -> Callable[[Written], None]:
    def change(bundle: Written) -> None:
        (bundle.path / path).write_bytes(data)

    return change


def _bytes_name(name: bytes) -> Callable[[Written], None]:
    return lambda bundle: (bundle.path / os.fsdecode(name)).touch()


def _new_folder(path: str) -> Callable[[Written], None]:
    return lambda bundle: (bundle.path / path).mkdir(parents=True)


def _new_link(path: str, target: str) -> Callable[[Written], None]:
    return lambda bundle: (bundle.path / path).symlink_to(target)


def _second_name(bundle: Written) -> None:
    (bundle.path / "models/again").hardlink_to(bundle.path / "models/tiny/model.safetensors")


def _behind_a_link(path: str) -> Callable[[Written], None]:
    """The right files, but in a directory that somebody else can change later."""

    def change(bundle: Written) -> None:
        outside = bundle.path.parent / "outside"
        (bundle.path / path).rename(outside)
        (bundle.path / path).symlink_to(outside)

    return change


# What is added, and the name that it gets in a message.
ADDITIONS: dict[str, tuple[Callable[[Written], None], str]] = {
    "file": (_file("extra"), "extra"),
    "file beside others": (_file("models/tiny/extra.bin", b"x"), "models/tiny/extra.bin"),
    "hidden file": (_file(".hidden"), ".hidden"),
    "two dots and more": (_file("models/..hidden"), "models/..hidden"),
    "three dots": (_file("..."), "..."),
    "empty directory": (_new_folder("models/tiny/new"), "models/tiny/new"),
    "hidden directory": (_new_folder(".git"), ".git"),
    "link": (_new_link("models/link", "tiny/empty.txt"), "models/link"),
    "link to a directory": (_new_link("models/other", "tiny"), "models/other"),
    "link to itself": (_new_link("models/loop", "loop"), "models/loop"),
    "link out": (_new_link("root", "/"), "root"),
    "pipe": (lambda bundle: os.mkfifo(bundle.path / "models/pipe"), "models/pipe"),
    "socket": (lambda bundle: os.mknod(bundle.path / "models/socket", 0o140644), "models/socket"),
    "second name of a file": (_second_name, "models/again"),
    "other case": (_file("models/tiny/EMPTY.TXT"), "models/tiny/EMPTY.TXT"),
    "line break at the end": (_file("models/tiny/empty.txt\n"), "models/tiny/empty.txt\1"),
    "name of two lines": (_file("extra\nmodels"), "extra\1models"),
    "name that is an option": (_file("-rf"), "-rf"),
    "blank": (_file(" "), " "),
    "tab": (_file("models/tiny\tempty.txt"), "models/tiny\tempty.txt"),
    "wildcard": (_file("*"), "*"),
    "backslash": (_file("models\\tiny"), "models\\tiny"),
    "name that steers a terminal": (_file("\x1b[2J\x1b[31mverified"), "\x1b[2J\x1b[31mverified"),
    "not UTF-8": (_bytes_name(b"\xff\x81"), "\ufffd\ufffd"),
    "name that sh could confuse": (_bytes_name("models/\u00c1".encode()[:-1] + b"\x82"), "models/\u00c2"),
    "hidden signature": (_file("sigs/.hidden"), "sigs/.hidden"),
    "file in trust": (_file("trust/readme.txt"), "trust/readme.txt"),
    "hidden root": (_file("trust/.3.root.json"), "trust/.3.root.json"),
    "root 0": (_file("trust/0.root.json", root_chain()[0]), "trust/0.root.json"),
    "root 4": (_file("trust/4.root.json", root_chain()[1]), "trust/4.root.json"),
}
# These end the verification before the files are compared, or change much at once.
ADDITIONS_ALONE: dict[str, Callable[[Written], None]] = {
    "file": _file("extra"),
    "deep directories": _new_folder("/".join(["d"] * 200)),
    "file in sigs": _file("sigs/readme.txt"),
    "wildcard in sigs": _file("sigs/*"),
    "directory in sigs": _new_folder("sigs/more"),
    "valid signature of a stranger": signature_of(STRANGER),
    "attacker's root 3": _file("trust/3.root.json", root_document(3, (STRANGER,), threshold=1)),
    "directory as root 3": _new_folder("trust/3.root.json"),
    "models behind a link": _behind_a_link("models/tiny"),
    "sigs behind a link": _behind_a_link("sigs"),
    "trust behind a link": _behind_a_link("trust"),
}


@pytest.mark.parametrize("name", ADDITIONS)
def test_an_addition_is_refused(name: str, copy: Callable[[], Written]) -> None:
    bundle = copy()
    ADDITIONS[name][0](bundle)
    assert _python(bundle) == 3


def test_the_script_names_every_addition_and_no_name_steers_the_terminal(copy: Callable[[], Written]) -> None:
    bundle = copy()
    for change, _ in ADDITIONS.values():
        change(bundle)
    result = bundle.verify_sh()
    assert result.returncode == 3
    expected = {json.dumps(f"not listed: {name}") for _, name in ADDITIONS.values()}
    assert set(result.stderr.splitlines()[: len(ADDITIONS)]) == expected
    assert all(" " <= character <= "~" or character == "\n" for character in result.stderr)


def test_other_additions_are_refused_too(copy: Callable[[], Written]) -> None:
    bundles = {}
    for name, change in ADDITIONS_ALONE.items():
        bundles[name] = copy()
        change(bundles[name])
    verdicts = dict(zip(bundles, judge(bundles.values()), strict=True))
    assert {name: each for name, each in verdicts.items() if (each.python, each.script) != (3, 3)} == {}


# What somebody with a key can write -----------------------------------------------------------

_GROUPS = sorted({name.split(":")[0] for name in CASES})


@pytest.mark.parametrize("group", _GROUPS)
def test_the_script_agrees_about_what_was_rightly_signed(group: str, tmp_path: Path) -> None:
    """tests/unit/trust/test_verify.py shows what Python says of the same bundles."""
    cases = {name: case for name, case in CASES.items() if name.startswith(f"{group}:")}
    if group == "path":  # tests/integration/test_verify_sh.py compares the rule itself, far more often
        cases = {name: case for number, (name, case) in enumerate(cases.items()) if number % 8 == 0 or not case.script}
    written = [case.write(tmp_path / str(number)) for number, case in enumerate(cases.values())]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(Written.verify_sh, written)
    expected = {name: 3 if case.script else 0 for name, case in cases.items()}
    found: dict[str, subprocess.CompletedProcess[str]] = dict(zip(cases, results, strict=True))
    assert {name: result.returncode for name, result in found.items()} == expected


def test_a_signer_can_be_replaced_without_asking_the_receiver(tmp_path: Path) -> None:
    """The control of all that: an old trusted root walks to a chain of three and is accepted."""
    third = root_document(3, (STRANGER, 12), signed_by=(FIRST, STRANGER, 12))
    bundle = Recipe(roots=(*root_chain(), third), signers=(STRANGER, 12)).write(tmp_path)
    (verdicts,) = judge([bundle])
    assert (verdicts.python, verdicts.script) == (0, 0), verdicts.said
    assert key(STRANGER).public.keyid in verdicts.said
