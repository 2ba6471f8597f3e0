"""Say which of the packages in its arguments this host lacks, as JSON, and whether an installation was cut off.

``missing`` are names, in the order given; ``unfinished`` is true where dpkg has something
left to configure; ``python_apt`` tells whether Python has its way to apt.  Runs on bare
hosts: Python alone.
"""

import json
import subprocess
import sys
from pathlib import Path

_PYTHON_APT = Path("/usr/lib/python3/dist-packages/apt/__init__.py")
_HALF_DONE = {"half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"}
_JOURNAL = Path("/var/lib/dpkg/updates")  # not empty: dpkg itself was cut off, and apt refuses to work


def main() -> None:
    """See above; raises when dpkg's own list cannot be read."""
    show = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n"]
    lines = subprocess.run(show, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    states = {(name, state) for name, _, state in (line.partition(" ") for line in lines)}
    half_done = any(state in _HALF_DONE for _, state in states)
    asked = {
        "missing": [name for name in sys.argv[1:] if (name, "installed") not in states],
        "unfinished": half_done or any(_JOURNAL.glob("[0-9]*")),
        "python_apt": _PYTHON_APT.exists(),
    }
    print(json.dumps(asked))


if __name__ == "__main__":
    main()
