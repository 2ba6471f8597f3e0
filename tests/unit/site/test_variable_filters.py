"""Variables of an inventory that no role would ever read, or that are not what a role takes them for."""

import pytest

from tests.support.role_files import SITE, filters

VARIABLES = filters("variables")
ROLES = str(SITE / "roles")


def test_every_variable_of_every_role_is_known() -> None:
    names = [
        name for role in VARIABLES.roles_with_variables(ROLES) for name in VARIABLES.argument_specification(ROLES, role)
    ]
    assert {"gateway_clients", "vllm_limits", "egress_client_networks", "pki_mode"} <= set(names)
    assert VARIABLES.unknown_variables([*names, "appliance_bundle"], ROLES) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gateway_client", "gateway_client, which no role knows; gateway_clients is perhaps meant"),
        ("gatway_clients", "gatway_clients, which no role knows; gateway_clients is perhaps meant"),
        ("appliance_bundel", "appliance_bundel, which no role knows; appliance_bundle is perhaps meant"),
        ("egress_open_everything", "egress_open_everything, which no role knows"),
    ],
)
def test_a_misspelt_variable_is_told_with_the_one_that_is_like_it(name: str, said: str) -> None:
    assert VARIABLES.unknown_variables([name], ROLES) == [said]


@pytest.mark.parametrize("name", ["ansible_host", "inventory_hostname", "rack", "depots", "__gateway_client", "pki"])
def test_variables_of_others_are_nobodys_business(name: str) -> None:
    assert VARIABLES.unknown_variables([name], ROLES) == []


def test_a_specification_leaves_defaults_to_the_role() -> None:
    specification = VARIABLES.argument_specification(ROLES, "gateway")
    assert not any("default" in option for option in specification.values())
    assert specification["gateway_port"]["type"] == "int"
    assert set(specification["gateway_clients"]["options"]) == {"name", "roles", "fingerprint", "models"}


def test_text_is_no_list_and_no_dictionary() -> None:
    values = {"egress_client_networks": "192.0.2.0/24", "appliance_models": "tiny-chat", "pki_mode": "own", "x": "y"}
    assert VARIABLES.textual_variables(values | {"gpu_mig": '{"all": false}'}, ROLES) == [
        "appliance_models as 'tiny-chat', which must be a list",
        "egress_client_networks as '192.0.2.0/24', which must be a list",
        "gpu_mig as '{\"all\": false}', which must be a dictionary",
    ]
    taken = {"egress_client_networks": ["192.0.2.0/24"], "gpu_mig": {"all": False}}
    assert VARIABLES.textual_variables(taken, ROLES) == []
