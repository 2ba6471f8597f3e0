"""Runs of ``appliance`` that are killed with SIGKILL, at exact calls or after exact times.

``python -m tests.support.crash`` imports everything once and forks for each run, so a run
costs milliseconds.  In the child a profiling hook sees every call into C before it is made,
in all threads; those that change files are counted, and before the chosen one the child
kills itself.  So every state that a file system can be left in is reached, and reached
again by the same number; a kill in the middle of a call would leave what the call before or
after it leaves.  Calls through ctypes are not seen, but what they leave is, by the next call.
"""

import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FrameType, TracebackType
from typing import Any

from tests.support.project import REPOSITORY

# What changes a file or a directory as others see it; fsync and the closing of a descriptor do not.
_CHANGING = {
    *("open", "write", "pwrite", "writev", "flush", "truncate", "ftruncate"),
    *("rename", "replace", "link", "symlink", "unlink", "remove", "mkdir", "rmdir"),
    *("chmod", "fchmod", "utime"),
}


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, or None when it was killed.

    ``calls`` are the changing calls of a run that came to its end, ``seconds`` its time.
    """

    code: int | None
    calls: int = 0
    seconds: float = 0.0


class Runner:
    """Starts runs and kills them; use it as a context."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.crash"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Runner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def count(self, *arguments: str | Path) -> int:
        """Run ``appliance ARGUMENTS`` to its end; returns how many changing calls that took."""
        return self.run(*arguments, before_call=0).calls

    def run(self, *arguments: str | Path, before_call: int | None = None, after: float | None = None) -> Ended:
        """Run ``appliance ARGUMENTS`` and kill it before its changing call of that number, or after so many seconds.

        Neither: let it come to its end.
        """
        assert self._process.stdin
        assert self._process.stdout
        request = {"arguments": [*map(str, arguments)], "before_call": before_call, "after": after}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


# The process that forks -----------------------------------------------------------------------


def _serve() -> None:
    from appliance.cli.main import run

    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_fork(run, **request)), flush=True)


def _fork(
    run: Callable[[list[str]], int], arguments: list[str], before_call: int | None, after: float | None
) -> dict[str, Any]:
    reading, writing = os.pipe()
    started = time.monotonic()
    if (child := os.fork()) == 0:
        os._exit(_child(run, arguments, before_call, writing))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        if after is not None and not select.select([pipe], [], [], after)[0]:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        told = pipe.read()
    if os.WIFSIGNALED(status):
        return {"code": None}
    seconds = time.monotonic() - started
    return {"code": os.waitstatus_to_exitcode(status), "seconds": seconds, **json.loads(told)}


def _child(run: Callable[[list[str]], int], arguments: list[str], before_call: int | None, writing: int) -> int:
    """Run; returns the exit code, having told how many changing calls there were."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    counter = _Counter(before_call)
    if before_call is not None:  # it makes a run two times as long
        threading.setprofile(counter.see)
        sys.setprofile(counter.see)
    try:
        return run(arguments)
    finally:
        sys.setprofile(None)
        os.write(writing, json.dumps({"calls": counter.calls}).encode())
        os.close(writing)


class _Counter:
    def __init__(self, fatal: int | None) -> None:
        self.calls = 0
        self._fatal = fatal
        self._lock = threading.Lock()

    def see(self, frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call" or not _changes(function):
            return
        with self._lock:
            self.calls += 1
            if self.calls == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)


def _changes(function: BuiltinFunctionType) -> bool:
    if isinstance(function.__self__, io.IOBase):
        return function.__name__ in _CHANGING | {"close"}  # which writes what is left in a buffer
    return function.__module__ in ("posix", "_io") and function.__name__ in _CHANGING


if __name__ == "__main__":
    _serve()
