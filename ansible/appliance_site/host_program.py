"""Runs a program of ours on a host, with what Ansible's connection has and nothing else.

Ansible's own modules bring their library along and compile it anew each time, which takes
a third of a second; these need Python alone, and start in the twentieth part of that.
The program and its input go over standard input: nothing is left on the host, and nothing
that is said there stands in a command line.
"""

import shlex
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

_PYTHON = "/usr/bin/python3"
# The program is as long as is said; what follows it is the program's own input.
# What it starts in turn is looked for where programs lie, whatever the PATH of who logs in.
_START = (
    "import os, sys; os.environ['PATH'] = '/usr/sbin:/usr/bin:/sbin:/bin'; "
    "exec(compile(sys.stdin.buffer.read({length}), {name!r}, 'exec'))"
)


def run_program(action: ActionBase, program: Path, arguments: list[str], given: str) -> dict[str, Any]:
    """Run it; the fields of the result are those of Ansible's commands, ``failed`` when it did not end with 0."""
    source = program.read_bytes()
    start = _START.format(length=len(source), name=program.name)
    command = shlex.join([_PYTHON, "-I", "-c", start, *arguments])
    done = action._low_level_execute_command(command, in_data=source + given.encode())
    fields = ("rc", "stdout", "stderr", "stdout_lines", "stderr_lines")
    return {
        "cmd": [program.name, *arguments],
        "failed": done["rc"] != 0,
        "changed": False,
        **{field: done[field] for field in fields},
    }
