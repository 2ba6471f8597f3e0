"""docs/auditing.md, as auditors follow it: every command of it is run, on a bare system that has none of our code."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.model.events import FORMS, Install
from appliance.model.policy import POLICY_SCHEMA, SitePolicy
from appliance.model.progress import Silent
from appliance.steps.evidence import record_install
from appliance.steps.import_bundle import import_bundle
from appliance.steps.log import export_head
from appliance.steps.switch import current_bundle
from appliance.store.site import Site
from tests.support.bundles import FILES, FIRST, SCRIPT, SECOND, Recipe, Written, key, root_document
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.documents import DOCS, commands
from tests.support.overrides import SITE, write_override
from tests.support.site_log import LOG_SCRIPT, receipts

pytestmark = pytest.mark.integration

GUIDE = "auditing.md"
TOGETHER = (
    *("What to bring", "A bundle", "cosign, offline", "Who may sign", "A receipt", "The log", "What each host runs"),
)
IMAGE = f"sha256:{'2' * 64}"
OVERRIDE_CHECK = """
jq -j .payload $work/override.json | base64 -d >$work/statement
pae application/vnd.appliance.override.v1+json $work/statement >$work/pae
jq -j '.signatures[0].sig' $work/override.json | base64 -d >$work/sig
keyid=$(jq -r '.signatures[0].keyid' $work/override.json)
jq -j --arg id $keyid '.keys[$id].spki' $work/root | base64 -d >$work/key.der
openssl dgst -sha256 -keyform DER -verify $work/key.der -signature $work/sig $work/pae && echo the override holds
"""


def index(value: dict[str, Any]) -> None:
    value["artifacts"][0]["details"] = {"manifest_digest": IMAGE, "path": "models/tiny"}
    value["serving"] = {"tiny-chat": _PROFILE}


_PROFILE = {
    **{"weights": "tiny", "image": "tiny", "task": "chat", "gpus": 0, "max_model_len": 256, "dtype": "float32"},
    **{"gpu_memory_utilization": 0.2, "enable_prefix_caching": False, "enable_chunked_prefill": False},
    **{"max_num_seqs": 1, "max_num_batched_tokens": 256, "max_num_queued_reqs": 1},
}


@pytest.fixture(scope="module")
def host() -> DebianRoot:
    return debian_root("trixie", "jq", "openssl", "cosign")


@pytest.fixture
def audit(tmp_path: Path, host: DebianRoot) -> Path:
    """What an auditor has in one directory: a site that took a bundle, and took it again by an override."""
    recipe = Recipe(roots=(root_document(1, (FIRST, SECOND)),), index=index)
    carried = recipe.write(tmp_path / "medium")
    site = Site(tmp_path / "a site")
    demands = SitePolicy(schema_=POLICY_SCHEMA, site=SITE)
    import_bundle(carried.path, carried.trusted, site, Silent(), demands=demands)
    newer = Recipe(
        roots=recipe.roots,
        index=lambda value: value.update(version="2.0.0"),
        statement=lambda value: value["predicate"].update(version="2.0.0"),
    ).write(tmp_path / "newer")
    import_bundle(newer.path, newer.trusted, site, Silent(), switch=False)
    shutil.rmtree(site.path("tiny", "1.0.0"))
    override = write_override(carried, "rollback")
    import_bundle(carried.path, carried.trusted, site, Silent(), demands=demands, override=override)
    record_install(site, Install.model_validate(installed(site, host)))
    return gathered(tmp_path / "an audit", site, carried)


def installed(site: Site, host: DebianRoot) -> dict[str, Any]:
    """The bare system itself, as the host that is asked."""
    weights = {path.removeprefix("models/tiny/"): data for path, data in FILES.items() if path.startswith("models/")}
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(weights.items())]
    shown = host.run(["dpkg-query", "--show", "--showformat=${binary:Package}|${Version}\n"]).stdout.splitlines()
    version = (host.path / "etc/debian_version").read_bytes()
    return {
        "host": "gpu1",
        "bundle": current_bundle(site, "tiny").model_dump(),
        "system": "Debian GNU/Linux 13 (trixie)",
        "kernel": "6.12",
        "models": {"tiny-chat": {"image": IMAGE, "weights": hashlib.sha256("".join(lines).encode()).hexdigest()}},
        "files": {"/etc/debian_version": hashlib.sha256(version).hexdigest()},
        "packages": dict(line.split("|") for line in shown),
    }


def gathered(folder: Path, site: Site, carried: Written) -> Path:
    folder.mkdir()
    shutil.copytree(site.path("tiny", "1.0.0"), folder / "bundle")
    (folder / "signer.pub.pem").write_bytes(key(FIRST).public.pem())
    (folder / "head.json").write_bytes(export_head(site))
    (folder / "root.json").write_bytes(carried.trusted.read_bytes())
    (folder / "receipt.json").write_bytes(receipts(site)[0].read_bytes())
    for source in (SCRIPT, LOG_SCRIPT, site.root / "log/log.jsonl", site.root / "receipts/site.pub.pem"):
        shutil.copy(source, folder)
    for path in (folder.parent, folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def follow(host: DebianRoot, audit: Path, further: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the guide up to its last stock tool, as typed."""
    script = "".join(block for heading in TOGETHER for block in commands(GUIDE, heading))
    return host.run(["bash", "-euo", "pipefail", "-c", f"cd /mnt/audit\n{script}{further}"], mounts={"audit": audit})


def test_the_guide_leads_to_the_end(host: DebianRoot, audit: Path) -> None:
    done = follow(host, audit, OVERRIDE_CHECK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Verified OK") == 6  # a signature, two of the root, a receipt, a head, the override
    assert done.stderr.count("Verified OK") == 3  # cosign
    for told in (
        "verified: tiny 1.0.0, 9 files",
        "bundle/SHA256SUMS: OK",
        '"label": "signer 11"',
        '"result": "accepted"',
        "the chain holds: 7 lines",
        "line 7 is as it was",
        "gpu1: Debian GNU/Linux 13 (trixie)",
        "image tiny\n",
        "weights of tiny-chat\n",
        "/etc/debian_version: OK",
        "the override holds",
    ):
        assert told in done.stdout, told
    # what `comm -3` prints: nothing but the packages that differ
    assert done.stdout.split("/etc/debian_version: OK\n")[1] == "Verified OK\nthe override holds\n"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bundle/models/tiny/model.safetensors", lambda data: b"x" + data),
        ("bundle/statement.json", lambda data: data.replace(b"tiny", b"tinx")),
        ("bundle/extra", lambda data: b"x"),
        ("root.json", lambda data: data.replace(b"sig", b"gis", 1)),
        ("receipt.json", lambda data: data.replace(b"A", b"B", 1)),
        ("log.jsonl", lambda data: data.replace(b"accepted", b"acceptes", 1)),
        ("log.jsonl", lambda data: data[: data[:-1].rfind(b"\n") + 1]),
        ("site.pub.pem", lambda data: key(SECOND).public.pem()),
    ],
    ids=["a file", "the statement", "an extra file", "the root", "the receipt", "the log", "a cut log", "another key"],
)
def test_the_guide_stops_where_something_is_wrong(name: str, change: Any, host: DebianRoot, audit: Path) -> None:
    path = audit / name
    path.write_bytes(change(path.read_bytes() if path.exists() else b""))
    assert follow(host, audit).returncode != 0


def test_our_own_report_says_the_same(audit: Path) -> None:
    (command,) = commands(GUIDE, "All of it in one report")
    copy = audit / "copy"
    (copy / "log").mkdir(parents=True)
    (copy / "receipts").mkdir()
    shutil.copy(audit / "log.jsonl", copy / "log")
    command = command.replace("/srv/appliance", "copy").rstrip("\n") + " --bundle bundle\n"
    done = subprocess.run(
        ["sh", "-euc", command],
        cwd=audit,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "report.html\n"
    assert "tiny 1.0.0" in (audit / "report.html").read_text()


def test_every_event_of_the_log_is_described_with_all_that_it_says() -> None:
    table = (DOCS / GUIDE).read_text().split("| event | written | details |\n")[1].split("\n\n")[0]
    rows = dict(row.strip("| ").split(" | ", 1) for row in table.splitlines()[1:])
    described = {name: row for names, row in rows.items() for name in re.findall("[a-z]+", names)}
    assert set(described) == set(FORMS)
    for event, form in FORMS.items():
        if event == "override":  # the fields of an override are the format's
            continue
        assert [name for name in form.model_fields if f"`{name}`" not in described[event]] == []
