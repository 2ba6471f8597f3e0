"""The site's own certificate authority: what openssl says of it, run after run."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.site_modules import site_module

AUTHORITY = site_module("authority")
CONVERGE = site_module("converge")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def wanted(top: Path, **changes: Any) -> Any:
    values = {
        "directory": str(top / "pki"),
        "site": "Example",
        "hosts": [{"name": "gpu1", "names": ["gpu1", "gpu1.example", "192.0.2.7", "2001:DB8::7"]}],
        "clients": ["alice", "bob"],
        "revoked": [],
        "authority_days": 3650,
        "certificate_days": 397,
        "crl_days": 180,
        "renew_days": 30,
        **changes,
    }
    return AUTHORITY.Wanted.model_validate_json(json.dumps(values))


def run(top: Path, *, day: int = 0, check: bool = False, **changes: Any) -> Any:
    authority = AUTHORITY.Authority(wanted(top, **changes), NOW + timedelta(days=day), CONVERGE.Converge(check=check))
    authority.bring_about()
    return authority


def changed(authority: Any, top: Path) -> set[str]:
    return {str(Path(path).relative_to(top / "pki")) for path in authority.converge.changed}


def verify(top: Path, certificate: str, purpose: str, *, day: int = 0) -> str:
    pki = top / "pki"
    when = int((NOW + timedelta(days=day)).timestamp())
    done = subprocess.run(
        [
            *("openssl", "verify", "-CAfile", str(pki / "root.pem"), "-untrusted", str(pki / certificate)),
            *("-CRLfile", str(pki / "crl.pem"), "-crl_check", "-purpose", purpose, "-x509_strict"),
            *("-attime", str(when), str(pki / certificate)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return "good" if done.returncode == 0 else done.stdout + done.stderr


def test_openssl_finds_the_chain_good_for_its_purpose_alone(tmp_path: Path) -> None:
    run(tmp_path)
    assert verify(tmp_path, "hosts/gpu1/host.pem", "sslserver") == "good"
    assert verify(tmp_path, "hosts/gpu1/client.pem", "sslclient") == "good"
    assert verify(tmp_path, "clients/alice/client.pem", "sslclient") == "good"
    assert "purpose" in verify(tmp_path, "hosts/gpu1/client.pem", "sslserver")
    assert "purpose" in verify(tmp_path, "hosts/gpu1/host.pem", "sslclient")


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path)
    assert run(tmp_path).converge.changed == []


def test_check_writes_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    authority = run(tmp_path, check=True)
    assert "clients/alice/client.key" in changed(authority, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_private_keys_are_for_root_alone(tmp_path: Path) -> None:
    run(tmp_path)
    keys = list(tmp_path.rglob("*.key"))
    assert len(keys) == 6
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}


def test_a_revoked_client_is_refused_and_stays_so(tmp_path: Path) -> None:
    run(tmp_path)
    assert changed(run(tmp_path, revoked=["bob"]), tmp_path) == {"crl.pem"}
    assert "revoked" in verify(tmp_path, "clients/bob/client.pem", "sslclient")
    assert verify(tmp_path, "clients/alice/client.pem", "sslclient") == "good"
    run(tmp_path, revoked=[])
    assert "revoked" in verify(tmp_path, "clients/bob/client.pem", "sslclient")


def test_a_revoked_name_is_not_issued_again(tmp_path: Path) -> None:
    run(tmp_path, clients=["alice"], revoked=["mallory"])
    assert changed(run(tmp_path, clients=["alice", "mallory"], revoked=["mallory"]), tmp_path) == set()


def test_a_host_is_renewed_before_the_end_and_a_client_is_told_of(tmp_path: Path) -> None:
    run(tmp_path)
    later = run(tmp_path, day=380)
    assert {"hosts/gpu1/host.pem", "hosts/gpu1/client.pem", "crl.pem"} <= changed(later, tmp_path)
    assert not {path for path in changed(later, tmp_path) if path.startswith("clients/")}
    assert later.expiring == ["alice on 2027-04-02", "bob on 2027-04-02"]


def test_a_revocation_list_is_renewed_before_it_shuts_everyone_out(tmp_path: Path) -> None:
    run(tmp_path)
    assert changed(run(tmp_path, day=149), tmp_path) == set()
    assert changed(run(tmp_path, day=151), tmp_path) == {"crl.pem"}
    assert verify(tmp_path, "clients/alice/client.pem", "sslclient", day=300) == "good"


def test_all_is_renewed_at_once_but_what_a_person_has_to_carry(tmp_path: Path) -> None:
    run(tmp_path)
    renewed = {name for name in changed(run(tmp_path, renew_now=True), tmp_path) if not name.startswith("issued/")}
    files = {f"hosts/gpu1/{name}.{end}" for name in ("host", "client") for end in ("key", "pem")}
    assert renewed == files | {"crl.pem"}
    assert changed(run(tmp_path), tmp_path) == set()


def test_a_host_with_another_name_gets_another_certificate(tmp_path: Path) -> None:
    run(tmp_path)
    again = run(tmp_path, hosts=[{"name": "gpu1", "names": ["gpu1", "gpu1.new"]}])
    assert {"hosts/gpu1/host.key", "hosts/gpu1/host.pem"} <= changed(again, tmp_path)
    text = subprocess.run(
        ["openssl", "x509", "-in", str(tmp_path / "pki/hosts/gpu1/host.pem"), "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DNS:gpu1, DNS:gpu1.new" in text


def test_an_interrupted_issue_is_made_good(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "pki/clients/alice/client.pem").unlink()
    assert "clients/alice/client.pem" in changed(run(tmp_path), tmp_path)
    assert verify(tmp_path, "clients/alice/client.pem", "sslclient") == "good"


def test_the_key_of_a_client_may_leave_the_host_too(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "pki/clients/alice/client.key").unlink()
    assert changed(run(tmp_path), tmp_path) == set()
    assert run(tmp_path, day=380).expiring


def test_the_root_key_may_leave_the_host_but_the_root_may_not(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "pki/root.key").unlink()
    run(tmp_path, clients=["alice", "bob", "carol"], revoked=["bob"])
    assert verify(tmp_path, "clients/carol/client.pem", "sslclient") == "good"
    (tmp_path / "pki/root.pem").unlink()
    with pytest.raises(ValueError, match="is gone, but certificates were issued under it"):
        run(tmp_path)


def test_a_client_that_was_issued_is_told_as_openssl_prints_it(tmp_path: Path) -> None:
    run(tmp_path)
    (told,) = run(tmp_path, clients=["alice", "bob", "carol"]).issued
    assert told["client"] == "carol"
    shown = subprocess.run(
        [
            *("openssl", "x509", "-in", f"{told['directory']}/client.pem", "-noout"),
            *("-fingerprint", "-sha256", "-enddate", "-dateopt", "iso_8601"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.splitlines()[0].partition("=")[2] == told["fingerprint"]
    assert shown.splitlines()[1].partition("=")[2].startswith(told["until"])


@pytest.mark.parametrize("name", ["../x", "a/b", "", "-x", "a" * 65])
def test_a_client_whose_name_is_no_safe_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="clients"):
        wanted(tmp_path, clients=[name])
