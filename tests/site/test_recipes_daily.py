"""docs/recipes about clients, certificates and logs, as an operator follows them on a site that lives.

The pages come in an order in which one leaves the site as the next finds it; test_recipes.py has those about hosts
and bundles.
"""

import pytest

from tests.site.operator import PROGRAMS, Operator
from tests.site.recipe import follow
from tests.site.running import Site
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

# As it will be one day after the last day of a list.
EXPIRED_LIST = """
import datetime, pathlib
from appliance_site.certificates import load_pair, revocation_list
top = pathlib.Path("/etc/appliance/pki")
authority = load_pair((top / "intermediate.pem").read_bytes(), (top / "intermediate.key").read_bytes())
yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
data = revocation_list(authority, [], yesterday - datetime.timedelta(days=397), yesterday, 1)
(top / "crl.pem").write_bytes(data + (top / "root-crl.pem").read_bytes())
"""


@pytest.fixture(scope="module")
def operator(small_site: Site) -> Operator:
    return Operator(small_site.depot)


def answer(operator: Operator) -> str:
    """What the model says to the client that was always there."""
    return "".join(operator.ask("operator", "chat")["parts"])


def test_the_tools_are_in_the_bundle(small_site: Site) -> None:
    follow(small_site.depot, "README.md")


def test_a_client_is_added(small_site: Site, operator: Operator) -> None:
    follow(small_site.depot, "add-a-client.md")
    assert "".join(operator.ask("search", "chat")["parts"]) == "good morning"
    assert operator.ask("search", "embedding")["status"] == 403
    again = operator.play(name="clients.yml")
    assert {recap.changed for recap in again.values()} == {0}


def test_a_client_is_revoked(small_site: Site, operator: Operator) -> None:
    follow(small_site.depot, "revoke-a-client.md")
    assert "certificate revoked" in operator.ask("search", "chat")["message"]
    assert answer(operator) == "good morning"


def test_the_audit_log_is_read(small_site: Site) -> None:
    follow(small_site.depot, "read-the-audit-log.md")


def test_certificates_are_renewed(small_site: Site, operator: Operator) -> None:
    said = follow(small_site.depot, "renew.md").splitlines()
    shown, issued = said[-2:]
    assert shown == issued
    assert answer(operator) == "good morning"


def test_an_expired_revocation_list_is_mended(small_site: Site, operator: Operator) -> None:
    expire_list(small_site)
    wait_for(lambda: "CRL has expired" in operator.ask("operator", "chat").get("message", ""), 60, pause=0.5)
    follow(small_site.depot, "expired-crl.md")
    assert "certificate revoked" in operator.ask("search", "chat")["message"]


def expire_list(small_site: Site) -> None:
    small_site.depot.run([f"{PROGRAMS}/python", "-c", EXPIRED_LIST])
    expired = small_site.depot.run(["cat", "/etc/appliance/pki/crl.pem"])
    for host in (small_site.depot, small_site.gpu1):
        host.put("/etc/appliance/tls/crl.pem", expired)
