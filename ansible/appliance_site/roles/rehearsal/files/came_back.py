"""Wait until this host is as it has to be after a boot; print a JSON list of what is not.

    came_back.py SECONDS

Units of ours that are enabled, or made by Quadlet, run; no unit at all has failed; what
/etc/fstab mounts is mounted; the rules of the packet filter are loaded.  Runs on hosts:
their own Python alone.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

OURS = ("appliance-*", "vllm-*", "logrotate.timer")
_RULES = Path("/etc/appliance/egress.nft")
_FSTAB = Path("/etc/fstab")
_PAUSE = 1.0


def main() -> None:
    """See above."""
    end = time.monotonic() + float(sys.argv[1])
    while problems := list(wrong()):
        if time.monotonic() > end:
            break
        time.sleep(_PAUSE)
    print(json.dumps(problems))


def wrong() -> Iterator[str]:
    """What is not as it has to be."""
    yield from (f"{unit} has failed" for unit in listed("list-units", "--state=failed"))
    for unit in listed("list-unit-files", "--state=enabled,generated", *OURS):
        state = output("systemctl", "show", "--property=ActiveState", "--value", unit).strip()
        if state not in {"active", "failed"}:  # failed ones were told
            yield f"{unit} is {state}"
    yield from (f"{place} is not mounted" for place in mounts() if not os.path.ismount(place))
    if _RULES.exists() and not output("nft", "list", "table", "inet", "appliance"):
        yield "the packet filter is not loaded"


def listed(verb: str, *options: str) -> list[str]:
    """Names of units."""
    lines = output("systemctl", verb, "--no-legend", "--plain", *options).splitlines()
    return [line.split()[0] for line in lines if line]


def mounts() -> Iterator[str]:
    """Where /etc/fstab wants something at every boot."""
    for line in _FSTAB.read_text().splitlines() if _FSTAB.exists() else ():
        fields = line.split()
        if len(fields) >= 4 and not line.lstrip().startswith("#"):
            options = fields[3].split(",")
            if fields[1].startswith("/") and not {"noauto", "x-systemd.automount"} & set(options):
                yield fields[1].encode().decode("unicode_escape")  # a space is \040


def output(*argv: str) -> str:
    """What a program prints, whatever its status."""
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True).stdout


if __name__ == "__main__":
    main()
