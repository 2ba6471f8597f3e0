"""``python -m tests.bench.crowd FOLDER COUNT``: a signed bundle of COUNT tiny files.

A process of its own: what the benchmark itself has taken of memory hides what others take.
"""

import sys
from pathlib import Path

from tests.bench.stage import TINY_BYTES
from tests.support.bundles import PLAIN


def main() -> None:
    count = int(sys.argv[2])
    files = {f"models/{number // 100:03}/{number % 100:02}.json": b"x" * TINY_BYTES for number in range(count)}
    PLAIN.but(files=files).write(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
