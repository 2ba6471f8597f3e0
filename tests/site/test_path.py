"""The whole path on real hosts: from two bare ones and a carried bundle to answers, and back to nothing allowed out."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.site.hosts import Host
from tests.site.plan import MEDIUM, NETWORK_V4, NETWORK_V6, OUTSIDE
from tests.site.probe import Probe, reached
from tests.site.running import Site, running_site
from tests.support.demo import Demo

pytestmark = [pytest.mark.integration, pytest.mark.demo, pytest.mark.path]

PLAYBOOKS = "/opt/appliance/current/playbooks"
ENVIRONMENT = "/opt/appliance/current/bin"
INVENTORY = "/root/inventory"
VARIABLES = f"""\
appliance_bundle: demo
appliance_root: /srv/appliance
appliance_depot_host: depot
ansible_user: root
depot_token_hosts: [gpu1]
egress_rollback: 240
pki_clients: [operator, reader]
gateway_clients:
  - {{name: operator, roles: [chat, embedding]}}
  - {{name: reader, roles: [embedding]}}
egress_client_networks: ["{NETWORK_V4}", "{NETWORK_V6}"]
egress_admin_networks: ["{NETWORK_V4}", "{NETWORK_V6}"]
"""
PROBES = {
    Probe(protocol, address, port)
    for address in (OUTSIDE.v4, OUTSIDE.v6)
    for protocol, port in (("tcp", 80), ("tcp", 443), ("udp", 53), ("icmp", 0))
}
# What a person would write with the stock client, in the control environment's Python.
CLIENT = """\
import json, math, ssl, sys
import httpx2, openai

name, task = sys.argv[1:]
folder = f"/etc/appliance/pki/clients/{name}"
context = ssl.create_default_context(cafile="/etc/appliance/pki/ca.pem")
context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
session = httpx2.Client(verify=context)
client = openai.OpenAI(base_url="https://gpu1/v1", api_key="unused", http_client=session, max_retries=0)
if task == "chat":
    stream = client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": "Good morning"}], max_tokens=16, stream=True
    )
    print(json.dumps([part.choices[0].delta.content or "" for part in stream if part.choices]))
else:
    texts = ["The cat sits on the mat.", "A feline is resting on a rug.", "Quarterly revenue grew by ten percent."]
    vectors = [item.embedding for item in client.embeddings.create(model="all-minilm-l6-v2", input=texts).data]
    cosine = lambda a, b: sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)
    print(json.dumps([cosine(vectors[0], vectors[1]), cosine(vectors[0], vectors[2])]))
"""


@dataclass
class Installed:
    """A site after the playbook, and how long each part took, in seconds."""

    site: Site
    before: set[Probe]
    refusal: str
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def depot(self) -> Host:
        return self.site.depot

    @property
    def gpu1(self) -> Host:
        return self.site.gpu1


def playbook() -> list[str]:
    """The operator's command."""
    return ["sh", "-c", f"cd {PLAYBOOKS} && exec {ENVIRONMENT}/ansible-playbook --inventory {INVENTORY} site.yml"]


@pytest.fixture(scope="module")
def installed(demo: Demo) -> Iterator[Installed]:
    with running_site(bundle=demo.path) as site:
        depot = site.depot
        depot.put("/root/root.json", demo.root.read_text())
        depot.put(f"{INVENTORY}/group_vars/all.yml", VARIABLES)
        groups = {
            "depot": {"hosts": {"depot": {"ansible_connection": "local"}}},
            "inference": {"hosts": {"gpu1": {}}},
            "gateway": {"hosts": {"gpu1": {}}},
        }
        depot.put(f"{INVENTORY}/hosts.yml", json.dumps(groups))
        depot.put("/root/client.py", CLIENT)
        result = Installed(site, reached(site.gpu1.run, PROBES), "")
        (wheel,) = (path.name for path in (demo.path / "wheels/control").glob("appliance-*.whl"))

        def timed(what: str, argv: list[str]) -> str:
            begin = time.monotonic()
            output = depot.run(argv, timeout=1500)
            result.seconds[what] = time.monotonic() - begin
            return output

        bootstrap = f"{MEDIUM}/wheels/control/{wheel}/appliance/bootstrap"
        timed("bootstrap", ["python3", bootstrap, MEDIUM, "--root", "/root/root.json"])
        result.refusal = depot.attempt(playbook(), timeout=300).stdout
        depot.put(f"{INVENTORY}/group_vars/all.yml", VARIABLES + "preflight_internet_expected: true\n")
        timed("first run", playbook())
        yield result
        print("\n" + "\n".join(f"{what}: {took:.0f} s" for what, took in result.seconds.items()))


def ask(installed: Installed, name: str, task: str) -> str:
    return installed.depot.run([f"{ENVIRONMENT}/python", "/root/client.py", name, task], timeout=120)


def test_a_host_that_reaches_the_internet_is_refused_first(installed: Installed) -> None:
    assert "internet" in installed.refusal


def test_embeddings_mean_something(installed: Installed) -> None:
    close, far = json.loads(ask(installed, "operator", "embedding"))
    assert close > 0.5
    assert close > far + 0.3


def test_a_chat_is_streamed(installed: Installed) -> None:
    parts = json.loads(ask(installed, "operator", "chat"))
    assert len(parts) > 2
    assert "".join(parts).strip()


def test_a_client_without_the_role_is_refused_and_nothing_reaches_the_model(installed: Installed) -> None:
    before = installed.gpu1.journal("--unit", "vllm-tiny-chat", "--output", "cat").count("POST /v1/chat/completions")
    refused = installed.depot.attempt([f"{ENVIRONMENT}/python", "/root/client.py", "reader", "chat"], timeout=120)
    assert "403" in refused.stderr
    after = installed.gpu1.journal("--unit", "vllm-tiny-chat", "--output", "cat").count("POST /v1/chat/completions")
    assert after == before
    audit = installed.gpu1.run(["cat", "/var/log/appliance-gateway/audit.log"]).splitlines()
    assert json.loads(audit[-1])["status"] in (403, "403")


def test_stock_clients_are_served_by_the_depot_alone(installed: Installed, demo: Demo) -> None:
    gpu1 = installed.gpu1
    gpu1.run(["apt-get", "update"], timeout=120)
    gpu1.run(["apt-get", "install", "--yes", "jq"], timeout=120)
    digest = demo.artifact("images", "vllm-cpu")["details"]["manifest_digest"]
    gpu1.run(["podman", "pull", "--quiet", f"depot:5443/vllm-cpu@{digest}"], timeout=300)
    hub = "set -a; . /etc/appliance/clients/huggingface.env; set +a; printf %s $HF_ENDPOINT"
    assert gpu1.run(["sh", "-c", hub]) == "https://depot:8444/demo/hf"


def test_nothing_gets_out(installed: Installed) -> None:
    assert installed.before == PROBES, "the positive control: outside answers while nothing forbids it"
    model = "vllm-tiny-chat"
    for run in (
        installed.gpu1.run,
        installed.depot.run,
        lambda argv, **options: installed.gpu1.run(["podman", "exec", model, *argv], **options),
    ):
        assert reached(run, PROBES) == set()


def test_a_second_run_changes_nothing(installed: Installed) -> None:
    begin = time.monotonic()
    output = installed.depot.run(playbook(), timeout=900)
    installed.seconds["second run"] = time.monotonic() - begin
    recap = [line for line in output.splitlines() if "changed=" in line]
    assert recap
    assert all("changed=0" in line and "failed=0" in line for line in recap), "\n".join(recap)
