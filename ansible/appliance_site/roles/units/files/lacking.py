"""Say what units of systemd lack to run with what they have to run.

Takes a JSON list of ``{"name", "enabled": true, "files": []}`` on standard input, with these
defaults.  Prints one JSON object: ``unread`` tells whether systemd has to read its units again, ``lacking`` lists
``{"name", "enabled", "state"}`` of each unit that has to be started, reloaded or restarted;
what runs as it should is not in it.

A file's ctime counts: it tells when the file took its place, whatever its mtime says.  A
unit that a generator makes, such as one of Quadlet's, is as old as the file it is made
from.  Runs on hosts: their own Python alone.
"""

import json
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

PROPERTIES = (
    "ActiveEnterTimestamp,ActiveState,CanReload,FragmentPath,Id,LoadState,NeedDaemonReload,ReloadResult,"
    "SourcePath,StateChangeTimestamp,UnitFileState"
)
# Units that others start, such as those that reload a service, have to be read too.
OURS = "appliance-*"


def main() -> None:
    """See above; raises when systemctl fails."""
    wanted = [{"enabled": True, "files": [], **unit} for unit in json.load(sys.stdin)]
    known = show([unit["name"] for unit in wanted])
    states = {unit["name"]: lacks(known[unit["name"]], unit["enabled"], unit["files"]) for unit in wanted}
    lacking = [
        {"name": unit["name"], "enabled": unit["enabled"], "state": states[unit["name"]]}
        for unit in wanted
        if states[unit["name"]]
    ]
    unread = any(
        about["NeedDaemonReload"] == "yes" or (about["LoadState"] == "not-found" and name in states)
        for name, about in known.items()
    )
    print(json.dumps({"unread": unread, "lacking": lacking}))


def show(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd knows of each unit by name, and of all of ours that it has loaded."""
    command = ["systemctl", "show", "--timestamp=us+utc", f"--property={PROPERTIES}", "--", *names, OURS]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in said.strip().split("\n\n")]
    return {unit["Id"]: defaultdict(str, unit) for unit in units}  # what is empty may be left out


def lacks(unit: dict[str, str], enabled: bool, files: list[str]) -> str:
    """``started``, ``reloaded``, ``restarted``, or nothing."""
    own = unit["SourcePath"] or unit["FragmentPath"]
    if own and newer(own, unit["ActiveEnterTimestamp"]):
        return "restarted"
    if unit["ActiveState"] == "active" and (
        any(newer(file, unit["StateChangeTimestamp"]) for file in files)
        or (unit["CanReload"] == "yes" and unit["ReloadResult"] != "success")
    ):
        return "reloaded" if unit["CanReload"] == "yes" else "restarted"
    if unit["ActiveState"] != "active" or (enabled and unit["UnitFileState"] != "enabled"):
        return "started"
    return ""


def newer(file: str, timestamp: str) -> bool:
    """Whether ``file`` took its place after ``timestamp``, which is empty for what has never been."""
    if not timestamp:
        return False
    since = datetime.strptime(timestamp, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC)
    return Path(file).stat().st_ctime > since.timestamp()


if __name__ == "__main__":
    main()
