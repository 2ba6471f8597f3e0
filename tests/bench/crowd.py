"""``python -m tests.bench.crowd FOLDER``: a signed bundle of many small files.

A process of its own: what the benchmark itself has taken of memory hides what others take.
"""

import sys
from pathlib import Path

from tests.support.bundles import PLAIN

FILES = 100_000


def main() -> None:
    files = {f"models/{number // 100:03}/{number % 100:02}.json": b"x" * 100 for number in range(FILES)}
    PLAIN.but(files=files).write(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
