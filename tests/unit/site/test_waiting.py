"""What a run tells of a task that takes its time."""

import importlib.util
import sys

import pytest

from tests.site.course import Course
from tests.support.processes import wait_for
from tests.support.role_files import SITE


def test_a_run_says_what_it_waits_for_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    specification = importlib.util.spec_from_file_location("callback", SITE / "callback_plugins/appliance.py")
    assert specification is not None
    assert specification.loader is not None
    callback = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "callback", callback)
    specification.loader.exec_module(callback)
    monkeypatch.setattr(callback, "_PATIENCE", 0.2)
    waiting, told = callback.Waiting(), []

    def tells() -> bool:
        told.append(waiting.line())
        return bool(told[-1])

    for host in ("gpu1", "gpu2", "gpu3"):
        waiting.begin(host, "Start models")
    assert not tells()
    waiting.end("gpu3")
    waiting.did("gpu1", "vllm-a.service")
    wait_for(tells)
    assert told[-1] == "0 s: waiting for gpu1 (done: vllm-a.service), gpu2 in the task [Start models]"
    seen: list[str] = []
    Course(on_wait=seen.append).line(told[-1])
    assert seen == [told[-1]]
    wait_for(tells)
    waiting.end("gpu1")
    waiting.end("gpu2")
    assert not tells()
    waiting.begin("gpu1", "Another task")
    assert not tells(), "its time begins anew"
