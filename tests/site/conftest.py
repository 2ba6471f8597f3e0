"""What all tests of the site need: a machine that can run one."""

import pytest

from tests.site.running import why_not


@pytest.fixture(scope="session", autouse=True)
def _machine() -> None:
    if problem := why_not():
        pytest.skip(problem)
