import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.people import Desk


@pytest.fixture(autouse=True)
def _process_state() -> Iterator[None]:
    """The command line sets these for the process that it thinks is its own."""
    umask, handler = os.umask(0o022), signal.getsignal(signal.SIGTERM)
    yield
    os.umask(umask)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, capsys, monkeypatch)
