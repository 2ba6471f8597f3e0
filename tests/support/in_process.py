"""``appliance`` as a program would call it, without the price of a process each time."""

import contextlib
import io
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appliance.cli.main import run
from tests.support.umask import umask


@dataclass(frozen=True)
class Answer:
    """How a command ended: exit code, what its ``--json`` says, and standard error."""

    code: int
    value: Any
    said: str

    @property
    def reference(self) -> str:
        """The stable name of the error; empty when there is none."""
        return str(self.value["error"]["reference"]) if self.code else ""


@contextlib.contextmanager
def process_state() -> Iterator[None]:
    """Put back what the command line sets for the process that it thinks is its own."""
    handler = signal.getsignal(signal.SIGTERM)
    with umask(0o022):
        yield
    signal.signal(signal.SIGTERM, handler)


def ask(*arguments: object) -> Answer:
    """Run ``appliance ARGUMENTS --json``."""
    out, err = io.StringIO(), io.StringIO()
    with process_state(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*map(str, arguments), "--json"])
    return Answer(code, json.loads(out.getvalue()), err.getvalue())
