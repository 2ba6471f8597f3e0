"""The bootstrap's steps, in the order that keeps a refused bundle off the host."""

import argparse
import errno
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from appliance.bootstrap.environment import install, make_environment, playbooks
from appliance.bootstrap.problem import BAD_INPUT, FAILED, INTERRUPTED, Problem, step
from appliance.bootstrap.programs import run
from appliance.bootstrap.wheels import copy_wheels, find_wheels

_IMPORT_OPTIONS = {
    "--policy": "the site's policy; default: /etc/appliance/policy.yaml, if it is there",
    "--override": "an override: what the signers let this site do with a bundle that it refuses",
}
_TO_CHANGE_FIRST = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Options:
    """``root`` is the operator's own root document; ``prefix`` and ``site`` are directories.

    ``further`` are options of the import that have a default there.
    """

    bundle: Path
    root: Path
    prefix: Path
    site: Path
    further: tuple[str | Path, ...]


def main(arguments: Sequence[str]) -> int:
    """Run with ``arguments``; returns the exit code."""
    options = _parse(arguments)
    os.umask(0o022)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        bootstrap(options)
    except Problem as problem:
        problem.tell()
        return problem.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same command again to continue\n")
        return INTERRUPTED
    except OSError as error:
        code = BAD_INPUT if error.errno in _TO_CHANGE_FIRST else FAILED
        Problem(code, str(error.strerror or error), where=error.filename or "").tell()
        return code
    return 0


def bootstrap(options: Options) -> None:
    """Import the bundle, then make the control environment of what was imported.

    Raises Problem.  Until the import has accepted the bundle nothing is written but below
    the temporary directory.
    """
    if not options.root.is_file():
        raise Problem(BAD_INPUT, "the root document cannot be read", where=options.root)
    wheels = find_wheels(options.bundle)
    with tempfile.TemporaryDirectory(prefix="appliance-bootstrap-") as folder:
        step("making a temporary environment from the bundle's wheels")
        temporary = Path(folder, "control")
        make_environment(temporary, copy_wheels(wheels, Path(folder, "wheels")), compiled=False)
        step(f"importing {options.bundle} into {options.site}, verified while it is copied")
        told = run(
            [
                *(temporary / "bin/python", "-B", temporary / "bin/appliance", "import", options.bundle),
                *("--root", options.root, "--site", options.site, *options.further),
            ]
        )
    imported = Path(told.splitlines()[-1])
    control = install(options.prefix, imported, find_wheels(imported))
    sys.stdout.write(f"{control}\n")
    _tell_next(options.prefix)


def _tell_next(prefix: Path) -> None:
    program = prefix / "current/bin/ansible-playbook"
    if folder := playbooks(prefix):
        sys.stderr.write(f"next: cd {folder} && {program} --inventory INVENTORY site.yml\n")
    else:
        sys.stderr.write(f"ready: {program}\n")


def _parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="bootstrap",
        description="Import a carried bundle and make a control environment from it. Run your own verify.sh first.",
        epilog="Exit codes: 0 yes, 1 failed, 2 bad input or usage, 3 not trusted, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the carried bundle; it may be read-only")
    parser.add_argument("--root", type=Path, required=True, help="the root document you trust; not the bundle's copy")
    parser.add_argument(
        "--prefix",
        type=Path,
        default=Path("/opt/appliance"),
        help="where control environments are made; default: %(default)s",
    )
    parser.add_argument(
        "--site", type=Path, default=Path("/srv/appliance"), help="the site's directory; default: %(default)s"
    )
    for name, text in _IMPORT_OPTIONS.items():
        parser.add_argument(name, type=Path, help=text)
    found = parser.parse_args(arguments)
    given = {name: getattr(found, name.removeprefix("--")) for name in _IMPORT_OPTIONS}
    further = [word for name, path in given.items() if path for word in (name, path.absolute())]
    bundle, root, prefix, site = (path.absolute() for path in (found.bundle, found.root, found.prefix, found.site))
    return Options(bundle, root, prefix, site, tuple(further))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
