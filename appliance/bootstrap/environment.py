"""Python environments made of a bundle's wheels: a temporary one, and the host's.

The host's lie side by side as ``<prefix>/control-<bundle>``; ``<prefix>/current`` is a link
to one of them, replaced by a rename after the environment is whole.  The copy of the
wheels' requirements.txt, written last, says that it is.
"""

import fcntl
import os
import shutil
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.bootstrap.problem import BAD_INPUT, FAILED, Problem, step
from appliance.bootstrap.programs import run
from appliance.bootstrap.wheels import REQUIREMENTS, Wheels

_UNPACKED = 5  # of the wheels' size, with byte code: about 4 for the demo's
_PLAYBOOKS = "playbooks"


def make_environment(folder: Path, wheels: Wheels, *, compiled: bool, held: Sequence[int] = ()) -> None:
    """Make the environment ``folder`` of all ``wheels``, without any network.

    pip shares the locks ``held``: it may live longer than a killed bootstrap.  Raises Problem when pip refuses one.
    """
    _check_room(folder.parent, _UNPACKED * wheels.size)
    venv.create(folder, symlinks=True)
    try:
        run(
            [
                *(folder / "bin/python", wheels.pip / "pip", "install", "--quiet", "--no-input", "--no-cache-dir"),
                *("--disable-pip-version-check", "--no-index", "--find-links", wheels.folder, "--no-deps"),
                *("--only-binary", ":all:", "--require-hashes", "--requirement", wheels.requirements),
                *(() if compiled else ("--no-compile",)),
            ],
            held,
        )
    except Problem:
        raise Problem(FAILED, "pip could not install the bundle's wheels", where=wheels.folder) from None


def install(prefix: Path, bundle: Path, wheels: Wheels) -> Path:
    """Make the control environment of an imported bundle and make it current.

    Returns it.  Whatever was interrupted is made again; what is whole stays as it is.
    """
    control = prefix / f"control-{bundle.name}"
    prefix.mkdir(parents=True, exist_ok=True)
    with _locked(prefix) as lock:
        if not _is_whole(control, wheels):
            step(f"making {control}")
            if control.exists():
                shutil.rmtree(control)
            make_environment(control, wheels, compiled=True, held=[lock])
            _isolate_programs(control)
            run([control / "bin/appliance", "--version"])
            for playbooks in control.glob("lib/python3*/site-packages/appliance_site"):
                (control / _PLAYBOOKS).symlink_to(playbooks.relative_to(control))
            os.sync()
            shutil.copyfile(wheels.requirements, control / REQUIREMENTS)
        beside = prefix / ".current.switching"
        beside.unlink(missing_ok=True)
        beside.symlink_to(control.name)
        beside.rename(prefix / "current")
    return control


def playbooks(prefix: Path) -> Path | None:
    """The site's playbooks in the current environment, if the bundle carries them."""
    folder = prefix / "current" / _PLAYBOOKS
    return folder if folder.is_dir() else None


def _isolate_programs(control: Path) -> None:
    """Let root's programs believe no PYTHONPATH; pip knows no way to write them so."""
    interpreter = f"#!{control}/bin/python\n".encode()
    for program in (control / "bin").iterdir():
        if not program.is_symlink() and (text := program.read_bytes()).startswith(interpreter):
            program.write_bytes(interpreter[:-1] + b" -I" + text[len(interpreter) - 1 :])


def _is_whole(control: Path, wheels: Wheels) -> bool:
    try:
        if (control / REQUIREMENTS).read_bytes() != wheels.requirements.read_bytes():
            return False
        run([control / "bin/appliance", "--version"])  # not when the system's Python became another one
    except (OSError, Problem):
        return False
    return True


def _check_room(folder: Path, needed: int) -> None:
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize < needed:
        raise Problem(
            BAD_INPUT,
            f"not enough space for the control environment: {needed // 10**6} MB are needed",
            where=folder,
            hint="free some space; TMPDIR names another place for temporary files",
        )
    if status.f_flag & os.ST_NOEXEC:
        raise Problem(
            BAD_INPUT,
            "programs cannot run from this file system (noexec)",
            where=folder,
            hint="name another place: TMPDIR=/var/tmp /usr/bin/python3 -I ...",
        )


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            step(f"waiting for another bootstrap that is working on {folder}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
