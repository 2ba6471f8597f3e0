"""The bar that a terminal shows while something is read, written or fetched."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from appliance.model.progress import Task

_EVERY = 0.05  # seconds: more is not seen, and each time costs as much as a small file


@contextmanager
def shown_bar(console: Console, label: str, total: int | None) -> Iterator[Task]:
    """A bar of ``total`` (bytes) that goes away at the end; without a total, a clock."""
    columns: tuple[ProgressColumn, ...] = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    if total is not None:
        columns += (
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _BarTask(bar, bar.add_task(label, total=total))


class _BarTask:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task
        self._lock = threading.Lock()
        self._untold = 0
        self._told = 0.0

    def advance(self, amount: int) -> None:
        """Count; several threads may."""
        with self._lock:
            self._untold += amount
            if (now := time.monotonic()) < self._told + _EVERY:
                return
            amount, self._untold, self._told = self._untold, 0, now
        self._bar.advance(self._task, amount)
