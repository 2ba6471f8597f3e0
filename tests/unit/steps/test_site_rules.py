"""What a site's policy and memory do to an import and to a switch."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.documents.policy import POLICY_SCHEMA, SitePolicy
from appliance.model.progress import Silent
from appliance.steps.import_bundle import Imported, import_bundle
from appliance.steps.site.state import Memory
from appliance.steps.switch import Switched, switch
from appliance.steps.verify import read_trusted, verify
from appliance.store.log import Log
from appliance.store.site import Site
from tests.support.bundles import FIRST, NOW, RETIRED, SECOND, STRANGER, Recipe, Written, root_chain, root_document
from tests.support.forging import put
from tests.support.overrides import SITE, write_override
from tests.support.sites import holdings, version

DAY = timedelta(days=1)
AHEAD = timedelta(hours=20)  # as far as clocks may differ, and the tests take some time
ROTATED = (
    *root_chain(),
    root_document(
        3,
        (FIRST, STRANGER),
        signed_by=(FIRST, SECOND, STRANGER),
        revoked=(RETIRED, SECOND),
        change=put("created", (NOW - DAY / 2).strftime("%Y-%m-%dT%H:%M:%SZ")),
    ),
)


def demand(**keys: Any) -> SitePolicy:
    return SitePolicy(schema_=POLICY_SCHEMA, **keys)


NAMED = demand(site=SITE)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "srv/a site")


@pytest.fixture
def carry(tmp_path: Path) -> Callable[..., Written]:
    """Writes a bundle to a medium of its own."""
    count = iter(range(100))
    return lambda number="1.0.0", **changes: version(number, **changes).write(tmp_path / f"medium {next(count)}")


def take(written: Written, site: Site, **options: Any) -> Imported:
    return import_bundle(written.path, written.trusted, site, Silent(), **options)


def refused(act: Callable[[], Imported | Switched], site: Site) -> ApplianceError:
    """The refusal, after which the site is as it was."""
    before = holdings(site.root)
    with pytest.raises((NotTrusted, BadInput)) as caught:
        act()
    assert holdings(site.root) == before
    return caught.value


# What was accepted is remembered ---------------------------------------------------------------


def test_an_older_bundle_does_not_come_in_again(site: Site, carry: Callable[..., Written]) -> None:
    old = carry("1.0.0")
    take(old, site)
    take(carry("2.0.0"), site)
    error = refused(lambda: take(old, site), site)
    assert (error.reference, error.expected, error.found) == ("bundle-rollback", "at least tiny 2.0.0", "1.0.0")
    assert "appliance switch tiny 1.0.0" in error.hint
    assert switch(site, "tiny", "1.0.0", Silent()).changed  # what is held was accepted once


def test_a_version_whose_bundle_was_removed_is_remembered(site: Site, carry: Callable[..., Written]) -> None:
    held = take(carry("2.0.0"), site)
    shutil.rmtree(held.path)
    assert refused(lambda: take(carry("1.0.0"), site), site).reference == "bundle-rollback"
    other = carry("2.0.0", files={"models/tiny/model.safetensors": b"other"})
    assert refused(lambda: take(other, site), site).reference == "version-reused"
    assert take(carry("2.0.0"), site).written


def test_a_chain_that_the_site_has_gone_beyond_is_refused(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("1.0.0"), site)
    stolen = carry("2.0.0", roots=root_chain()[:1], signers=(FIRST, RETIRED))
    assert stolen.verify()  # nothing else is wrong with it
    error = refused(lambda: take(stolen, site), site)
    assert (error.reference, error.expected) == ("root-stale", "at least version 2")


def test_another_document_of_an_accepted_version_is_a_fork(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("1.0.0"), site)
    fork = root_document(2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED), threshold=1)
    other = carry("2.0.0", roots=(root_chain()[0], fork))
    assert other.verify()
    assert refused(lambda: take(other, site), site).reference == "root-forked"


def test_a_root_document_that_was_signed_once_more_is_no_fork(site: Site, carry: Callable[..., Written]) -> None:
    """What signatures it carries is not what it says, and whoever carries it could change them."""
    take(carry("1.0.0"), site)
    again = root_document(2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED), revoked=(RETIRED,))
    assert again != root_chain()[1]
    assert take(carry("2.0.0", roots=(root_chain()[0], again)), site).switched


def test_stolen_keys_are_undone_by_a_rotation(site: Site, carry: Callable[..., Written]) -> None:
    """A version that nothing can follow, signed by those who stole the keys, blocks nobody for good."""
    take(carry("1.0.0"), site)
    assert take(carry("999999999.0", created=NOW + AHEAD, expires=NOW + 300 * DAY), site).current == "999999999.0"
    assert refused(lambda: take(carry("1.1.0"), site), site).reference == "bundle-rollback"
    honest = carry("1.1.0", roots=ROTATED, signers=(FIRST, STRANGER))
    assert take(honest, site).current == "1.1.0"


def test_a_rotation_brings_no_old_bundle_back(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("2.0.0", created=NOW - DAY), site)
    rotated = (*root_chain(), root_document(3, (FIRST, SECOND, STRANGER), revoked=(RETIRED,)))
    old = carry("1.0.0", created=NOW - 2 * DAY, roots=rotated)
    assert old.verify()
    assert refused(lambda: take(old, site), site).reference == "bundle-rollback"


def test_a_clock_that_was_turned_back_makes_nothing_young(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("1.0.0", created=NOW + AHEAD), site)
    error = refused(lambda: take(carry("1.1.0", expires=NOW + DAY / 2), site), site)
    assert (error.reference, error.found) == ("bundle-expired", (NOW + AHEAD).strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_a_bundle_cannot_have_been_made_after_its_root_expired(site: Site, carry: Callable[..., Written]) -> None:
    """Or a stolen key could drive time as far as it likes."""
    first, _ = root_chain()
    ends = root_document(
        2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED), revoked=(RETIRED,), expires=NOW + DAY / 2
    )
    late = carry("1.0.0", roots=(first, ends), created=NOW + AHEAD, expires=NOW + 600 * DAY)
    assert refused(lambda: take(late, site), site).reference == "root-expired"


def test_a_bundle_from_the_future_blocks_nobody(site: Site, carry: Callable[..., Written]) -> None:
    """What it would have done: the site's time goes on by 200 days, and every honest bundle has expired by then."""
    late = carry("1.0.0", created=NOW + 200 * DAY, expires=NOW + 300 * DAY)
    assert refused(lambda: take(late, site), site).reference == "bundle-ahead"
    assert take(carry("1.1.0"), site).switched


def test_a_site_whose_memory_is_gone_says_so(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("2.0.0"), site)
    take(carry("1.0.0", statement=put("predicate/name", "other"), index=put("name", "other")), site)
    before = Memory(site, NAMED, Silent()).load()
    (site.state / "state.json").unlink()
    newer = carry("3.0.0")
    for act in (lambda: take(newer, site), lambda: switch(site, "tiny", "2.0.0", Silent())):
        assert refused(act, site).reference == "state-missing"
    assert Memory(site, NAMED, Silent()).rebuild(read_trusted(newer.trusted)) == before
    assert [line.entry.event for line in Log(site.root).lines()][-1] == "rebuild"
    assert refused(lambda: take(carry("1.0.0"), site), site).reference == "bundle-rollback"
    assert take(newer, site).switched


def test_a_memory_made_anew_keeps_what_is_left_of_the_old_one(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("1.0.0"), site)
    shutil.rmtree(take(carry("2.0.0"), site).path)
    Memory(site, NAMED, Silent()).rebuild(read_trusted(carry("1.0.0").trusted))
    assert refused(lambda: take(carry("1.5.0"), site), site).reference == "bundle-rollback"


# What a policy demands -------------------------------------------------------------------------


def _demo(root: dict[str, Any]) -> None:
    for entry in root["keys"].values():
        entry["use"] = "demo"


DEMANDS: dict[str, tuple[SitePolicy, Recipe, str]] = {
    "more signers than the root": (demand(release_threshold=3), Recipe(), "signatures-missing"),
    "fewer signers than the root": (demand(release_threshold=1), Recipe(signers=(FIRST,)), "signatures-missing"),
    "a newer version": (demand(lowest_versions={"tiny": "1.0.1"}), Recipe(), "version-below-lowest"),
    "a profile": (demand(profiles=("cnsa-2.0",)), Recipe(), "root-not-co-signed"),
    "no demo keys": (
        demand(demo_keys="refuse"),
        Recipe(roots=(root_document(1, (FIRST, SECOND), change=_demo),)),
        "demo-key-refused",
    ),
}


@pytest.mark.parametrize(("demands", "recipe", "reference"), DEMANDS.values(), ids=list(DEMANDS))
def test_a_policy_only_makes_it_stricter(
    demands: SitePolicy, recipe: Recipe, reference: str, site: Site, tmp_path: Path
) -> None:
    written = recipe.write(tmp_path / "medium")
    assert refused(lambda: take(written, site, demands=demands), site).reference == reference
    with pytest.raises(NotTrusted) as caught:
        verify(written.path, written.trusted, Silent(), demands=demands)
    assert caught.value.reference == reference


def test_what_meets_the_policy_comes_in(site: Site, carry: Callable[..., Written]) -> None:
    demands = demand(release_threshold=2, lowest_versions={"tiny": "1.0", "other": "9.9"}, demo_keys="refuse")
    assert take(carry("1.0.0"), site, demands=demands).switched


def test_a_held_version_below_the_lowest_does_not_become_current(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("1.0.0"), site)
    take(carry("2.0.0"), site)
    raised = demand(lowest_versions={"tiny": "1.5"}, site=SITE)
    error = refused(lambda: switch(site, "tiny", "1.0.0", Silent(), demands=raised), site)
    assert error.reference == "version-below-lowest"
    override = write_override(carry("1.0.0"), "expired", "rollback")
    assert refused(
        lambda: switch(site, "tiny", "1.0.0", Silent(), demands=raised, override=override), site
    ).reference == ("version-below-lowest")


# Overrides -------------------------------------------------------------------------------------


def test_an_override_lets_an_old_bundle_in_and_leaves_current_to_people(
    site: Site, carry: Callable[..., Written]
) -> None:
    old = carry("1.0.0")
    take(carry("2.0.0"), site)
    override = write_override(old, "rollback")
    imported = take(old, site, demands=NAMED, override=override)
    assert (imported.written, imported.switched, imported.current) == (True, False, "2.0.0")
    assert imported.overridden == ("rollback",)
    assert refused(lambda: take(old, site), site).reference == "bundle-rollback"  # nothing was taken back
    assert switch(site, "tiny", "1.0.0", Silent()).changed


def test_an_override_lets_an_expired_bundle_in_and_become_current(site: Site, carry: Callable[..., Written]) -> None:
    old = carry("1.0.0", expires=NOW - DAY / 48)
    assert refused(lambda: take(old, site), site).reference == "bundle-expired"
    override = write_override(old, "expired")
    imported = take(old, site, demands=NAMED, override=override)
    assert (imported.current, imported.overridden) == ("1.0.0", ("expired",))
    again = take(old, site, demands=NAMED, override=override)
    assert (again.written, again.overridden) == (False, ("expired",))

    take(carry("2.0.0"), site)
    assert refused(lambda: switch(site, "tiny", "1.0.0", Silent(), demands=NAMED), site).reference == "bundle-expired"
    back = switch(site, "tiny", "1.0.0", Silent(), demands=NAMED, override=override)
    assert (back.changed, back.overridden) == (True, ("expired",))


def test_each_thing_has_to_be_allowed(site: Site, carry: Callable[..., Written]) -> None:
    old = carry("1.0.0", expires=NOW - DAY / 48)
    take(carry("2.0.0"), site)
    for allows, reference in ((["expired"], "bundle-rollback"), (["rollback"], "bundle-expired")):
        override = write_override(old, *allows)
        assert refused(lambda: take(old, site, demands=NAMED, override=override), site).reference == reference  # noqa: B023
    override = write_override(old, "expired", "rollback")
    assert take(old, site, demands=NAMED, override=override).overridden == ("rollback", "expired")


def test_nothing_else_is_overridden(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("1.0.0"), site)
    reused = carry("1.0.0", files={"models/tiny/model.safetensors": b"other"})
    changed = carry("1.1.0")
    (changed.path / "models/tiny/empty.txt").write_bytes(b"x")
    stale = carry("1.2.0", roots=root_chain()[:1], signers=(FIRST, RETIRED))
    for written, reference in ((reused, "version-reused"), (changed, "file-mismatch"), (stale, "root-stale")):
        override = write_override(written, "expired", "rollback")
        assert refused(lambda: take(written, site, demands=NAMED, override=override), site).reference == reference  # noqa: B023


BAD_OVERRIDES: dict[str, tuple[dict[str, Any], SitePolicy, str]] = {
    "for another site": ({}, demand(site="plant-8"), "override-site"),
    "for a site without a name": ({}, demand(), "override-site"),
    "for another version": ({"change": put("version", "1.0.1")}, NAMED, "override-bundle"),
    "for another bundle": ({"change": put("name", "other")}, NAMED, "override-bundle"),
    "for other content": ({"change": put("sha256sums", "0" * 64)}, NAMED, "override-bundle"),
    "expired itself": ({"change": put("expires", NOW.strftime("%Y-%m-%dT%H:%M:%SZ"))}, NAMED, "override-expired"),
    "by too few": ({"signers": (FIRST,)}, NAMED, "override-threshold"),
    "by nobody": ({"signers": ()}, NAMED, "override-threshold"),
    "by fewer than the policy demands": ({}, demand(site=SITE, release_threshold=3), "signatures-missing"),
    "by a revoked key": ({"signers": (FIRST, RETIRED)}, NAMED, "override-signature"),
    "by a stranger": ({"signers": (FIRST, SECOND, STRANGER)}, NAMED, "override-signature"),
    "allows anything else": ({"change": put("allows", ["expired", "signatures"])}, NAMED, "override-malformed"),
    "allows nothing": ({"change": put("allows", [])}, NAMED, "override-malformed"),
    "allows in another order": ({"change": put("allows", ["rollback", "expired"])}, NAMED, "override-malformed"),
    "without a reason": ({"change": put("reason", "")}, NAMED, "override-malformed"),
    "of another schema": ({"change": put("schema", "appliance.override/v2")}, NAMED, "override-malformed"),
    "with more keys": ({"change": put("also", "x")}, NAMED, "override-malformed"),
}


@pytest.mark.parametrize(("wrong", "demands", "reference"), BAD_OVERRIDES.values(), ids=list(BAD_OVERRIDES))
@pytest.mark.parametrize("expired", [True, False], ids=["needed", "not needed"])
def test_a_bad_override_is_refused_whether_it_is_needed_or_not(
    wrong: dict[str, Any],
    demands: SitePolicy,
    reference: str,
    expired: bool,
    site: Site,
    carry: Callable[..., Written],
) -> None:
    written = carry("1.0.0", expires=NOW - DAY / 48 if expired else NOW + DAY)
    override = write_override(written, "expired", **wrong)
    error = refused(lambda: take(written, site, demands=demands, override=override), site)
    assert error.reference == reference
    assert not site.root.exists()


def test_an_override_ends_by_the_time_that_bundles_prove(site: Site, carry: Callable[..., Written]) -> None:
    take(carry("1.0.0", created=NOW + AHEAD, expires=NOW + 9 * DAY), site)
    old = carry("1.1.0", expires=NOW + DAY / 2)
    override = write_override(old, "expired", change=put("expires", (NOW + DAY / 2).strftime("%Y-%m-%dT%H:%M:%SZ")))
    assert refused(lambda: take(old, site, demands=NAMED, override=override), site).reference == "override-expired"


def test_keys_that_were_revoked_since_sign_no_override(site: Site, carry: Callable[..., Written]) -> None:
    old = carry("1.0.0", expires=NOW - DAY / 48)
    override = write_override(old, "expired")
    take(old, site, demands=NAMED, override=override)
    take(carry("2.0.0", roots=ROTATED, signers=(FIRST, STRANGER)), site)
    error = refused(lambda: switch(site, "tiny", "1.0.0", Silent(), demands=NAMED, override=override), site)
    assert error.reference == "override-signature"
    override = write_override(old, "expired", signers=(FIRST, STRANGER))
    assert switch(site, "tiny", "1.0.0", Silent(), demands=NAMED, override=override).changed


def test_a_switch_that_needs_a_root_document_which_is_gone_says_so(site: Site, carry: Callable[..., Written]) -> None:
    old = carry("1.0.0", expires=NOW - DAY / 48)
    override = write_override(old, "expired")
    take(old, site, demands=NAMED, override=override)
    shutil.rmtree(take(carry("2.0.0", roots=ROTATED, signers=(FIRST, STRANGER)), site).path)
    error = refused(lambda: switch(site, "tiny", "1.0.0", Silent(), demands=NAMED, override=override), site)
    assert error.reference == "root-unreadable"


def test_two_runs_that_have_read_the_same_memory_do_not_pass_each_other(
    site: Site, carry: Callable[..., Written], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is judged once more by what the first has written meanwhile."""
    empty = Memory(site, NAMED, Silent()).load()
    take(carry("2.0.0", roots=ROTATED, signers=(FIRST, STRANGER)), site)
    with monkeypatch.context() as patch:
        patch.setattr(Memory, "load", lambda self: empty)
        older = carry("1.0.0", roots=ROTATED, signers=(FIRST, STRANGER))
        assert refused(lambda: take(older, site), site).reference == "bundle-rollback"
        assert refused(lambda: take(carry("3.0.0"), site), site).reference == "root-stale"
