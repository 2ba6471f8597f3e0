from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.model.progress import Silent
from appliance.steps.import_bundle import import_bundle
from appliance.steps.switch import switch
from appliance.store.site import Site
from tests.support.bundles import Recipe
from tests.support.forging import put
from tests.support.sites import snapshot, version


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Holds versions 1.0.0 and 2.0.0 of the small bundle."""
    site = Site(tmp_path / "a site")
    for number in ("1.0.0", "2.0.0"):
        carried = version(number).write(tmp_path / number)
        import_bundle(carried.path, carried.trusted, site, Silent(), switch=False)
    return site


def refusal(site: Site, name: str, number: str) -> BadInput:
    before = snapshot(site.root)
    with pytest.raises(BadInput) as caught:
        switch(site, name, number, Silent())
    assert snapshot(site.root) == before
    return caught.value


def test_going_back_is_a_switch(site: Site) -> None:
    assert switch(site, "tiny", "2.0.0", Silent()).previous is None
    back = switch(site, "tiny", "1.0.0", Silent())
    assert (back.previous, back.changed, back.path.name) == ("2.0.0", True, "tiny-1.0.0")
    assert not switch(site, "tiny", "1.0.0", Silent()).changed


def test_what_the_site_does_not_hold_is_told_with_what_it_does(site: Site) -> None:
    error = refusal(site, "tiny", "3.0.0")
    assert (error.reference, error.expected) == ("bundle-not-imported", "one of: tiny-1.0.0, tiny-2.0.0")
    empty = Site(site.root / "no site")
    assert refusal(empty, "tiny", "1.0.0").reference == "bundle-not-imported"


def test_a_directory_that_holds_no_bundle_is_not_made_current(site: Site) -> None:
    site.path("tiny", "3.0.0").mkdir()
    assert refusal(site, "tiny", "3.0.0").reference == "site-malformed"


def test_two_bundles_that_share_a_directory_name_are_told_apart(site: Site, tmp_path: Path) -> None:
    other = Recipe(statement=put("predicate/name", "tiny-1.0")).write(tmp_path / "other")
    other.path.rename(site.path("tiny-1.0", "1.0.0"))
    assert site.path("tiny", "1.0-1.0.0") == site.path("tiny-1.0", "1.0.0")
    assert refusal(site, "tiny", "1.0-1.0.0").found == "tiny-1.0 1.0.0"
