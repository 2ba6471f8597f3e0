"""How the tests themselves are run."""

import pytest


def test_the_tests_of_a_file_stay_in_one_process(request: pytest.FixtureRequest) -> None:
    """pytest-xdist tells groups by names of tests; with a pytest that it does not fit to, it forgets them silently."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("needs several processes: --numprocesses 2 --dist loadgroup")
    assert request.node.nodeid.endswith("@tests/unit/test_suite.py")
