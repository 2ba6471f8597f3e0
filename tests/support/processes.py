"""What runs below a process, and what is left of it afterwards."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Running:
    """One process; ``started`` tells it from a later one with the same number."""

    number: int
    started: str
    words: tuple[str, ...]

    @property
    def alive(self) -> bool:
        """Whether it still runs; what has ended and waits for its parent does not."""
        now = _running(self.number)
        return now is not None and now.started == self.started


def below(number: int) -> list[Running]:
    """All descendants of a process, those in other namespaces too."""
    found = [child for child in map(_running, _children(number)) if child is not None]
    return found + [grandchild for child in found for grandchild in below(child.number)]


def wait_for(condition: Callable[[], bool], seconds: float = 120, pause: float = 0.02) -> None:
    """Return as soon as ``condition`` holds, asked every ``pause`` seconds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened in {seconds:.0f} s"
        time.sleep(pause)


def mounts_below(folder: Path) -> list[str]:
    """The mounts of this machine that have anything to do with ``folder``."""
    name = str(folder).replace(" ", "\\040")
    return [line for line in Path("/proc/mounts").read_text().splitlines() if name in line]


def _children(number: int) -> list[int]:
    try:
        lists = [(thread / "children").read_text() for thread in Path(f"/proc/{number}/task").iterdir()]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def _running(number: int) -> Running | None:
    try:
        status = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        words = Path(f"/proc/{number}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return None
    return None if status[0] in "ZX" else Running(number, status[19], tuple(words[:-1]))
