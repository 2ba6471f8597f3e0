"""``appliance verify``, as people and programs see it."""

from tests.support.bundles import CNSA, Recipe
from tests.support.people import Desk


def test_a_profile_is_demanded_by_an_option_or_by_a_policy(desk: Desk) -> None:
    CNSA.write(desk.folder / "good")
    Recipe().write(desk.folder / "plain")
    (desk.folder / "policy.yaml").write_text("schema: appliance.policy/v1\nprofiles: [cnsa-2.0]\n")
    for demand in (["--profile", "cnsa-2.0"], ["--policy", "policy.yaml"]):
        told = desk.json("verify", "good/bundle", "--root", "good/root.json", *demand)
        assert len(told["signers"]) == 4
        refused = desk.refusal("verify", "plain/bundle", "--root", "plain/root.json", *demand, code=3)
        assert refused == "root-not-co-signed"
    desk.run("verify", "plain/bundle", "--root", "plain/root.json")
    assert desk.refusal("verify", "good/bundle", "--root", "good/root.json", "--profile", "cnsa", code=2) == "usage"
