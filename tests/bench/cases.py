"""What is measured: our commands, and what others do with the same files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.measure import evict, warm
from tests.bench.stage import MODEL_SIGNING, Stage
from tests.support.project import REPOSITORY

START = "`appliance verify` of a bundle of some kB: its start"
VERIFY = "`appliance verify`, warm"
LINKED = "`appliance build` from the cache to a new place"


@dataclass(frozen=True)
class Case:
    """One command over ``amount`` bytes; ``before`` and ``after`` are not timed.

    Where it cannot be run, ``missing`` says why.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    amount: int
    state: str = ""
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    missing: str = ""


def cases(stage: Stage) -> list[Case]:
    """All of them in the order of a round: each finds what those before have made."""
    small, big = stage.small, stage.big
    start = (*small.command("verify"), str(small.bundle), "--root", "key.root.json")
    verify = (*big.command("verify"), str(big.bundle), "--root", str(big.folder / "key.root.json"))
    script = ("sh", str(REPOSITORY / "appliance/verify.sh"), *verify[-3:])
    return [
        Case(START, start, small.folder, 0),
        *_builds(stage),
        _warm(stage, VERIFY, verify),
        _warm(stage, "`sh verify.sh`, warm", script),
        *_digests(stage),
        *_model_signing(stage),
        *_crowd(stage),
        _copy(stage),
        _cold(stage, "`appliance verify`, cold", verify),
        _cold(stage, "`openssl dgst`, five at once, cold", _at_once(stage, 5, "openssl", "dgst", "-sha256")),
        _cold(stage, "`cat`, cold", ("cat", *map(str, stage.weights))),
    ]


def _builds(stage: Stage) -> list[Case]:
    folder = stage.big.folder
    build = (*stage.big.command("build"), "small.yaml", "--key", "key.pem")

    def forget_all() -> None:
        stage.forget("cache", "dist", "second")
        warm(stage.source)

    return [
        Case("`appliance build`, the first: into the cache", build, folder, stage.amount, "warm", forget_all),
        Case("`appliance build` again: nothing to do", build, folder, stage.amount, "warm"),
        Case(LINKED, (*build, "--out", "second"), folder, stage.amount, "warm"),
    ]


def _digests(stage: Stage) -> list[Case]:
    sums = ("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
    digest = ("openssl", "dgst", "-sha256")
    return [
        _warm(stage, "`sha256sum --check`, warm", sums),
        _warm(stage, "`sha256sum`, two at once, warm", _at_once(stage, 2, "sha256sum")),
        _warm(stage, "`openssl dgst`, warm", (*digest, *map(str, stage.weights))),
        _warm(stage, "`openssl dgst`, two at once, warm", _at_once(stage, 2, *digest)),
        _warm(stage, "`openssl dgst`, five at once, warm", _at_once(stage, 5, *digest)),
    ]


def _model_signing(stage: Stage) -> list[Case]:
    keys = stage.big.folder
    signature = str(stage.folder / "model.sig")
    cases = []
    for verb, option, key in (("sign", "--private_key", "key.pem"), ("verify", "--public_key", "key.pub.pem")):
        argv = (str(stage.model_signing), verb, "key", "--signature", signature, option, str(keys / key))
        case = _warm(
            stage, f"`model_signing {verb}` {MODEL_SIGNING[0].split('==')[1]}, warm", (*argv, str(stage.model))
        )
        cases.append(replace(case, missing=stage.model_signing_missing))
    return cases


def _crowd(stage: Stage) -> list[Case]:
    """What single files cost; bytes are next to none, so there is no rate."""
    bundle, root = stage.crowd / "bundle", stage.crowd / "root.json"
    verify = (*stage.small.command("verify"), str(bundle), "--root", str(root))
    sums = ("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
    return [
        Case("`appliance verify` of 100,000 files of 100 bytes", verify, bundle, 0),
        Case("`sha256sum --check` of the same", sums, bundle, 0),
    ]


def _copy(stage: Stage) -> Case:
    target = stage.folder / "copied"
    script = 'cp --recursive --reflink=never "$1" "$2" && sync "$2"/*'
    case = _warm(stage, "`cp`, then `sync`, warm", ("sh", "-c", script, "sh", str(stage.model), str(target)))
    return replace(case, after=lambda: shutil.rmtree(target))


def _at_once(stage: Stage, count: int, *argv: str) -> tuple[str, ...]:
    """``argv`` for each file, ``count`` at a time."""
    return ("xargs", "--null", "--arg-file", str(stage.names), "--max-args", "1", "--max-procs", str(count), *argv)


def _warm(stage: Stage, name: str, argv: tuple[str, ...]) -> Case:
    return Case(name, argv, stage.big.bundle, stage.amount, "warm", lambda: warm(stage.weights))


def _cold(stage: Stage, name: str, argv: tuple[str, ...]) -> Case:
    return Case(name, argv, stage.big.bundle, stage.amount, "cold", lambda: evict(stage.weights))
