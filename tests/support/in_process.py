"""``appliance`` as a program would call it, without the price of a process each time."""

import contextlib
import io
import json
import os
import signal
from dataclasses import dataclass
from typing import Any

from appliance.cli.main import run


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


def ask(*arguments: object) -> Answer:
    """Run ``appliance ARGUMENTS --json``.  What it sets for its process is put back."""
    umask, handler = os.umask(0o022), signal.getsignal(signal.SIGTERM)
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([*map(str, arguments), "--json"])
    finally:
        os.umask(umask)
        signal.signal(signal.SIGTERM, handler)
    return Answer(code, json.loads(out.getvalue()), err.getvalue())
