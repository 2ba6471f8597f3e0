"""Say what this host has to share out, as JSON: ``cores`` and bytes of ``memory``.

``cores`` are numbers of logical CPUs, one of each core that the host's services may use, those of
a NUMA node beside each other.  Of two on one core the second is taken, as vLLM does: the kernel's
own work lies on the first.  Runs on hosts: their own Python alone.
"""

import json
import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def main() -> None:
    """See above."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    print(json.dumps({"cores": cores(), "memory": memory}))


def cores() -> list[int]:
    """See above."""
    # Of the first process, which services inherit; who logs in may be held to less.
    of_cores = {_threads(cpu): cpu for cpu in sorted(os.sched_getaffinity(1))}
    return sorted(of_cores.values(), key=lambda cpu: (_node(cpu), cpu))


def _threads(cpu: int) -> str:
    """What is the same for all logical CPUs of one core."""
    try:
        return (CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _node(cpu: int) -> int:
    nodes = [int(path.name.removeprefix("node")) for path in (CPUS / f"cpu{cpu}").glob("node[0-9]*")]
    return nodes[0] if nodes else 0


if __name__ == "__main__":
    main()
