"""Fixtures that several integration tests share."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.demo import Demo, make_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo bundle, built once; nobody may change it."""
    folder = tmp_path_factory.mktemp("demo")
    try:
        yield make_demo(folder)
    finally:
        shutil.rmtree(folder)  # pytest would keep its gigabytes for two more runs
