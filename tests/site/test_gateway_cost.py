"""What the gateway of a real site costs beside its embedding model's socket, and beside a plain nginx."""

import json
from collections.abc import Callable

import pytest

from tests.bench.gateway import HEAD, as_rows
from tests.conftest import SUMMARY
from tests.site.installed import GIVEN, Installed
from tests.support.project import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.demo, pytest.mark.long]

FREE = {"gateway_requests_per_second": 100_000, "gateway_burst": 100_000}
PLACE = "/root/asking"
MODEL = "all-minilm-l6-v2"
SOCKET = f"/run/appliance/vllm/{MODEL}/api.sock"
# What TLS and a second process cost in any case, whatever the gateway does beside it.
PLAIN = f"""\
user root;
pid {PLACE}/plain.pid;
error_log stderr emerg;
events {{}}
http {{
    access_log off;
    ssl_certificate /etc/appliance/tls/host.pem;
    ssl_certificate_key /etc/appliance/tls/host.key;
    upstream model {{
        server unix:{SOCKET};
        keepalive 8;
    }}
    server {{
        listen 8443 ssl;
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host localhost;
            proxy_buffering off;
        }}
    }}
}}
"""


def test_what_the_gateway_costs(installed: Installed, record_property: Callable[[str, object], None]) -> None:
    gpu1, depot = installed.gpu1, installed.site.depot
    gpu1.put(f"{PLACE}/asking.py", (REPOSITORY / "tests/bench/asking.py").read_text())
    for name in ("client.pem", "client.key"):
        gpu1.put(f"{PLACE}/{name}", depot.run(["cat", f"/etc/appliance/pki/clients/operator/{name}"]), mode="0600")
    gpu1.put(f"{PLACE}/ca.pem", depot.run(["cat", "/etc/appliance/pki/ca.pem"]))
    gpu1.put(f"{PLACE}/plain.conf", PLAIN)
    installed.operator.write_inventory(GIVEN | FREE)
    try:
        installed.operator.play()
        plain = ["/usr/sbin/nginx", "-e", "stderr", "-c", f"{PLACE}/plain.conf"]
        # Forking: it listens when this returns.  Its priority is the gateway's.
        gpu1.run(["systemd-run", "--unit=plain-nginx", "--property=Type=forking", "--property=Nice=-10", *plain])
        argv = [
            "python3",
            "-B",
            f"{PLACE}/asking.py",
            SOCKET,
            MODEL,
            PLACE,
            "plain nginx=gpu1:8443",
            "gateway=gpu1:443",
        ]
        told = json.loads(gpu1.run(argv, timeout=1200))
    finally:
        gpu1.attempt(["systemctl", "stop", "plain-nginx.service"])
        gpu1.run(["rm", "-r", PLACE])
        installed.operator.write_inventory(GIVEN)
        installed.operator.play()
    record_property(SUMMARY, "\n".join([HEAD, *as_rows(MODEL, told)]))
    ways = {(entry["connections"], entry["way"]): entry for entry in told}
    for connections in (1, 8):
        own, plain = ways[connections, "gateway"], ways[connections, "plain nginx"]
        # Asked in turns, which a busy machine slows alike; docs/benchmarks.md has the aims of an idle one.
        assert own["p50"] < 1.2 * plain["p50"] + 1
        assert own["rate"] > 0.8 * plain["rate"]
