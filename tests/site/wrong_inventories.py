"""Inventories that cannot work, and what the operator is told of each."""

from dataclasses import dataclass
from typing import Any

from tests.site.operator import GROUPS, VARIABLES
from tests.support.light_bundle import NAME

GIVEN = {
    **VARIABLES,
    "appliance_bundle": NAME,
    "gateway_clients": [{"name": "operator", "roles": ["chat"]}],
}


@dataclass(frozen=True)
class Refusal:
    """The one block that the operator sees at the end."""

    what: str
    hint: str
    task: str
    hosts: str

    def __str__(self) -> str:
        return f"error: {self.what}\n  do:       {self.hint}\n  where:    {self.hosts}, in the task [{self.task}]\n"


ALL = "depot1, gpu1"
FORM = "inventory_check : Check the form of every role's variables"
DESCRIBED = "correct them in the inventory; roles/ROLE/meta/argument_specs.yml describes each of them"
UNKNOWN = (
    "correct the name, or leave the variable out: docs/site/inventory.md and roles/*/meta/argument_specs.yml list all "
    "of them"
)
TEXT = "write a list in brackets, as in [first, second], and a dictionary in braces, as in {name: value}"
STRUCTURED = "inventory_check : Demand lists and dictionaries where they are meant"
SERVES = "vllm : Read what this host serves"


WRONG_VARIABLES: dict[str, tuple[dict[str, Any], Refusal]] = {
    "a bundle that is not there": (
        {"appliance_bundle": "other"},
        Refusal(
            "There is no bundle /srv/appliance/current/other on the depot.",
            "import it first: appliance import DIRECTORY --root ROOT.json; or correct appliance_bundle in the "
            "inventory",
            "inventory_check : Demand the bundle",
            ALL,
        ),
    ),
    "a figure above the signed one": (
        {"vllm_limits": {"tiny-chat": {"max_num_seqs": 17}}},
        Refusal(
            f"vllm_limits, bundle {NAME} 1.0.0: the site asks for max_num_seqs 17, but the signed profile of tiny-chat "
            "allows at most 16",
            "lower it or leave it out: a site may narrow a profile, never widen it; a wider one needs a new, "
            "signed bundle",
            SERVES,
            "gpu1",
        ),
    ),
    "a figure that no profile has": (
        {"vllm_limits": {"tiny-chat": {"max_seqs": 4}}},
        Refusal(
            "vllm_limits.tiny-chat.max_seqs: is not known (found 4)",
            "correct vllm_limits in the inventory",
            SERVES,
            "gpu1",
        ),
    ),
    "two services at one port": (
        {"depot_token_port": 9100},
        Refusal(
            "Two services of depot1 would listen on the same TCP port. Its ports would be 5443, 8443, 9090, 9093, "
            "9100, 9100, 9443.",
            "give one of them another port in the inventory (depot_port, depot_token_port, depot_registry_port, "
            "gateway_port, gateway_metrics_port, monitoring_port, node_metrics_port)",
            "preflight : Demand a port of its own for each service",
            "depot1",
        ),
    ),
    "a model that the bundle does not have": (
        {"appliance_models": ["tiny-chta"]},
        Refusal(
            f"appliance_models names tiny-chta, which bundle {NAME} 1.0.0 does not serve",
            "correct it; the bundle serves tiny-chat",
            SERVES,
            "gpu1",
        ),
    ),
    "a misspelt variable": (
        {"gateway_client": []},
        Refusal(
            "The inventory sets gateway_client, which no role knows; gateway_clients is perhaps meant.",
            UNKNOWN,
            "inventory_check : Refuse variables that no role knows",
            ALL,
        ),
    ),
    "a misspelt key": (
        {"gateway_clients": [{"name": "operator", "roles": ["chat"], "finger_print": "AB"}]},
        Refusal(
            "variables in the inventory are not valid: gateway_clients.finger_print. Supported parameters "
            "include: fingerprint, models, name, roles.",
            DESCRIBED,
            FORM,
            ALL,
        ),
    ),
    "text for a list": (
        {"egress_client_networks": "192.0.2.0/24"},
        Refusal(
            "The inventory sets egress_client_networks as '192.0.2.0/24', which must be a list.",
            TEXT,
            STRUCTURED,
            ALL,
        ),
    ),
    "text for a dictionary": (
        {"gpu_mig": "all: false"},
        Refusal("The inventory sets gpu_mig as 'all: false', which must be a dictionary.", TEXT, STRUCTURED, ALL),
    ),
    "text for a figure": (
        {"gpu_power_watts": {"all": "500"}},
        Refusal(
            "gpu1: gpu_power_watts of all GPUs is '500', and must be a whole number, without quotes.",
            "write it like this: gpu_power_watts: {all: 500}, or {0: 500, 1: 450}",
            "gpu : Check limits of GPUs",
            "gpu1",
        ),
    ),
    "a client who has no certificate": (
        {"gateway_clients": [{"name": "reader", "roles": ["chat"]}]},
        Refusal(
            "gateway_clients gives reader no fingerprint, and the site's authority issues it no certificate "
            "(/etc/appliance/pki/clients/reader/client.pem is not there)",
            "add reader to pki_clients, or give the fingerprint of the certificate that reader has",
            "gateway : Read which models and clients there are",
            "gpu1",
        ),
    ),
    "a client with a model that its roles do not let it use": (
        {"gateway_clients": [{"name": "search", "roles": ["embedding"], "models": ["tiny-chat"]}]},
        Refusal(
            "gateway_clients lets search use tiny-chat, which has the task chat, but its roles are embedding",
            "add chat to the roles of search, or take tiny-chat off its models",
            "gateway : Read which models and clients there are",
            "gpu1",
        ),
    ),
}

WRONG_GROUPS: dict[str, tuple[dict[str, Any], Refusal]] = {
    "no host at all": (
        {"depot": {"hosts": {}}},
        Refusal(
            "The inventory /root/inventory names no host at all.",
            "give another one with --inventory, or correct this one",
            "Demand hosts",
            "localhost",
        ),
    ),
    "an empty group": (
        {**GROUPS, "inference": {"hosts": {}}},
        Refusal(
            'The inventory\'s group "inference" has no hosts.',
            "add at least one host, which may be the depot itself; the inventory's groups are depot, gateway, "
            "inference, monitoring",
            "inventory_check : Demand hosts that serve",
            "depot1",
        ),
    ),
    "a wrong name of a group": (
        {"depot": GROUPS["depot"], "inference": GROUPS["inference"], "gateways": GROUPS["gateway"]},
        Refusal(
            'The inventory\'s group "gateway" has no hosts.',
            "add at least one host, which may be the depot itself; the inventory's groups are depot, gateways, "
            "inference",
            "inventory_check : Demand hosts that serve",
            "depot1",
        ),
    ),
    "a host without a part": (
        {**GROUPS, "office": {"hosts": {"mail": {}}}},
        Refusal(
            'mail would be changed, but has no part in the site: it is in none of the groups "depot", "inference", '
            '"gateway" and "monitoring".',
            "add it to one of them, or remove it from the inventory; the inventory's groups are depot, gateway, "
            "inference, monitoring, office",
            "inventory_check : Demand a part for every host",
            "depot1",
        ),
    ),
}
