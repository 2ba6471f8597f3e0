"""Say what units of systemd lack to run with what they have to run.

Takes a JSON list of ``{"name", "enabled": true, "files": [], "retries": false}`` on standard
input, with these defaults.  One that ``retries`` may be between two tries: systemd starts it
again by itself.  Those with the same number as ``turn`` are started together, lower ones first.
Prints one JSON object: ``unread`` tells whether systemd has to read its units again, ``lacking``
lists the names of those that have to be started, reloaded or restarted, and ``jobs`` what has
to be given to systemctl for that, in order; what runs as it should is in neither.

A file's ctime counts: it tells when the file took its place, whatever its mtime says.  A
unit that a generator makes, such as one of Quadlet's, is as old as the file it is made
from.  Runs on hosts: their own Python alone.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROPERTIES = (
    "ActiveEnterTimestamp,ActiveState,CanReload,FragmentPath,Id,InactiveExitTimestamp,LoadState,NeedDaemonReload,"
    "ReloadResult,RemainAfterExit,Result,SourcePath,StateChangeTimestamp,SubState,Type,UnitFileState"
)
Unit = dict[str, Any]
# Units that others start, such as those that reload a service, have to be read too.
OURS = "appliance-*"
_RELOAD = 120  # seconds: more than systemd gives one


def main() -> None:
    """See above; raises when systemctl fails."""
    wanted = [{"enabled": True, "files": [], "retries": False, **unit} for unit in json.load(sys.stdin)]
    known = settled([unit["name"] for unit in wanted])
    states = {unit["name"]: lacks(known[unit["name"]], unit) for unit in wanted}
    unread = any(
        about["NeedDaemonReload"] == "yes" or (about["LoadState"] == "not-found" and name in states)
        for name, about in known.items()
    )
    lacking = [unit["name"] for unit in wanted if states[unit["name"]]]
    print(json.dumps({"unread": unread, "lacking": lacking, "jobs": jobs(wanted, known, states)}))


def jobs(wanted: list[Unit], known: dict[str, dict[str, str]], states: dict[str, str]) -> list[list[str]]:
    """Arguments of systemctl, in order: what to enable, and then what to start, units of one turn together."""
    lacking = [(unit.get("turn", number), unit) for number, unit in enumerate(wanted) if states[unit["name"]]]
    together: dict[tuple[int, str], list[str]] = {}
    for turn, unit in sorted(lacking, key=lambda entry: entry[0]):
        together.setdefault((turn, states[unit["name"]]), []).append(unit["name"])
    enable = [
        unit["name"] for _, unit in lacking if unit["enabled"] and known[unit["name"]]["UnitFileState"] != "enabled"
    ]
    return [["enable", "--", *enable]] * bool(enable) + [[verb, "--", *names] for (_, verb), names in together.items()]


def settled(names: list[str]) -> dict[str, dict[str, str]]:
    """The same as ``show``, once no unit is in the middle of a reload that something else has asked for."""
    deadline = time.monotonic() + _RELOAD
    while True:
        known = show(names)
        if "reloading" not in [known[name]["ActiveState"] for name in names] or time.monotonic() > deadline:
            return known
        time.sleep(0.2)


def show(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd knows of each unit by name, and of all of ours that it has loaded."""
    command = ["systemctl", "show", "--timestamp=us+utc", f"--property={PROPERTIES}", "--", *names, OURS]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in said.strip().split("\n\n")]
    return {unit["Id"]: defaultdict(str, unit) for unit in units}  # what is empty may be left out


def lacks(unit: dict[str, str], wanted: Unit) -> str:
    """``start``, ``reload``, ``restart``, or nothing."""
    own = unit["SourcePath"] or unit["FragmentPath"]
    if unit["Type"] == "oneshot" and unit["RemainAfterExit"] == "no":
        return lacks_a_run(unit, wanted, [own, *wanted["files"]])
    if own and newer(own, unit["ActiveEnterTimestamp"]):
        return "restart"
    if unit["ActiveState"] == "active" and (
        any(newer(file, unit["StateChangeTimestamp"]) for file in wanted["files"])
        or (unit["CanReload"] == "yes" and unit["ReloadResult"] != "success")
    ):
        return "reload" if unit["CanReload"] == "yes" else "restart"
    runs = unit["ActiveState"] == "active" or (wanted["retries"] and tries(unit))
    return "" if runs and starts_at_boot(unit, wanted) else "start"


def tries(unit: dict[str, str]) -> bool:
    """Whether systemd is about to start it again: between two tries a unit is for a moment in each of these states."""
    return unit["ActiveState"] in {"activating", "deactivating"} or "auto-restart" in unit["SubState"]


def lacks_a_run(unit: dict[str, str], wanted: Unit, files: list[str]) -> str:
    """The same for a unit that does something and ends: whether it has since its files took their places."""
    began = unit["InactiveExitTimestamp"]
    if began and any(newer(file, began) for file in files):
        return "restart"
    done = began and unit["ActiveState"] == "inactive" and unit["Result"] == "success"
    return "" if done and starts_at_boot(unit, wanted) else "start"


def starts_at_boot(unit: dict[str, str], wanted: Unit) -> bool:
    """Whether systemd will start it at a boot, where it has to."""
    return not wanted["enabled"] or unit["UnitFileState"] == "enabled"


def newer(file: str, timestamp: str) -> bool:
    """Whether ``file`` took its place after ``timestamp``, which is empty for what has never been."""
    if not timestamp:
        return False
    since = datetime.strptime(timestamp, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC)
    return Path(file).stat().st_ctime > since.timestamp()


if __name__ == "__main__":
    main()
