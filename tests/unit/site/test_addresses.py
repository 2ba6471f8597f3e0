"""How names of hosts become peers of a packet filter."""

import pytest

from appliance.errors import BadInput
from tests.support.role_files import filters

ADDRESSES = filters("addresses")


def test_what_the_inventory_says_counts_first() -> None:
    hosts = [
        {"inventory_hostname": "gpu1", "ansible_host": "192.0.2.9", "egress_addresses": ["2001:db8::2", "192.0.2.2"]},
        {"inventory_hostname": "gpu2", "ansible_host": "192.0.2.3"},
        {"inventory_hostname": "depot", "ansible_connection": "local"},
    ]
    assert ADDRESSES.addresses(hosts, "192.0.2.1") == ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::2"]


def test_a_name_that_leads_nowhere_is_told_with_its_host() -> None:
    host = {"inventory_hostname": "gpu1", "ansible_host": "localhost"}
    with pytest.raises(BadInput, match="localhost, the name of host gpu1, has no address on the depot"):
        ADDRESSES.addresses([host], "depot")


def test_peers_are_sorted_by_version_and_never_overlap() -> None:
    peers = ["192.0.2.0/24", "192.0.2.7", "2001:db8::/64", "198.51.100.1"]
    assert ADDRESSES.prefixes(peers, 4) == ["192.0.2.0/24", "198.51.100.1"]
    assert ADDRESSES.prefixes(peers, 6) == ["2001:db8::/64"]


def test_half_a_prefix_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'192\.0\.2\.1/24' is neither an address nor a prefix"):
        ADDRESSES.prefixes(["192.0.2.1/24"], 4)


def test_within() -> None:
    assert ADDRESSES.within("192.0.2.7", ["192.0.2.0/24"])
    assert not ADDRESSES.within("192.0.3.7", ["192.0.2.0/24", "2001:db8::/64"])
