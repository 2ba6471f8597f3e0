"""Receipts and heads of a log are checked by openssl and by cosign, as signature files are."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.steps.log import export_head
from tests.support.bundles import STRANGER, key
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.site_log import receipts, site_with_history

pytestmark = pytest.mark.integration

_BY_HAND = """
set -eu
jq --join-output .dsseEnvelope.payload "$1" | base64 --decode >payload
jq --join-output '.dsseEnvelope.signatures[0].sig' "$1" | base64 --decode >sig
{ printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c <payload)"; cat payload; } >pae
openssl dgst -sha256 -verify "$2" -signature sig pae
"""
# cosign's name of each predicate type, and the file that the statement is about.
_SIGNED = {"receipt": ("urn:appliance:receipt:v1", "SHA256SUMS"), "head": ("urn:appliance:log-head:v1", "log.jsonl")}


@pytest.fixture(scope="module")
def cosign_host() -> DebianRoot:
    return debian_root("trixie", "jq", "openssl", "cosign")


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """What an auditor has copied."""
    site = site_with_history(tmp_path)
    folder = tmp_path / "an audit"
    folder.mkdir()
    shutil.copy(receipts(site)[0], folder / "receipt.json")
    (folder / "head.json").write_bytes(export_head(site))
    shutil.copy(site.root / "receipts/site.pub.pem", folder)
    shutil.copy(site.root / "log/log.jsonl", folder)
    shutil.copy(tmp_path / "1/bundle/SHA256SUMS", folder)
    (folder / "other.pub.pem").write_bytes(key(STRANGER).public.pem())
    # A trusted root with nothing in it keeps cosign from asking the network for one.
    empty = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}
    (folder / "empty.json").write_text(json.dumps(empty))
    return folder


def by_hand(audit: Path, name: str, public: str = "site.pub.pem") -> int:
    command = ["sh", "-c", _BY_HAND, "sh", f"{name}.json", public]
    return subprocess.run(command, cwd=audit, capture_output=True, check=False).returncode


def cosign(host: DebianRoot, audit: Path, name: str, public: str = "site.pub.pem") -> int:
    predicate, blob = _SIGNED[name]
    done = host.run(
        [
            *("cosign", "verify-blob-attestation", "--key", f"/mnt/audit/{public}"),
            *("--bundle", f"/mnt/audit/{name}.json", "--new-bundle-format", "--insecure-ignore-tlog=true"),
            *("--trusted-root", "/mnt/audit/empty.json", "--type", predicate, f"/mnt/audit/{blob}"),
        ],
        mounts={"audit": audit},
    )
    return done.returncode


@pytest.mark.parametrize("name", _SIGNED)
def test_stock_tools_accept_what_a_site_has_signed(name: str, audit: Path, cosign_host: DebianRoot) -> None:
    assert by_hand(audit, name) == 0
    assert cosign(cosign_host, audit, name) == 0


@pytest.mark.parametrize("name", _SIGNED)
def test_stock_tools_refuse_another_key_and_another_file(name: str, audit: Path, cosign_host: DebianRoot) -> None:
    assert by_hand(audit, name, "other.pub.pem") != 0
    assert cosign(cosign_host, audit, name, "other.pub.pem") != 0
    with (audit / _SIGNED[name][1]).open("ab") as file:
        file.write(b"x")
    assert cosign(cosign_host, audit, name) != 0


@pytest.mark.parametrize("name", _SIGNED)
def test_stock_tools_refuse_a_changed_word(name: str, audit: Path, cosign_host: DebianRoot) -> None:
    path = audit / f"{name}.json"
    signed = json.loads(path.read_bytes())
    payload = signed["dsseEnvelope"]["payload"]
    signed["dsseEnvelope"]["payload"] = payload[:200] + ("A" if payload[200] != "A" else "B") + payload[201:]
    path.write_text(json.dumps(signed))
    assert by_hand(audit, name) != 0
    assert cosign(cosign_host, audit, name) != 0
