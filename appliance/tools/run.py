"""The one door to outside programs.

Argument lists only, standard input closed, a small clean environment, and a log line
that can be pasted into a shell.  An ended run, a signal and Ctrl-C all end the whole
process group, so no build is left running.
"""

import logging
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from appliance.errors import BadInput, Failed
from appliance.tools.interrupts import held_back

_LOG = logging.getLogger(__name__)
_TAIL_LINES = 20

# What a child may see.  No token and no passphrase is among them.
_PASSED = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_RUNTIME_DIR")
_NETWORK = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy")

# Debian package of each program, for the message when it is not there.
_PACKAGES = {
    "apt-get": "apt",
    "buildah": "buildah",
    "dpkg-deb": "dpkg",
    "mmdebstrap": "mmdebstrap",
    "setpriv": "util-linux",
    "skopeo": "skopeo",
    "unshare": "util-linux",
}


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    network: bool = False,
    timeout: float | None = None,
    called: str = "",
    notes: Callable[[str], None] | None = None,
) -> str:
    """Run ``argv`` to its end and return its standard output.

    ``env`` is added to the clean environment; ``network`` passes the proxy settings on.
    Raises Failed (``tool-failed``) with the last lines of what it said, and BadInput
    (``tool-missing``) when the program is not installed.  ``timeout`` in seconds.
    ``called`` is the program's name for messages where ``argv`` starts with a wrapper.
    ``notes`` takes what it wrote to standard error when it succeeds.
    """
    words = [str(word) for word in argv]
    name = called or words[0]
    environment = _environment(env or {}, network)
    program = _find(words[0], environment["PATH"])
    _LOG.debug("%s", shlex.join(words))
    done = _to_its_end([program, *words[1:]], cwd, environment, timeout, name)
    if done.returncode != 0:
        # apt-get explains on standard output what it then refuses on standard error.
        tail = "\n".join(f"{done.stdout.strip()}\n{done.stderr.strip()}".strip().splitlines()[-_TAIL_LINES:])
        raise Failed("tool-failed", f"{name} ended with {done.returncode}:\n{tail}", where=shlex.join(words))
    if notes:
        notes(done.stderr)
    return done.stdout


def _to_its_end(
    argv: list[str], cwd: Path | None, environment: dict[str, str], timeout: float | None, name: str
) -> "subprocess.CompletedProcess[str]":
    with (
        held_back() as let_in,
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
            start_new_session=True,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        try:
            let_in()
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            problem = f"{name} did not end within {timeout:.0f} s"
            raise Failed("tool-timeout", problem, where=shlex.join(argv)) from None
        except BaseException:  # Ctrl-C above all: the child is in a session of its own and does not see it
            _end(process)
            raise
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def _find(name: str, path: str) -> str:
    program = shutil.which(name, path=path)
    if program is None:
        package = _PACKAGES.get(name)
        hint = f"install it: apt-get install {package}" if package else ""
        raise BadInput("tool-missing", f"the program {name} is not installed", hint=hint)
    return program


def _environment(extra: Mapping[str, str], network: bool) -> dict[str, str]:
    names = _PASSED + (_NETWORK if network else ())
    environment = {name: os.environ[name] for name in names if name in os.environ}
    path = environment.get("PATH", "/usr/bin:/bin").split(":")
    # A user's PATH often lacks the sbin directories, where mmdebstrap's helpers lie.
    path += [folder for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin") if folder not in path]
    return {**environment, "LC_ALL": "C.UTF-8", "PATH": ":".join(path), **extra}


def _end(process: "subprocess.Popen[str]") -> None:
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=patience)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
