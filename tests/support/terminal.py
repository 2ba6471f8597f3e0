"""A person at a terminal: what a program asks there is answered there."""

import os
import pty
import re
import select
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PATIENCE = 30.0  # seconds without a word


def at_a_terminal(
    command: Sequence[str], *, prompt: str, answer: str, cwd: Path, env: Mapping[str, str]
) -> tuple[int, str]:
    """Run ``command`` on a terminal of its own and give ``answer`` each time that ``prompt``, a pattern, appears.

    Returns the exit status and everything that was seen, an echo of the answer included.  An
    answer goes out when the program has turned the echo off: what was typed before is thrown away.
    """
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**env, "TERM": "dumb"},
    ) as process:
        os.close(theirs)
        try:
            seen = _converse(ours, re.compile(prompt.encode()), answer.encode() + b"\n")
        finally:
            os.close(ours)  # hangs up, which ends whoever still waits for an answer
    return process.returncode, seen.decode(errors="replace").replace("\r\n", "\n")


def _converse(terminal: int, prompt: re.Pattern[bytes], answer: bytes) -> bytes:
    seen, answered, silent = b"", 0, 0.0
    while silent < _PATIENCE:
        if select.select([terminal], [], [], 0.02)[0]:
            part = b""
            with suppress(OSError):  # EIO: the last program has closed it
                part = os.read(terminal, 4096)
            if not part:
                return seen
            seen, silent = seen + part, 0.0
        elif len(prompt.findall(seen)) > answered and not termios.tcgetattr(terminal)[3] & termios.ECHO:
            answered += 1
            os.write(terminal, answer)
        else:
            silent += 0.02
    raise AssertionError(f"nothing more was said in {_PATIENCE:.0f} s: {seen!r}")
