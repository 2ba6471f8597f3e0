"""How a run of the playbook goes by: what it is doing, how long each part took, what it changed.

Read from Ansible's own lines as they come, since the callbacks that measure are in a
collection, and a site has none.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_HEADING = re.compile(r"(PLAY|TASK|RUNNING HANDLER) \[(.*)\] \**")
_RECAP = re.compile(r"PLAY RECAP \**")
_WAITING = re.compile(r"[0-9]+ s: waiting for .*")
_CHANGED = re.compile(r"changed: (\[.*)")


@dataclass
class Part:
    """A play or a task; ``seconds`` once it has ended."""

    name: str
    began: float
    seconds: float = 0.0


@dataclass
class Course:
    """Takes the lines of one run; tells what begins, each play that has ended, and what the run says it waits for."""

    on_begin: Callable[[Part], None] = lambda part: None
    on_end: Callable[[Part], None] = lambda play: None
    on_wait: Callable[[str], None] = lambda line: None
    plays: list[Part] = field(default_factory=list)
    tasks: list[Part] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        """The next line of the run, now that it has come."""
        if heading := _HEADING.match(text):
            kind, name = heading.groups()
            if kind == "PLAY":
                self._end()
                self._begin(self.plays, name)
            else:
                self._end_task()
                self._begin(self.tasks, name)
        elif _RECAP.match(text):
            self._end()
        elif _WAITING.fullmatch(text):
            self.on_wait(text)
        elif changed := _CHANGED.match(text):
            self.changes.append(f"{self.tasks[-1].name}: {changed[1]}")

    def slowest(self, count: int) -> list[Part]:
        """The tasks that took most of the time."""
        return sorted(self.tasks, key=lambda task: task.seconds, reverse=True)[:count]

    def _begin(self, parts: list[Part], name: str) -> None:
        parts.append(Part(name, time.monotonic()))
        self.on_begin(parts[-1])

    def _end(self) -> None:
        self._end_task()
        if self.plays and not self.plays[-1].seconds:
            self.plays[-1].seconds = time.monotonic() - self.plays[-1].began
            self.on_end(self.plays[-1])

    def _end_task(self) -> None:
        if self.tasks and not self.tasks[-1].seconds:
            self.tasks[-1].seconds = time.monotonic() - self.tasks[-1].began
