"""A host that a depot's packet filter does not know yet."""

import pytest

from tests.site.operator import Operator
from tests.site.running import Site

pytestmark = pytest.mark.integration

RULES = "/etc/appliance/egress.nft"
# As they were before gpu1 was there.
FORGET = f"sed -i 's/10[.]99[.]0[.]12/10.99.0.99/g; s/fd99::12/fd99::99/g' {RULES} && nft --file {RULES}"


def test_the_playbook_alone_reaches_it(small_site: Site) -> None:
    depot, operator = small_site.depot, Operator(small_site.depot)
    depot.run(["sh", "-c", FORGET])
    enter = ["ssh", "-o", "ConnectTimeout=3", "gpu1", "true"]
    assert "timed out" in depot.attempt(enter).stderr
    asked = operator.attempt_playbook("--extra-vars", "preflight_kernel=99")
    assert asked.returncode != 0
    assert "error: gpu1 runs Linux" in asked.stderr, asked.stdout
    assert depot.attempt(enter).returncode == 0
