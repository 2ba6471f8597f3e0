"""Settings and fixtures that all tests share."""

import shutil
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.demo import Demo, make_demo

# Whoever starts the tests in the background may have Ctrl-C ignored, which children would
# inherit: the tests of interruption need it as a terminal has it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no time limit for one of them on a busy machine.
settings.register_profile("appliance", derandomize=True, deadline=None, database=None)
settings.register_profile("long", deadline=None, max_examples=1_000)  # make fuzz
settings.load_profile("appliance")

# What is made once for several files, and the tests that use it run in one process after each other.
SHARED = ("installed", "small_site")

# A test's property of this name is shown at the end of a run, wherever the test ran.
SUMMARY = "summary"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``--dist loadgroup``: the tests of a file stay together, and those that share something big."""
    for item in items:
        shared = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
        item.add_marker(pytest.mark.xdist_group(shared[0] if shared else item.nodeid.partition("::")[0]))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """No long value names a test: keys and signatures differ from process to process, which have to agree on names."""
    return argname if isinstance(val, str | bytes) and len(val) > 100 else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passed tests have measured."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == SUMMARY:
                terminalreporter.write_line(f"\n{text}")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo bundle, built once; nobody may change it."""
    folder = tmp_path_factory.mktemp("demo")
    try:
        yield make_demo(folder)
    finally:
        shutil.rmtree(folder)  # pytest would keep its gigabytes for two more runs
