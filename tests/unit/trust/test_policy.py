from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import Statement
from appliance.model.times import format_time
from appliance.trust.policy import Policy
from appliance.trust.root import Root, read_root
from appliance.trust.statement import parse_statement
from tests.support.bundles import FIRST, NOW, Recipe, root_document
from tests.support.forging import put

_SECOND = timedelta(seconds=1)


def _root(expires: datetime, version: int = 1) -> Root:
    return read_root(root_document(version, (FIRST,), threshold=1, expires=expires), "x")


def _statement(recipe: Recipe) -> Statement:
    return parse_statement(recipe.documents()["statement.json"])


def _problem(check: Callable[[], object]) -> str:
    try:
        check()
    except NotTrusted as error:
        return error.reference
    return ""


def test_a_root_is_good_until_the_second_it_expires() -> None:
    root = _root(NOW)
    Policy(now=NOW - _SECOND).check_root(root)
    for now in (NOW, NOW + _SECOND):
        with pytest.raises(NotTrusted) as caught:
            Policy(now=now).check_root(root)
        assert caught.value.reference == "root-expired"
        assert caught.value.found == format_time(now)
        assert caught.value.where == "trust/1.root.json"


def test_a_bundle_is_good_until_the_second_it_expires() -> None:
    root = _root(NOW + timedelta(days=1))
    statement = _statement(Recipe(expires=NOW))
    Policy(now=NOW - _SECOND).check_statement(statement, root)
    with pytest.raises(NotTrusted) as caught:
        Policy(now=NOW).check_statement(statement, root)
    assert caught.value.reference == "bundle-expired"


def test_a_bundle_may_demand_a_newer_root() -> None:
    statement = _statement(Recipe(statement=put("predicate/minimum_root_version", 2)))
    Policy(now=NOW).check_statement(statement, _root(NOW, version=2))
    with pytest.raises(NotTrusted) as caught:
        Policy(now=NOW).check_statement(statement, _root(NOW))
    assert caught.value.reference == "root-too-old"
    assert (caught.value.expected, caught.value.found) == ("at least version 2", "version 1")


def test_what_was_made_in_the_future_is_refused_beyond_a_day() -> None:
    root, statement = _root(NOW + timedelta(days=9)), _statement(Recipe())
    for now, root_problem, problem in (
        (NOW - timedelta(days=1), "", ""),  # the root was made then, the bundle 23 hours later
        (NOW - timedelta(hours=25), "", ""),
        (NOW - timedelta(hours=25, seconds=1), "", "bundle-ahead"),
        (NOW - timedelta(hours=48), "", "bundle-ahead"),
        (NOW - timedelta(hours=48, seconds=1), "root-ahead", "bundle-ahead"),
    ):
        assert _problem(partial(Policy(now=now).check_root, root)) == root_problem
        assert _problem(partial(Policy(now=now).check_statement, statement, root)) == problem
    Policy(now=None).check_statement(statement, root)  # what is held is judged on no day
