"""What is measured: our commands, and what others do with the same files."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.machine import CORES
from tests.bench.measure import evict, touch, warm
from tests.bench.stage import FILES, MODEL_SIGNING, Part, Stage
from tests.support.project import REPOSITORY, Project

PASS = "`python -c pass`"
HELP = "`appliance --help`"
START = "`appliance verify` of a bundle of some kB: its start"
FIRST = "`appliance lock` and `build`, the first"
LINKED = "`appliance build` from the cache to a new place"
VERIFY, VERIFY_COLD = "`appliance verify`, warm", "`appliance verify`, cold"
SCRIPT = "`sh verify.sh`, warm"
SHA256SUMS = f"`sha256sum`, {CORES} at once, warm"
DIGESTS_COLD = f"`openssl dgst`, {FILES} at once, cold"
CAT_COLD = "`cat`, cold"
COPY, COPY_COLD = "`cp`, then `sync`, warm", "`cp`, then `sync`, cold"
IMPORT, IMPORT_NEXT = "`appliance import`, cold", "`appliance import` of the next version, all weights equal"
ONE, ONE_COLD = "one file: `appliance verify`, warm", "one file: `appliance verify`, cold"
ONE_DIGEST = "one file: `openssl dgst`, warm"
ONE_CAT_COLD = "one file: `cat`, cold"
SMALL, SMALL_COPY = "small files: `appliance lock` and `build`, the first", "small files: `cp`, then `sync`"
TINY, TINY_SUMS = "tiny files: `appliance verify`", "tiny files: `sha256sum --check`"

_DIGEST = ("openssl", "dgst", "-sha256")
_CHECK = ("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
_SHORT = 5  # runs of what takes less than a second, in each round


@dataclass(frozen=True)
class Case:
    """One command over ``amount`` bytes of a ``part`` of the stage; ``before`` and ``after`` are not timed.

    It needs nothing that another case has made.  Where it cannot be run, ``missing`` says
    why.  ``one_core`` says that its ratio is to one core, as there is one file.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    part: Part
    amount: int = 0
    state: str = ""
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    missing: str = ""
    one_core: bool = False
    repeats: int = 1


def cases(stage: Stage) -> list[Case]:
    """All of them in the order of a round."""
    return [
        *_starts(stage),
        *_builds(stage),
        *_verifications(stage),
        *_digests(stage),
        *_model_signing(stage),
        *_copies(stage),
        *_imports(stage),
        *_one(stage),
        *_small(stage),
        *_tiny(stage),
    ]


def _starts(stage: Stage) -> list[Case]:
    small = stage.small
    commands = {
        PASS: (sys.executable, "-c", "pass"),
        HELP: tuple(small.command("--help")),
        START: _verify(small),
    }
    return [Case(name, argv, small.folder, "start", repeats=_SHORT) for name, argv in commands.items()]


def _builds(stage: Stage) -> list[Case]:
    build = (*stage.big.command("build"), "small.yaml", "--key", "key.pem")

    def case(name: str, argv: tuple[str, ...], *forgotten: str) -> Case:
        def before() -> None:
            stage.forget(*forgotten)
            warm(stage.source)
            os.sync()

        # A second bundle would keep files of a cache that is forgotten: one more copy of them.
        return Case(
            name, argv, stage.big.folder, "weights", stage.amount, "warm", before, lambda: stage.forget("second")
        )

    return [
        case(FIRST, _lock_and_build(stage.big), "cache", "dist", "small.lock.yaml"),
        case("`appliance build`, the first: into the cache", build, "cache", "dist"),
        case("`appliance build` again: nothing to do", build),
        case(LINKED, (*build, "--out", "second")),
    ]


def _verifications(stage: Stage) -> list[Case]:
    verify = _verify(stage.big)
    return [
        _warm(stage, VERIFY, verify),
        _cold(stage, VERIFY_COLD, verify),
        _warm(stage, SCRIPT, _script(stage.big)),
    ]


def _digests(stage: Stage) -> list[Case]:
    weights = tuple(map(str, stage.weights))
    return [
        _warm(stage, "`sha256sum --check`, warm", _CHECK),
        _warm(stage, SHA256SUMS, _at_once(stage, CORES, "sha256sum")),
        _warm(stage, "`openssl dgst`, warm", (*_DIGEST, *weights)),
        *(
            _warm(stage, f"`openssl dgst`, {count} at once, warm", _at_once(stage, count, *_DIGEST))
            for count in sorted({CORES, FILES})
        ),
        _cold(stage, DIGESTS_COLD, _at_once(stage, FILES, *_DIGEST)),
        _cold(stage, CAT_COLD, ("cat", *weights)),
    ]


def _model_signing(stage: Stage) -> list[Case]:
    version = MODEL_SIGNING[0].split("==")[1]
    return [
        replace(
            _warm(stage, f"`model_signing {verb}` {version}, warm", tuple(stage.model_signing_command(verb))),
            part="model-signing",
            missing=stage.model_signing_missing,
        )
        for verb in ("sign", "verify")
    ]


def _copies(stage: Stage) -> list[Case]:
    target = stage.folder / "copied"
    argv = _copy(stage.model, target)
    return [
        replace(case, after=lambda: shutil.rmtree(target))
        for case in (_warm(stage, COPY, argv), _cold(stage, COPY_COLD, argv))
    ]


def _imports(stage: Stage) -> list[Case]:
    """Of the next version no file but the documents is new to the site."""
    options = ("--root", "key.root.json", "--site", str(stage.site))
    first = ("import", str(stage.big.bundle), *options)
    following = ("import", str(stage.next_bundle), *options)

    def hold_first() -> None:
        stage.big.run(*first).check_returncode()
        stage.build_next()
        evict(stage.weights)

    def forget() -> None:
        shutil.rmtree(stage.site)
        stage.forget("next")  # for the same reason as ``second``

    case = _cold(stage, IMPORT, tuple(stage.big.command(*first)))
    second = tuple(stage.big.command(*following))
    return [
        replace(case, cwd=stage.big.folder, after=forget),
        Case(IMPORT_NEXT, second, stage.big.folder, "weights", stage.amount, "", hold_first, forget),
    ]


def _one(stage: Stage) -> list[Case]:
    verify, path = _verify(stage.one), str(stage.single)

    def case(name: str, state: str, *argv: str) -> Case:
        before = {"warm": warm, "cold": evict}[state]
        folder, amount = stage.one.folder, stage.sizes.one
        return Case(name, argv, folder, "one", amount, state, lambda: before([stage.single]), one_core=True)

    return [
        case(ONE, "warm", *verify),
        case(ONE_DIGEST, "warm", *_DIGEST, path),
        case(ONE_COLD, "cold", *verify),
        case("one file: `openssl dgst`, cold", "cold", *_DIGEST, path),
        case(ONE_CAT_COLD, "cold", "cat", path),
    ]


def _small(stage: Stage) -> list[Case]:
    """What single files cost a build; bytes are next to none, so there is no rate."""
    folder, target = stage.many.folder, stage.folder / "copied"

    def forget() -> None:
        for name in ("cache", "dist"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "small.lock.yaml").unlink(missing_ok=True)
        settle()

    def settle() -> None:
        touch(folder / "model")
        os.sync()

    copy = _copy(folder / "model", target)
    return [
        Case(SMALL, _lock_and_build(stage.many), folder, "small", before=forget),
        Case(SMALL_COPY, copy, folder, "small", before=settle, after=lambda: shutil.rmtree(target)),
    ]


def _tiny(stage: Stage) -> list[Case]:
    """What single files cost a verification; bytes are next to none, so there is no rate."""
    bundle = stage.crowd / "bundle"
    where = (str(bundle), "--root", str(stage.crowd / "root.json"))
    commands = {
        TINY: (*stage.small.command("verify"), *where),
        "tiny files: `sh verify.sh`": ("sh", _OURS, *where),
        TINY_SUMS: _CHECK,
    }
    return [Case(name, argv, bundle, "tiny", before=lambda: touch(bundle)) for name, argv in commands.items()]


_OURS = str(REPOSITORY / "appliance/verify.sh")


def _verify(project: Project) -> tuple[str, ...]:
    return (*project.command("verify"), str(project.bundle), "--root", str(project.folder / "key.root.json"))


def _script(project: Project) -> tuple[str, ...]:
    return ("sh", _OURS, *_verify(project)[-3:])


def _lock_and_build(project: Project) -> tuple[str, ...]:
    script = '"$@" lock small.yaml --cache cache && "$@" build small.yaml --cache cache --key key.pem'
    return ("sh", "-c", script, "sh", *project.command())


def _copy(source: Path, target: Path) -> tuple[str, ...]:
    # One sync of the whole file system, not one for each file: the fastest way there is.
    script = 'cp --recursive --reflink=never "$1" "$2" && sync --file-system "$2"'
    return ("sh", "-c", script, "sh", str(source), str(target))


def _at_once(stage: Stage, count: int, *argv: str) -> tuple[str, ...]:
    """``argv`` for each file, ``count`` at a time."""
    return ("xargs", "--null", "--arg-file", str(stage.names), "--max-args", "1", "--max-procs", str(count), *argv)


def _warm(stage: Stage, name: str, argv: tuple[str, ...]) -> Case:
    return Case(name, argv, stage.big.bundle, "weights", stage.amount, "warm", lambda: warm(stage.weights))


def _cold(stage: Stage, name: str, argv: tuple[str, ...]) -> Case:
    return Case(name, argv, stage.big.bundle, "weights", stage.amount, "cold", lambda: evict(stage.weights))
