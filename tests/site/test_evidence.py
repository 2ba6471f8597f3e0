"""What a real site writes down of itself: what each host runs, asked of the host, once."""

import json
from typing import Any

import pytest

from tests.site.operator import ROOT, Operator
from tests.site.plan import MEDIUM
from tests.site.running import Site
from tests.support.advisories import fixed_in, hole, snapshot, tracker
from tests.support.light_bundle import LightBundles
from tests.support.oscal import read
from tests.support.role_files import role_file

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def operator(small_site: Site) -> Operator:
    return Operator(small_site.depot)


def entries(operator: Operator) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(operator.appliance("log", "show", "--json").stdout)["entries"]
    return shown


def test_each_host_is_written_down_once_and_after_all_else(operator: Operator) -> None:
    before = [(entry["event"], entry["details"].get("host")) for entry in entries(operator)]
    assert [event for event, _ in before[:3]] == ["import", "root", "switch"]
    assert sorted(before[3:]) == [("install", "depot1"), ("install", "gpu1")]
    assert all(host.changed == 0 for host in operator.play().values())
    assert len(entries(operator)) == len(before)


def test_a_model_is_known_by_its_image_and_its_weights(operator: Operator, small: LightBundles) -> None:
    (runs,) = (entry["details"] for entry in entries(operator) if entry["details"].get("host") == "gpu1")
    index = json.loads((small.folder / "release/demo-0.1.0/bundle.json").read_bytes())
    (image,) = (artifact for artifact in index["artifacts"] if artifact["kind"] == "images")
    assert runs["models"]["tiny-chat"]["image"] == image["details"]["manifest_digest"]
    assert runs["bundle"]["name"] == "demo"
    assert {"/etc/appliance/gateway/nginx.conf", "/etc/containers/systemd/vllm-tiny-chat.container"} <= set(
        runs["files"]
    )
    assert {"nginx", "podman", "linux-base"} & set(runs["packages"])
    told = operator.depot.run(["sha256sum", "/etc/appliance/depot/nginx.conf"]).split()[0]
    (depot,) = (entry["details"] for entry in entries(operator) if entry["details"].get("host") == "depot1")
    assert depot["files"]["/etc/appliance/depot/nginx.conf"] == told


def test_an_auditor_finds_that_everything_fits(operator: Operator) -> None:
    assert operator.appliance("log", "head", "--out", "/root/head.json").returncode == 0
    operator.depot.run(["cp", "/srv/appliance/receipts/site.pub.pem", "/root"])
    kept = ["--key", "/root/site.pub.pem", "--head", "/root/head.json"]
    assert operator.appliance("log", "check", *kept).returncode == 0
    audited = operator.appliance("audit", "--root", ROOT, *kept, "--json", "--out", "/root/report.html")
    report = json.loads(audited.stdout)
    assert (audited.returncode, report["fits"]) == (0, True), report["findings"]
    assert {host["install"]["host"] for host in report["hosts"]} == {"depot1", "gpu1"}
    (gpu1,) = (host for host in report["hosts"] if host["install"]["host"] == "gpu1")
    assert [(model["name"], model["bundles"]) for model in gpu1["models"]] == [("tiny-chat", ["demo 0.1.0"])]
    assert gpu1["from_bundle"] > 50
    # The base system is as it was carried in; what the playbook has installed is the bundle's.
    assert not {"nginx", "podman", "nftables"} & {line.split()[0] for line in gpu1["other_version"]}
    assert "demo 0.1.0, current" in operator.depot.run(["cat", "/root/report.html"])


# What no version has: a hole of a package of hosts, and of one that only the image has.
HOLES = {
    "nginx": {"CVE-2026-99991": hole(trixie=fixed_in("9999-1"))},
    "python3-defaults": {"CVE-2026-99992": hole(trixie=fixed_in("9999-1"))},
}
ADVISORIES = """\
schema: appliance.definition/v1
name: advisories
version: 2026.11.22
description: What is known on a day
advisories: {today: {directory: today, licence: various}}
"""


def test_a_snapshot_that_is_carried_in_alone_names_hosts_and_models(operator: Operator, small: LightBundles) -> None:
    (small.folder / "today").mkdir()
    for name, data in (snapshot() | {"debian.json": tracker(HOLES)}).items():
        (small.folder / "today" / name).write_bytes(data)
    (small.folder / "advisories.yaml").write_text(ADVISORIES)
    carried = small.sign("advisories", "2026.11.22")
    imported = operator.appliance("import", f"{MEDIUM}/{carried.name}", "--root", ROOT)
    assert imported.returncode == 0, imported.stderr
    kept = ["--key", "/root/site.pub.pem", "--head", "/root/head.json", "--oscal", "/root/results.json"]
    audited = operator.appliance("audit", "--root", ROOT, *kept, "--json")
    report = json.loads(audited.stdout)
    assert (audited.returncode, report["fits"]) == (0, True), report["findings"]
    (own,) = (found for found in report["vulnerabilities"] if found["bundle"] == "demo 0.1.0")
    assert (own["before"], own["advisories"].endswith("/advisories-2026.11.22: advisories/today")) == (None, True)
    nginx = [one for one in own["listed"] if one["part"].startswith("os-packages/debian13/nginx_")]
    assert [(one["id"], sorted(one["hosts"]), one["models"]) for one in nginx] == [
        ("CVE-2026-99991", ["depot1", "gpu1"], [])
    ]
    within = [one for one in own["listed"] if one["artifact"] == "images/stand-in"]
    assert {(one["id"], *one["hosts"], *one["models"]) for one in within} == {("CVE-2026-99992", "gpu1", "tiny-chat")}
    controls = read(operator.depot.run(["cat", "/root/results.json"]).encode())
    assert {"cm-6", "si-2"} <= {one["target"]["target-id"].removesuffix("_obj.appliance") for one in judged(controls)}


def judged(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What an audit says of each control."""
    (result,) = results["results"]
    return list(result["findings"])


LOGGED = "GPU KV cache size: 440,848 tokens, Maximum concurrency for 131,072 tokens per request: 3.36x"
ASK = (
    "import sys; names = {'__name__': 'observe'}; exec(sys.argv[1], names); "
    "print(names['_logged']('probe', sys.argv[2]))"
)


def test_what_a_models_unit_has_logged_since_it_started_is_found(small_site: Site) -> None:
    """There is no GPU here; a unit that is called like a model's says what vLLM says there."""
    gpu1 = small_site.gpu1
    gpu1.run(["systemd-run", "--quiet", "--wait", "--unit=vllm-probe", "--description=probe", "echo", f"INFO {LOGGED}"])
    program = role_file("evidence", "observe.py").read_text()
    assert gpu1.run(["python3", "-c", ASK, program, "0"]) == f"INFO {LOGGED}\n\n"
    assert gpu1.run(["python3", "-c", ASK, program, "4000000000"]) == "\n"
