"""Runs commands and says what each took; puts files into the page cache and out of it."""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1024 * 1024


class CommandFailed(Exception):
    """A measured command ended with another code than 0."""


@dataclass(frozen=True)
class Run:
    """One run of a command with all its children.

    ``peak_bytes`` is the resident memory of the largest single process.  What was read and
    written counts bytes that went from and to storage, not what the page cache gave.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    read_bytes: int
    written_bytes: int


def own_peak() -> int:
    """Peak memory of this process, bytes: the kernel reports no less for a child that it starts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Run:
    """Run ``argv`` to its end.  Raises CommandFailed with what it said on standard error."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # Ctrl-C: the child is in a session of its own and does not see it
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            raise CommandFailed(f"{' '.join(argv)}\nended with {process.returncode}: {output.read().decode()[-2000:]}")
    return Run(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
        read_bytes=usage.ru_inblock * 512,  # getrusage(2) counts in blocks of 512 bytes
        written_bytes=usage.ru_oublock * 512,
    )


def evict(files: Sequence[Path]) -> None:
    """Take files out of the page cache; only what is written to storage can leave it."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def touch(folder: Path) -> None:
    """Put the many small files below a folder into the page cache, as far as they are not there."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.read_bytes()


def warm(files: Sequence[Path]) -> None:
    """Put files into the page cache by reading them from storage.

    How large the cached pages are depends on how they came there, and reading them again is
    faster when they are large; so nothing is left as another command has put it there.
    """
    evict(files)
    buffer = bytearray(_BLOCK)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
