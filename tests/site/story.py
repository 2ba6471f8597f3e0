"""Tells on a terminal, or in a file, what happens step by step and how long it takes."""

import shlex
import time
from collections.abc import Sequence

from rich.console import Console
from rich.status import Status
from rich.text import Text

from tests.site.course import Part


class Story:
    """Numbered steps, with what is said and typed in each; leaves a ``with`` block with the terminal in order."""

    def __init__(self) -> None:
        self._console = Console(markup=False, highlight=False, soft_wrap=True)
        self._began = self._step_began = time.monotonic()
        self._number = 0
        self._status: Status | None = None

    def __enter__(self) -> "Story":
        return self

    def __exit__(self, *error: object) -> None:
        self._still()

    def step(self, title: str) -> None:
        """Begin a step, which ends the one before."""
        self._end_step()
        self._number += 1
        self._step_began = time.monotonic()
        self._console.print(f"\n{self._number}. {title}", style="bold")

    def end(self) -> None:
        """End the last step."""
        self._end_step()
        self._console.print(f"\nFrom nothing to here: {time.monotonic() - self._began:.0f} s\n", style="bold")

    def command(self, host: str, argv: Sequence[str] | str) -> None:
        """What is typed, by whoever follows the steps, on ``host``."""
        line = argv if isinstance(argv, str) else shlex.join(argv)
        self._console.print(f"   {host}# {line}" if host else f"   $ {line}", style="cyan")

    def say(self, text: str) -> None:
        """What comes of it."""
        for line in text.splitlines():
            self._console.print(f"   {line}")

    def doing(self, part: Part) -> None:
        """A part that takes its time begins; a terminal shows which."""
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(Text(part.name))

    def did(self, part: Part) -> None:
        """It has ended."""
        self._still()
        self._console.print(f"   {part.seconds:5.0f} s  {part.name}")

    def _still(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _end_step(self) -> None:
        self._still()
        if self._number:
            self._console.print(f"   {time.monotonic() - self._step_began:5.0f} s in all", style="dim")
