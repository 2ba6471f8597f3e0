"""Sends mutated requests to the gateway of gpu1 from another host.

    python3 -m tests.site.mutating SEED REQUESTS PROMPT CERTIFICATES ...

CERTIFICATES are directories with client.pem and client.key, or "none"; requests are shared
out among them.  Prints how often each status was answered, as JSON.  Runs with the host's
own Python; ``mutate`` brings it there.
"""

import json
import socket
import ssl
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.support.http_answers import talk
from tests.support.mutated_requests import mutated

if TYPE_CHECKING:
    from tests.site.hosts import Host

_PLACE = "/root/mutating"
_FILES = ("tests/site/mutating.py", "tests/support/http_answers.py", "tests/support/mutated_requests.py")
_SEED = 9
_LAST = b"GET /v1/models HTTP/1.1\r\nHost: gpu1\r\nConnection: close\r\n\r\n"


def mutate(host: "Host", certificates: list[str], requests: int, prompt: str) -> dict[str, int]:
    """Send them from ``host``; how often each status was answered."""
    repository = Path(__file__).parents[2]
    for name in _FILES:
        host.put(f"{_PLACE}/{name}", (repository / name).read_text())
    command = ["python3", "-B", "-m", "tests.site.mutating", str(_SEED), str(requests), prompt, *certificates]
    told: dict[str, int] = json.loads(host.run(["env", f"PYTHONPATH={_PLACE}", *command], timeout=600))
    return told


def main(seed: str, requests: str, prompt: str, *certificates: str) -> None:
    random = Random(int(seed))  # noqa: S311 - not for secrets
    statuses = Counter[int]()
    for number in range(int(requests)):
        place = random.choice(certificates)
        context = ssl.create_default_context(cafile="/etc/appliance/pki/ca.pem")
        if place != "none":
            context.load_cert_chain(f"{place}/client.pem", f"{place}/client.key")
        data = mutated(random, Path(place).name, number, prompt) + _LAST
        with context.wrap_socket(socket.create_connection(("gpu1", 443)), server_hostname="gpu1") as link:
            statuses.update(reply.status for reply in talk(link, data).replies)
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(*sys.argv[1:])
