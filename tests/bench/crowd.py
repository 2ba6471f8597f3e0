"""``python -m tests.bench.crowd FOLDER COUNT [BYTES]``: a signed bundle of COUNT tiny files, or files of BYTES.

A process of its own: what the benchmark itself has taken of memory hides what others take.
"""

import sys
from pathlib import Path

from tests.bench.stage import TINY_BYTES
from tests.support.bundles import PLAIN


def main() -> None:
    count = int(sys.argv[2])
    size = int(sys.argv[3]) if sys.argv[3:] else TINY_BYTES
    files = {f"models/{number // 100:03}/{number % 100:02}.json": b"x" * size for number in range(count)}
    PLAIN.but(files=files).write(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
