"""How long work is shown; the command line shows it, everything else only reports."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Task(Protocol):
    """One piece of work with a known or unknown amount."""

    def advance(self, amount: int) -> None:
        """``amount`` more bytes (or files) are done."""


class Progress(Protocol):
    """Safe to use from several threads."""

    def step(self, text: str) -> None:
        """Tell that something begins or has been decided, in one line."""

    def task(self, text: str, total: int | None) -> AbstractContextManager[Task]:
        """Show work of ``total`` bytes, or of unknown length, until the context ends."""


class _SilentTask:
    def advance(self, amount: int) -> None:
        pass


class Silent:
    """Reports nothing: for programs and tests."""

    def step(self, text: str) -> None:
        """Drop the line."""

    def task(self, text: str, total: int | None) -> AbstractContextManager[Task]:
        """Drop the figures."""
        return nullcontext(_SilentTask())
