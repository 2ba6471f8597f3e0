"""The bootstrap's one door to other programs: pip, and what pip installed."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from appliance.bootstrap.problem import FAILED, Problem

_PASSED = ("HOME", "TERM", "COLUMNS", "NO_COLOR", "TMPDIR")
_SETTINGS = {
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PIP_CONFIG_FILE": os.devnull,  # indexes and options of this host are none of the bundle's
    "PYTHONNOUSERSITE": "1",
}


def run(argv: Sequence[str | Path], held: Sequence[int] = ()) -> str:
    """Run ``argv`` and return its standard output; people see its standard error.

    ``held`` are the descriptors of locks that last as long as the program does, should it
    outlive this one.  Raises Problem with the program's own exit code.  An interrupt waits
    for the program to clear up behind itself.
    """
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ} | _SETTINGS
    with subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
        pass_fds=held,
        start_new_session=True,  # Ctrl-C reaches it once, from here
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode < 0:
        raise Problem(FAILED, f"ended by signal {-process.returncode}", where=argv[0])
    if process.returncode > 0:
        raise Problem(process.returncode)
    return output
