"""check-log.sh and ``appliance log check`` say the same of a log, and of heads that were kept elsewhere."""

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.errors import NotTrusted
from appliance.steps.log import check, export_head
from appliance.store.log import Log
from appliance.store.site import Site
from appliance.trust.keys import PrivateKey
from tests.support.bundles import STRANGER, key
from tests.support.debian_root import debian_root
from tests.support.site_log import DAMAGES, LOG_SCRIPT, check_log, receipts, site_with_history

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_with_history(tmp_path)


@pytest.fixture
def log(site: Site) -> Path:
    return Log(site.root).path


def public_key(site: Site) -> Path:
    return site.root / "receipts/site.pub.pem"


def exported(site: Site, name: str = "head.json") -> Path:
    path = site.root.parent / name
    path.write_bytes(export_head(site))
    return path


def both(site: Site, *heads: Path) -> str:
    """What is wrong by ``appliance log check``; the script has to come to the same end."""
    options = ["--key", str(public_key(site)), *(word for head in heads for word in ("--head", str(head)))]
    script = check_log(Log(site.root).path, *options)
    try:
        checked = check(site, heads, public_key(site))
    except NotTrusted as error:
        assert script.returncode == 3, script.stdout + script.stderr
        assert script.stderr.startswith("NOT TRUSTED: ")
        return error.reference
    assert script.returncode == 0, script.stderr
    assert script.stdout.split()[-1] == checked.head.sha256
    assert f"{checked.head.seq} lines" in script.stdout
    assert ("not a whole line" in script.stderr) == bool(checked.torn)
    return ""


def test_a_log_and_what_was_signed_of_it(site: Site) -> None:
    assert len(receipts(site)) == 3
    assert both(site) == ""
    assert both(site, exported(site), *receipts(site)) == ""


def test_an_empty_log(site: Site, log: Path) -> None:
    head = exported(site)
    log.write_bytes(b"")
    assert both(site) == ""
    assert both(site, head) == "log-truncated"


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found(damage: str, site: Site, log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(DAMAGES[damage](lines)))
    assert log.read_bytes() != b"".join(lines)
    assert both(site) == "log-broken"


def test_a_torn_last_line_is_told_and_no_damage(site: Site, log: Path) -> None:
    head = exported(site)
    log.write_bytes(log.read_bytes() + b'{"details":')
    assert both(site, head) == ""


@pytest.mark.parametrize("left", range(7))
def test_a_log_that_was_cut_is_found_by_a_head_alone(left: int, site: Site, log: Path) -> None:
    head = exported(site)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:left]))
    assert both(site) == ""
    assert both(site, head) == "log-truncated"


def test_a_log_that_was_written_anew_is_found_by_what_was_signed_before(site: Site, log: Path) -> None:
    head, receipt = exported(site), receipts(site)[0]
    log.unlink()
    for number in range(9):
        Log(site.root).append("verify", {"number": number}, time="2026-01-01T00:00:00Z")
    assert both(site) == ""
    assert both(site, head) == "log-rewritten"
    assert both(site, receipt) == "log-rewritten"


def test_a_head_by_another_key_proves_nothing(site: Site) -> None:
    (site.root / "state/site.pem").write_bytes(key(STRANGER).pem(None))
    assert both(site, exported(site)) == "evidence-unknown-key"


@pytest.mark.parametrize("position", [30, 300, 700, -40])
def test_a_head_with_a_changed_byte_proves_nothing(position: int, site: Site) -> None:
    head = exported(site)
    data = bytearray(head.read_bytes())
    data[position] ^= 1
    head.write_bytes(data)
    assert both(site, head).startswith("evidence-")


def test_a_signature_file_of_a_bundle_is_no_head(site: Site, tmp_path: Path) -> None:
    (signature, *_) = (tmp_path / "1/bundle/sigs").iterdir()
    assert both(site, signature) == "evidence-unknown-key"
    number = next(number for number in (11, 12) if key(number).public.keyid in signature.name)
    public_key(site).write_bytes(key(number).public.pem())
    assert both(site, signature) == "evidence-malformed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no log given"),
        (["{log}", "{log}"], "one argument too many"),
        (["{log}", "--head"], "no file after --head"),
        (["{log}", "--head", "{log}"], "proves nothing without the key"),
        (["{log}x"], "cannot read the log"),
        (["{log}", "--lenient"], "unknown option"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], said: str, log: Path) -> None:
    result = check_log(*(argument.format(log=log) for argument in arguments))
    assert result.returncode == 2
    assert said in result.stderr


def test_it_leaves_nothing_behind(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "a scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    assert check_log(log).returncode == 0
    log.write_bytes(b"x\n")
    assert check_log(log).returncode == 3
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_bare_systems_check_it_too(suite: str, site: Site, log: Path, tmp_path: Path) -> None:
    packages = {"bookworm": ("jq", "openssl"), "trixie": ("jq", "openssl", "cosign")}
    copy = tmp_path / "audit"
    shutil.copytree(site.root / "log", copy)
    for source in (public_key(site), exported(site), receipts(site)[0], LOG_SCRIPT):
        shutil.copy(source, copy / ("receipt.json" if "sigstore" in source.name else source.name))
    done = debian_root(suite, *packages[suite]).run(
        [
            *("sh", "/mnt/audit/check-log.sh", "/mnt/audit/log.jsonl", "--key", "/mnt/audit/site.pub.pem"),
            *("--head", "/mnt/audit/head.json", "--head", "/mnt/audit/receipt.json"),
        ],
        mounts={"audit": copy},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the chain holds: 7 lines")


def test_lines_are_counted_beyond_one_digit_and_two(site: Site) -> None:
    for number in range(100):
        Log(site.root).append("verify", {"number": number}, time="2026-10-01T00:00:00Z")
    assert both(site, exported(site)) == ""


def test_a_key_is_not_made_anew(site: Site) -> None:
    before = PrivateKey.from_pem((site.root / "state/site.pem").read_bytes(), None, where="")
    export_head(site)
    assert PrivateKey.from_pem((site.root / "state/site.pem").read_bytes(), None, where="").public == before.public


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck: apt-get install shellcheck")
    result = subprocess.run(
        ["shellcheck", "--shell=sh", LOG_SCRIPT], capture_output=True, encoding="utf-8", check=False
    )
    assert result.stdout == ""
    assert [line for line in LOG_SCRIPT.read_text().splitlines() if len(line) > 120] == []
