"""docs/auditing.md, as auditors follow it: every command of it is run, on bare systems that have none of our code.

Debian 12 has jq 1.6 and openssl 3.0, Debian 13 jq 1.7, openssl 3.5 and cosign 2.5.  Another
cosign is tried where this machine has one.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.model.documents.events import FORMS, Install
from appliance.model.documents.policy import POLICY_SCHEMA, SitePolicy
from appliance.model.progress import Silent
from appliance.steps.import_bundle import import_bundle
from appliance.steps.log import export_head
from appliance.steps.site.evidence import record_install
from appliance.steps.switch import current_bundle
from appliance.store.site import Site
from tests.support.audits import image
from tests.support.bundles import FILES, FIRST, SCRIPT, SECOND, STRANGER, Recipe, Written, key, keyid, root_document
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
    value["artifacts"][0]["details"] = {"path": "models/tiny"}
    value["artifacts"].append(image(IMAGE))
    guesses = {"method": "draft_model", "num_speculative_tokens": 2, "weights": "tiny"}
    room = {"max_loras": 1, "max_lora_rank": 8, "lora_target_modules": ["q_proj"]}
    adapters = {"adapters": {"tiny-legal": "tiny"}, **room}
    value["serving"] = {"tiny-chat": {**_PROFILE, "speculative_config": guesses}, "tiny-law": {**_PROFILE, **adapters}}


_PROFILE = {
    **{"weights": "tiny", "image": "tiny", "task": "chat", "gpus": 0, "max_model_len": 256, "dtype": "float32"},
    **{"gpu_memory_utilization": 0.2, "enable_prefix_caching": False, "enable_chunked_prefill": False},
    **{"max_num_seqs": 1, "max_num_batched_tokens": 256, "max_num_queued_reqs": 1},
}


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest) -> DebianRoot:
    return debian_root(request.param, "jq", "openssl", *(["cosign"] if request.param == "trixie" else []))


def has_cosign(host: DebianRoot) -> bool:
    return (host.path / "usr/bin/cosign").exists()


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
    listed = hashlib.sha256("".join(lines).encode()).hexdigest()
    shown = host.run(["dpkg-query", "--show", "--showformat=${binary:Package}|${Version}\n"]).stdout.splitlines()
    version = (host.path / "etc/debian_version").read_bytes()
    return {
        "host": "gpu1",
        "bundle": current_bundle(site, "tiny").model_dump(),
        "system": "Debian GNU/Linux 13 (trixie)",
        "kernel": "6.12",
        "models": {
            "tiny-chat": {"image": IMAGE, "weights": listed, "beside": {"tiny-chat+draft": listed}},
            "tiny-law": {"image": IMAGE, "weights": listed, "beside": {"tiny-legal": listed}},
        },
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
    return folder


def script(host: DebianRoot, *blocks: str) -> str:
    """Blocks as they would be typed one after the other; cosign's only where there is one."""
    first = commands(GUIDE, "What to bring")
    return "\n".join(block for block in (*first, *blocks) if has_cosign(host) or "attested " not in block)


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_the_guide_leads_to_the_end(shell: str, host: DebianRoot, audit: Path) -> None:
    blocks = [block for heading in TOGETHER[1:] for block in commands(GUIDE, heading)]
    (audit / "guide.sh").write_text(f"cd /mnt/audit\n{script(host, *blocks)}\n{OVERRIDE_CHECK}")
    done = host.run([shell, "/mnt/audit/guide.sh"], mounts={"audit": audit})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Verified OK") == 6  # a signature, two of the root, a receipt, a head, the override
    assert done.stderr.count("Verified OK") == (3 if has_cosign(host) else 0)
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
        "weights of tiny-chat+draft\n",
        "weights of tiny-legal\n",
        "/etc/debian_version: OK",
        "the override holds",
    ):
        assert told in done.stdout, told
    assert done.stdout.split("/etc/debian_version: OK\n")[1] == "Verified OK\nthe override holds\n"


# What is wrong, and under which heading it has to show; verify.sh and check-log.sh are not asked, for
# they see it all and nothing by hand would be tried.

Wrong = Callable[[Path], object]


def bytes_of(name: str, change: Callable[[bytes], bytes]) -> Wrong:
    return lambda audit: (audit / name).write_bytes(change((audit / name).read_bytes()))


def new(name: str, mode: int = 0o644) -> Wrong:
    def write(audit: Path) -> None:
        (audit / "bundle" / name).write_bytes(b"exit 0\n")
        (audit / "bundle" / name).chmod(mode)

    return write


def in_log(event: str, change: Callable[[dict[str, Any]], object]) -> Wrong:
    """Another log, rightly chained to nothing: what hosts are said to run is read from it."""

    def write(audit: Path) -> None:
        lines = [json.loads(line) for line in (audit / "log.jsonl").read_bytes().splitlines()]
        for line in lines:
            if line["event"] == event:
                change(line["details"])
        (audit / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return write


def relisted(audit: Path) -> None:
    """A thief without a key who is careful: the list and the statement fit the changed file."""
    bundle = audit / "bundle"
    (bundle / "models/tiny/empty.txt").write_bytes(b"x")
    lines = [
        f"{hashlib.sha256((bundle / line[66:]).read_bytes()).hexdigest()}  {line[66:]}\n"
        for line in (bundle / "SHA256SUMS").read_text().splitlines()
    ]
    before = hashlib.sha256((bundle / "SHA256SUMS").read_bytes()).hexdigest()
    (bundle / "SHA256SUMS").write_text("".join(lines))
    statement = (bundle / "statement.json").read_text()
    after = hashlib.sha256("".join(lines).encode()).hexdigest()
    (bundle / "statement.json").write_text(statement.replace(before, after))


def spoilt_signature(data: bytes) -> bytes:
    """Some bytes inside of its last signature are others."""
    place = data.rindex(b'"sig":"') + 30
    return data[:place] + (b"AAAA" if data[place : place + 4] != b"AAAA" else b"BBBB") + data[place + 4 :]


SIGNATURE = f"bundle/sigs/{keyid(FIRST)}.sigstore.json"
SPOILT: Mapping[str, tuple[str, Wrong]] = {
    "file": ("A bundle", bytes_of("bundle/models/tiny/model.safetensors", lambda data: b"x" + data[1:])),
    "missing": ("A bundle", lambda audit: (audit / "bundle/models/tiny/empty.txt").unlink()),
    "statement": ("A bundle", bytes_of("bundle/statement.json", lambda data: data.replace(b"tiny", b"tinx"))),
    "relisted": ("A bundle", relisted),
    "signature": ("A bundle", bytes_of(SIGNATURE, spoilt_signature)),
    "no-signature": ("A bundle", lambda audit: (audit / SIGNATURE).unlink()),
    "signer": ("A bundle", bytes_of("signer.pub.pem", lambda data: key(STRANGER).public.pem())),
    "extra": ("A bundle", new("models/extra")),
    "in-trust": ("A bundle", new("trust/evil.sh")),
    "in-sigs": ("A bundle", new("sigs/evil.sh")),
    "named-as-the-list": ("A bundle", new("models/tiny/SHA256SUMS")),
    "named-as-the-statement": ("A bundle", new("models/statement.json")),
    "two-lines": ("A bundle", new("SHA256SUMS\nxxSHA256SUMS")),
    "empty-directory": ("A bundle", lambda audit: (audit / "bundle/models/nothing").mkdir()),
    "link": ("A bundle", lambda audit: (audit / "bundle/models/link").symlink_to("tiny")),
    "pipe": ("A bundle", lambda audit: os.mkfifo(audit / "bundle/models/pipe")),
    "set-user-id": ("A bundle", lambda audit: (audit / "bundle/models/tiny/empty.txt").chmod(0o4755)),
    "other-root": ("Who may sign", bytes_of("root.json", lambda data: root_document(1, (FIRST, STRANGER)))),
    "later-root": ("Who may sign", bytes_of("root.json", lambda data: root_document(2, (FIRST, SECOND)))),
    "root-signature": ("Who may sign", bytes_of("bundle/trust/1.root.json", spoilt_signature)),
    "receipt": ("A receipt", bytes_of("receipt.json", lambda data: data.replace(b"A", b"B", 1))),
    "another-bundles-receipt": ("A receipt", bytes_of("bundle/SHA256SUMS", lambda data: data + b"\n")),
    "another-sites-receipt": ("A receipt", bytes_of("site.pub.pem", lambda data: key(SECOND).public.pem())),
    "log": ("The log", bytes_of("log.jsonl", lambda data: data[:-20] + b"x" + data[-19:])),
    "cut-log": ("The log", bytes_of("log.jsonl", lambda data: data[: data[:-1].rfind(b"\n") + 1])),
    "head": ("The log", bytes_of("head.json", lambda data: data.replace(b"A", b"B", 1))),
    "other-image": (
        "What each host runs",
        in_log("install", lambda told: told["models"]["tiny-chat"].update(image="x")),
    ),
    "other-weights": (
        "What each host runs",
        in_log("install", lambda told: told["models"]["tiny-chat"].update(weights="x")),
    ),
    "other-draft": (
        "What each host runs",
        in_log("install", lambda told: told["models"]["tiny-chat"]["beside"].update({"tiny-chat+draft": "x"})),
    ),
    "unknown-adapter": (
        "What each host runs",
        in_log("install", lambda told: told["models"]["tiny-law"]["beside"].update({"tiny-other": "x"})),
    ),
    "other-bundle": ("What each host runs", in_log("install", lambda told: told["bundle"].update(sha256sums="0" * 64))),
    "other-file": (
        "What each host runs",
        in_log("install", lambda told: told["files"].update({"/etc/passwd": "0" * 64})),
    ),
    "other-package": ("What each host runs", in_log("install", lambda told: told["packages"].update(jq="6.6.6"))),
    "other-package-there": ("What each host runs", in_log("install", lambda told: told["packages"].pop("dash"))),
}


def test_each_part_of_the_guide_stops_where_something_is_wrong(host: DebianRoot, audit: Path) -> None:
    folder = audit.parent / "spoilt"
    parts = folder / "parts"
    parts.mkdir(parents=True)
    for heading in TOGETHER[1:]:
        stock = [
            block for block in commands(GUIDE, heading) if not block.startswith("sh ") and "attested " not in block
        ]
        (parts / heading).write_text(script(host, *stock))
    cases = {**{f"right {heading}": (heading, nothing_wrong) for heading in dict(SPOILT.values())}, **SPOILT}
    for name, (_, spoil) in cases.items():
        shutil.copytree(audit, folder / name)
        spoil(folder / name)
    loop = "".join(
        f"cd '/mnt/spoilt/{name}' && {shell} '/mnt/spoilt/parts/{heading}' >/dev/null 2>&1; echo $? {shell} {name}\n"
        for name, (heading, _) in cases.items()
        for shell in ("bash", "dash")
    )
    done = host.run(["sh", "-c", loop], mounts={"spoilt": folder})
    found = {line.split(" ", 1)[1]: line.startswith("0 ") for line in done.stdout.splitlines()}
    assert found == {f"{shell} {name}": name.startswith("right ") for name in cases for shell in ("bash", "dash")}


def nothing_wrong(audit: Path) -> None:
    """As it was."""


def test_cosign_3_says_the_same(audit: Path) -> None:
    cosign = shutil.which("cosign")
    version = subprocess.run([cosign, "version"], capture_output=True, text=True, check=False).stdout if cosign else ""
    if not re.search(r"^GitVersion: *v3\.", version, re.MULTILINE):
        pytest.skip("needs cosign 3: Debian has 2.5; go install github.com/sigstore/cosign/v3/cmd/cosign@latest")
    blocks = [*commands(GUIDE, "What to bring"), commands(GUIDE, "A bundle")[2], *commands(GUIDE, "cosign, offline")]

    def run() -> int:
        return subprocess.run(["sh", "-c", "\n".join(blocks)], cwd=audit, capture_output=True, check=False).returncode

    assert run() == 0
    (audit / "signer.pub.pem").write_bytes(key(STRANGER).public.pem())
    assert run() != 0


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
