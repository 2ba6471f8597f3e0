"""A signal at the worst moment: a program has just begun to run, and nobody holds it yet."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.tools.interrupts import held_back
from appliance.tools.run import run
from tests.support.processes import below

_BOTH = (signal.SIGINT, signal.SIGTERM)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As the command has them."""
    before = [signal.signal(number, _interrupt) for number in _BOTH]
    yield
    for number, handler in zip(_BOTH, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", _BOTH)
def test_what_had_just_been_started_is_ended(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(subprocess.Popen[str]):
        def __init__(self, *words: Any, **options: Any) -> None:
            super().__init__(*words, **options)
            signal.raise_signal(number)

    monkeypatch.setattr(subprocess, "Popen", Late)
    before = below(os.getpid())
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "600"])
    assert [child for child in below(os.getpid()) if child not in before] == []


def test_a_program_that_cannot_start_hides_no_signal(tmp_path: Path) -> None:
    def start() -> None:
        with held_back():
            signal.raise_signal(signal.SIGTERM)
            raise FileNotFoundError(tmp_path)

    with pytest.raises(KeyboardInterrupt):
        start()


def test_signals_raise_again_as_soon_as_they_are_let_in() -> None:
    with held_back() as let_in:
        let_in()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in _BOTH] == [_interrupt, _interrupt]


def test_what_is_ignored_stays_ignored_in_the_program() -> None:
    """A job in the background of a shell script."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ignored = run(["grep", "SigIgn", "/proc/self/status"]).split()[1]
    assert int(ignored, 16) & 1 << signal.SIGINT - 1


def test_other_threads_hold_nothing_back() -> None:
    said = []
    thread = threading.Thread(target=lambda: said.append(run(["echo", "done"])))
    thread.start()
    thread.join()
    assert said == ["done\n"]
