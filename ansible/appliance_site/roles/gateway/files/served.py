"""Say who is served by this gateway, as JSON: a list of sentences, empty when nobody is.

    served.py MINUTES PORT ADDRESS...

Counts connections to PORT that are open, and requests of named clients in the audit lines
of the last MINUTES.  What comes from an ADDRESS (an operator's, who tries something) does
not count.  Runs on hosts: their own Python alone.
"""

import ipaddress
import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

_AUDIT = Path("/var/log/appliance-gateway/audit.log")
_LAST = 4 << 20  # bytes of the audit lines that are read


def main() -> None:
    """See above."""
    minutes, port, *addresses = sys.argv[1:]
    own = {plain(address) for address in addresses}
    since = datetime.now(UTC) - timedelta(minutes=int(minutes))
    told = [
        f"{who} has asked {count} {'time' if count == 1 else 'times'} since {since:%H:%M} UTC"
        for who, count in asked(since, own).items()
    ]
    told += [f"{who} is connected" for who in sorted(connected(port) - own)]
    print(json.dumps(told))


def asked(since: datetime, own: set[str]) -> Counter[str]:
    """How often each client was served."""
    found: Counter[str] = Counter()
    for path in (_AUDIT.with_name("audit.log.1"), _AUDIT):
        for line in last_lines(path):
            try:
                entry = json.loads(line)
                time = datetime.fromisoformat(entry["time"])
                who, address = entry["client"], plain(entry["address"])
            except (ValueError, KeyError, TypeError):
                continue  # the first one read may be a half
            if who and time >= since and address not in own and entry.get("event") != "accepted":
                found[f"{who} at {address}"] += 1
    return found


def last_lines(path: Path) -> list[bytes]:
    """The last lines of a file that may not be there."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LAST))
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def connected(port: str) -> set[str]:
    """Addresses of those who have a connection."""
    command = ["ss", "--no-header", "--numeric", "--tcp", "state", "established", "sport", "=", f":{port}"]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return {plain(line.split()[3].rpartition(":")[0].strip("[]").partition("%")[0]) for line in said.splitlines()}


def plain(text: str) -> str:
    """One way to write an address."""
    address = ipaddress.ip_network(text, strict=False)[0]
    return str(getattr(address, "ipv4_mapped", None) or address)


if __name__ == "__main__":
    main()
