from datetime import datetime, timedelta

import pytest

from appliance.errors import NotTrusted
from appliance.model.bundle import Statement
from appliance.trust.policy import Policy
from appliance.trust.root import Root, read_root
from appliance.trust.statement import format_time, parse_statement
from tests.support.bundles import FIRST, NOW, Recipe, root_document
from tests.support.forging import put

_SECOND = timedelta(seconds=1)


def _root(expires: datetime, version: int = 1) -> Root:
    return read_root(root_document(version, (FIRST,), threshold=1, expires=expires), "x")


def _statement(recipe: Recipe) -> Statement:
    return parse_statement(recipe.documents()["statement.json"])


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


@pytest.mark.parametrize(("expires", "accepted"), [("2099-19-39T29:59:59Z", True), ("2000-00-00T00:00:00Z", False)])
def test_a_date_that_no_calendar_has_is_compared_all_the_same(expires: str, accepted: bool) -> None:
    root = read_root(root_document(1, (FIRST,), threshold=1, change=put("expires", expires)), "x")
    if accepted:
        Policy(now=NOW).check_root(root)
    else:
        with pytest.raises(NotTrusted):
            Policy(now=NOW).check_root(root)
