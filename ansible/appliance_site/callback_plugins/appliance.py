"""What a run shows on a terminal: Ansible's own output, with failures reported for people.

A failure is one block of what failed, what to do and where, as the appliance's own
commands tell theirs, instead of a result's fields.  All blocks come once more at the end,
on standard error, where nothing scrolls them away.  With ``--verbose`` Ansible's form of a
failure is shown as well.

A task that takes its time is told every half minute, with the hosts that it waits for: a
model loads for minutes, and a run that says nothing looks like one that hangs.

A message of ours is what failed, a line that begins with ``do:``, and lines that are shown
as they are.
"""

import sys
import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ansible.constants import COLOR_ERROR, COLOR_SKIP
from ansible.plugins.callback.default import CallbackModule as Default

# What filters need: Ansible forks a process for each task, and those that use one would load all of it again.
for _needed in ("appliance.model.documents.bundle", "appliance.model.serving.site_limits", "cryptography.x509"):
    import_module(_needed)

DOCUMENTATION = """
    name: appliance
    type: stdout
    short_description: Ansible's own output, with failures reported for people
    description:
        - Each failure is one block of what failed, what to do and where, and is shown once more at the end.
    extends_documentation_fragment: [default_callback, result_format_callback]
"""

_PATIENCE = 30.0  # seconds until a task is told of again
_LAST_LINES = 30  # of what a program said
_AGAIN = "fix that, then run the same command again: it continues from there"
_NOT_AS_DESCRIBED = "variables in the inventory are not valid"
_CORRECT = "correct them in the inventory; roles/ROLE/meta/argument_specs.yml describes each of them"
_DO = "do: "
_SSH = "Failed to connect to the host via ssh: "


@dataclass
class Problem:
    """A failure of one task on ``hosts``."""

    task: str
    what: str
    hint: str
    details: str
    hosts: list[str] = field(default_factory=list)

    def same(self, other: "Problem") -> bool:
        """Whether it is the same but for the host."""
        return (self.task, self.what, self.hint, self.details) == (other.task, other.what, other.hint, other.details)

    def block(self) -> str:
        """For the terminal."""
        lines = [f"error: {self.what}"]
        lines += [f"  {line}" for line in self.details.splitlines()]
        lines += [f"  do:       {self.hint}"] if self.hint else []
        return "\n".join([*lines, f"  where:    {', '.join(sorted(self.hosts))}, in the task [{self.task}]"])


def read_problem(result: Any) -> Problem:
    """The problem that the failed result of a task, or of one of its items, tells of."""
    fields = result.result
    task, hosts = result.task.get_name(), [result.host.get_name()]
    if wrong := fields.get("argument_errors"):
        return Problem(task, f"{_NOT_AS_DESCRIBED}: {'; '.join(wrong)}", _CORRECT, "", hosts)
    what, *lines = _message(result).strip().splitlines() or ["the task failed"]
    if lines and lines[0].startswith(_DO):
        return Problem(task, what, lines[0].removeprefix(_DO), "\n".join(lines[1:]), hosts)
    lines += str(fields.get("stderr") or fields.get("stdout") or fields.get("module_stderr") or "").strip().splitlines()
    if "cmd" in fields:  # Ansible's own message says no more than that
        what = lines.pop() if len(lines) == 1 else f"a command ended with {fields.get('rc')}"
    return Problem(task, what, _AGAIN, "\n".join(lines[-_LAST_LINES:]), hosts)


class Waiting:
    """Hosts that have not ended the task that runs, and what they have done of it; a thread of its own reads it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._task = ""
        self._began = self._due = 0.0
        self._hosts: dict[str, str] = {}

    def begin(self, host: str, task: str) -> None:
        """``host`` begins with ``task``."""
        with self._lock:
            if task != self._task or not self._hosts:
                self._task, self._began, self._hosts = task, time.monotonic(), {}
                self._due = self._began + _PATIENCE
            self._hosts[host] = ""

    def did(self, host: str, item: str) -> None:
        """It has ended one item of it."""
        with self._lock:
            if host in self._hosts:
                self._hosts[host] = f" (done: {item})"

    def end(self, host: str) -> None:
        """It has ended it."""
        with self._lock:
            self._hosts.pop(host, None)

    def line(self) -> str:
        """For the terminal, when it is time for one; else empty."""
        with self._lock:
            now = time.monotonic()
            if not self._hosts or now < self._due:
                return ""
            self._due += _PATIENCE
            hosts = ", ".join(f"{host}{done}" for host, done in sorted(self._hosts.items()))
            return f"{now - self._began:.0f} s: waiting for {hosts} in the task [{self._task}]"


def _message(result: Any) -> str:
    """What the others are wrapped around: Ansible puts its own words around those of a filter."""
    event = getattr(result.exception, "event", None)
    while event is not None and event.chain is not None:
        event = event.chain.event
    return str(result.result.get("msg", "") if event is None else event.msg)


class CallbackModule(Default):  # type: ignore[misc]  # Ansible declares no types
    """What Ansible looks for in a file of callbacks; names of methods are its own."""

    CALLBACK_NAME = "appliance"

    def __init__(self) -> None:
        super().__init__()
        self._problems: list[Problem] = []
        self._waiting = Waiting()
        self._ended = threading.Event()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """See ``CallbackBase``."""
        super().v2_playbook_on_start(playbook)
        threading.Thread(target=self._tell_what_takes_long, daemon=True).start()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """See ``CallbackBase``."""
        super().v2_runner_on_start(host, task)
        self._waiting.begin(host.get_name(), task.get_name().strip())

    def v2_runner_on_ok(self, result: Any) -> None:
        """See ``CallbackBase``."""
        self._waiting.end(result.host.get_name())
        super().v2_runner_on_ok(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """See ``CallbackBase``."""
        self._waiting.end(result.host.get_name())
        super().v2_runner_on_skipped(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """See ``CallbackBase``."""
        self._waiting.did(result.host.get_name(), str(self._get_item_label(result.result)))
        super().v2_runner_item_on_ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """See ``CallbackBase``."""
        self._waiting.end(result.host.get_name())
        if self._display.verbosity:
            super().v2_runner_on_failed(result, ignore_errors)
        if not (result.task.loop and "results" in result.result):  # otherwise its items have told
            self._tell(result, ignored=ignore_errors)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """See ``CallbackBase``."""
        if self._display.verbosity:
            super().v2_runner_item_on_failed(result)
        self._tell(result, ignored=bool(result.task.ignore_errors))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """See ``CallbackBase``."""
        self._waiting.end(result.host.get_name())
        if self._display.verbosity:
            super().v2_runner_on_unreachable(result)
        said = _message(result).removeprefix(_SSH)
        host = result.host.get_name()
        self._show(result, Problem(result.task.get_name(), f"{host} cannot be reached", _AGAIN, said, [host]))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """See ``CallbackBase``."""
        self._ended.set()
        super().v2_playbook_on_stats(stats)
        sys.stdout.flush()  # or the recap comes last where both go into one file
        for problem in self._problems:
            self._display.display(f"{problem.block()}\n", color=COLOR_ERROR, stderr=True)

    def _tell_what_takes_long(self) -> None:
        while not self._ended.wait(1):
            if line := self._waiting.line():
                self._display.display(line, color=COLOR_SKIP)

    def _tell(self, result: Any, *, ignored: bool) -> None:
        problem = read_problem(result)
        if ignored:
            self._banner(result)
            self._display.display(f"{problem.hosts[0]}: {problem.what}; continuing", color=COLOR_SKIP)
        else:
            self._show(result, problem)

    def _show(self, result: Any, problem: Problem) -> None:
        self._banner(result)
        self._handle_warnings(result.result)
        self._display.display(problem.block(), color=COLOR_ERROR)
        for known in self._problems:
            if known.same(problem):
                known.hosts.extend(host for host in problem.hosts if host not in known.hosts)
                return
        self._problems.append(problem)

    def _banner(self, result: Any) -> None:
        if self._last_task_banner != result.task._uuid:
            self._print_task_banner(result.task)
