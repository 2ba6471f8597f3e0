"""The action ``program``: run a program of the role on the host, which changes nothing there.

    - name: See what each unit lacks
      program:
        name: lacking.py                    # in the role's files/
        arguments: [...]
        given: "{{ units_wanted }}"         # JSON on its standard input

It runs in check mode too.  The result is that of a command.
"""

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from appliance_site.host_program import run_program


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible declares no types
    """What Ansible looks for in a file of actions."""

    _supports_check_mode = True
    _VALID_ARGS = frozenset(("name", "arguments", "given"))

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """See ``ActionBase``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = self._task.args
        program = Path(self._find_needle("files", args["name"]))
        arguments = [str(argument) for argument in args.get("arguments", ())]
        return result | run_program(self, program, arguments, json.dumps(args.get("given")))
