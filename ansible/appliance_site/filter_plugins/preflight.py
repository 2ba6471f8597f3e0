"""Filters that compare what a bundle needs with what a host has.

They return lists of complaints for people; an empty list is good news.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


def bundle_bytes(index: Mapping[str, Any], kind: str, names: Iterable[str]) -> int:
    """Bytes of the artifacts of ``kind`` that are called one of ``names``; a shared file counts once."""
    wanted = set(names)
    files = {
        file["sha256"]: int(file["size"])
        for artifact in index["artifacts"]
        if artifact["kind"] == kind and artifact["name"] in wanted
        for file in artifact["files"]
    }
    return sum(files.values())


def disk_complaints(report: str, needs: Sequence[Mapping[str, Any]], reserve_mib: int) -> list[str]:
    """File systems that are too small.

    ``report`` is what ``df --block-size=1 --output=file,target,avail`` printed; each need
    has ``paths`` (the first that exists counts), ``bytes`` and ``what``.  Needs on one
    file system add up, and ``reserve_mib`` stays free on each.
    """
    lines = [line.split() for line in report.splitlines()[1:]]
    found = {line[0]: (line[1], int(line[2])) for line in lines if len(line) == 3}
    wanted: dict[str, list[Mapping[str, Any]]] = {}
    for need in needs:
        path = next(path for path in need["paths"] if path in found)
        wanted.setdefault(found[path][0], []).append(need)
    free = dict(found.values())
    spare = {"what": "to spare", "bytes": reserve_mib * _MIB}
    complaints = []
    for target, entries in wanted.items():
        parts = [entry for entry in (*entries, spare) if int(entry["bytes"])]
        total = sum(int(part["bytes"]) for part in parts)
        if total > free[target]:
            told = " + ".join(f"{part['what']} {_gib(part['bytes'])}" for part in parts)
            complaints.append(f"{target} has {_gib(free[target])} free, but {_gib(total)} are needed: {told}")
    return complaints


def disk_used(report: str) -> dict[str, int]:
    """Bytes by path, of what ``du --summarize --block-size=1`` printed."""
    return {path: int(count) for count, path in (line.split(maxsplit=1) for line in report.splitlines())}


def port_complaints(report: str, ports: Sequence[int]) -> list[str]:
    """Ports of ours that another service listens on.

    ``report`` is what ``ss --listening --tcp --numeric --processes --cgroup --no-header`` printed.
    """
    complaints = []
    for line in report.splitlines():
        port = line.split()[3].rpartition(":")[2]
        if port.isdecimal() and int(port) in ports and "/appliance-" not in line:
            holder = re.search(r'users:\(\("([^"]+)",pid=([0-9]+)', line)
            complaints.append(
                f"TCP port {port} is taken by {holder[1]}, process {holder[2]}"
                if holder
                else f"TCP port {port} is taken"
            )
    return sorted(set(complaints))


def _gib(count: int) -> str:
    return f"{int(count) / _GIB:.1f} GiB"


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "bundle_bytes": bundle_bytes,
            "disk_complaints": disk_complaints,
            "disk_used": disk_used,
            "port_complaints": port_complaints,
        }
