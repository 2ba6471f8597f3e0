"""The action ``files``: bring a list of files to their state, in order, in one go.

    - name: Bring what nginx reads
      files:
        wanted:
          - {path: /etc/appliance/depot, directory: true}
          - {path: /etc/appliance/depot/nginx.conf, template: nginx.conf.j2, validate: nginx -t -q -c %s}
          - {path: /etc/appliance/depot/tokens.map, template: tokens.map.j2, mode: "0600", secret: true}
          - {path: /etc/systemd/system/nginx.service, link: /dev/null}
          - {path: /etc/appliance/depot/old.conf, absent: true}

An entry is one of ``directory``, ``template`` or ``copy`` (of the role's; of ``copy`` also
a list of files of the depot, one after the other), ``content``, ``link`` and ``absent``,
which wins over the others.  Owner is ``root:root`` and mode ``0644``, ``0755`` for a
directory, unless it says another.  ``validate`` is a command that has to accept the file
before it takes its place.  What is ``secret`` is never shown as a difference.

In check mode a source that is not there counts as one that an earlier task would have
made: what is made of it would change.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from appliance_site import converge
from appliance_site.host_program import run_program

_KINDS = ("absent", "directory", "template", "copy", "content", "link")
_OTHERS = {"path", "owner", "mode", "validate", "secret"}


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible declares no types
    """What Ansible looks for in a file of actions."""

    _supports_check_mode = True
    _supports_diff = True
    _VALID_ARGS = frozenset(("wanted",))

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """See ``ActionBase``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        entries = [self._entry(entry, task_vars or {}) for entry in self._task.args["wanted"]]
        given = {
            "check": self._task.check_mode,
            "diff": bool(self._task.diff),
            "wanted": [entry for entry in entries if entry["content"] is not None],
        }
        done = run_program(self, Path(converge.__file__), [], json.dumps(given))
        if done["failed"]:
            what, _, more = done["stderr"].strip().partition("\n")
            return result | {"failed": True, "msg": what or "no files were written", "stderr": more}
        answer = json.loads(done["stdout_lines"][-1])
        changed = answer["changed"] + [entry["path"] for entry in entries if entry["content"] is None]
        return result | {"changed": bool(changed), "paths": changed, "diff": answer["diff"]}

    def _entry(self, entry: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """What the program on the host takes; ``content`` is None where a source is still to be made."""
        kinds = [kind for kind in _KINDS if entry.get(kind) not in (None, False)]
        if unknown := entry.keys() - _OTHERS - set(_KINDS):
            raise AnsibleActionFail(f"files: {entry['path']} has unknown keys: {', '.join(sorted(unknown))}")
        if not kinds or (len(kinds) > 1 and kinds[0] != "absent"):
            raise AnsibleActionFail(f"files: {entry['path']} must be one of {', '.join(_KINDS)}")
        kind, mode = kinds[0], entry.get("mode", "0755" if kinds[0] == "directory" else "0644")
        if not isinstance(mode, str):
            raise AnsibleActionFail(f"files: the mode of {entry['path']} must be in quotes")
        return {
            "path": str(entry["path"]),
            "kind": kind if kind in {"absent", "directory", "link"} else "file",
            "content": self._content(kind, entry[kind], variables),
            "owner": str(entry.get("owner", "root:root")),
            "mode": mode,
            "validate": str(entry.get("validate", "")),
            "secret": bool(entry.get("secret", False)),
        }

    def _content(self, kind: str, value: Any, variables: dict[str, Any]) -> str | None:
        if kind in {"absent", "directory"}:
            return ""
        if kind == "template":
            lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
            return str(lookup.run([value], variables=variables)[0])
        if kind == "copy":
            return self._copied([value] if isinstance(value, str) else value)
        return str(value)

    def _copied(self, sources: Iterable[str]) -> str | None:
        """What is in the role's file, or in files of the depot."""
        paths = [Path(source if source.startswith("/") else self._find_needle("files", source)) for source in sources]
        if self._task.check_mode and not all(path.exists() for path in paths):
            return None
        return "".join(path.read_text() for path in paths)
