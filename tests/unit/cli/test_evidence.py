"""``appliance log``, ``appliance receipt`` and ``appliance verify --receipt``, as people and programs see them."""

import json
from pathlib import Path

import pytest

from appliance.cli.main import run
from appliance.store.site import Site
from tests.support.bundles import Recipe, Written
from tests.support.site_log import receipts, site_with_history


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_with_history(tmp_path)


@pytest.fixture
def carried(tmp_path: Path) -> Written:
    return Recipe().write(tmp_path / "medium")


@pytest.fixture
def key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(["keys", "new", str(tmp_path / "auditor.pem"), "--no-passphrase"]) == 0
    capsys.readouterr()
    return tmp_path / "auditor.pem"


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    value: dict[str, object] = json.loads(capsys.readouterr().out)
    return value


def test_people_read_the_log_as_sentences(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "show", "--site", str(site.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert lines[2].endswith("switch    tiny 1.0.0 is current, before: none")
    assert run(["log", "show", "--site", str(site.root), "--json"]) == 0
    entries = told(capsys)["entries"]
    assert isinstance(entries, list)
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5, 6, 7]


def test_a_log_is_checked_against_what_was_kept(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = tmp_path / "head.json"
    assert run(["log", "head", "--site", str(site.root), "--out", str(head)]) == 0
    assert capsys.readouterr().out == f"{head}\n"
    assert run(["log", "head", "--site", str(site.root)]) == 0
    assert json.loads(capsys.readouterr().out)["mediaType"].startswith("application/vnd.dev.sigstore.bundle")
    check = ["log", "check", "--site", str(site.root), "--head", str(head), "--head", str(receipts(site)[0])]
    assert run(check) == 0
    assert "holds line 7" in capsys.readouterr().err
    assert run([*check, "--json"]) == 0
    assert told(capsys)["seq"] == 7
    log = site.root / "log/log.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))
    assert run(check) == 3
    assert "(log-truncated)" in capsys.readouterr().err


def test_a_site_without_a_log_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["show"], ["check"], ["head"]):
        assert run(["log", *command, "--site", str(tmp_path)]) == 2
        assert "(log-missing)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_a_host_runs_is_added_once(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    observed = {"system": "Debian", "kernel": "6.12", "models": {}, "files": {}}
    (tmp_path / "gpu1.json").write_text(json.dumps({**observed, "packages": {}}))
    add = ["log", "add", "install", str(tmp_path / "gpu1.json"), "--site", str(site.root), "--host", "gpu1"]
    for changed in (True, False):
        assert run([*add, "--bundle", "tiny", "--json"]) == 0
        assert told(capsys)["changed"] is changed
    assert run(["log", "show", "--site", str(site.root)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("installed from tiny 1.0.0")
    assert run([*add, "--bundle", "other"]) == 2
    assert "(bundle-not-current)" in capsys.readouterr().err
    (tmp_path / "gpu1.json").write_text(json.dumps(observed))
    assert run([*add, "--bundle", "tiny"]) == 2
    assert "packages: Field required" in capsys.readouterr().err


def test_an_auditor_signs_what_they_have_verified(
    carried: Written, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipt, public = tmp_path / "a receipt.json", tmp_path / "auditor.pub.pem"
    verify = ["verify", str(carried.path), "--root", str(carried.trusted), "--receipt", str(receipt), "--key", str(key)]
    assert run(verify) == 0
    capsys.readouterr()
    assert run(["receipt", str(receipt), "--key", str(public), "--bundle", str(carried.path)]) == 0
    output = capsys.readouterr()
    assert output.out == "accepted tiny 1.0.0, signed by signer 12, signer 11\n"
    assert "version 2" in output.err
    assert run(["receipt", str(receipt), "--key", str(public), "--json"]) == 0
    said = told(capsys)
    assert (said["event"], said["log"]) == ("verify", None)
    assert run(verify) == 2
    assert "(file-exists)" in capsys.readouterr().err


def test_a_refusal_is_signed_too(
    carried: Written, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (carried.path / "extra").write_bytes(b"")
    receipt, public = tmp_path / "receipt.json", tmp_path / "auditor.pub.pem"
    verify = ["verify", str(carried.path), "--root", str(carried.trusted), "--receipt", str(receipt), "--key", str(key)]
    assert run(verify) == 3
    capsys.readouterr()
    assert run(["receipt", str(receipt), "--key", str(public), "--bundle", str(carried.path)]) == 0
    assert capsys.readouterr().out == "refused (file-unlisted): a file that is not listed, in extra\n"
    (carried.path / "SHA256SUMS").write_bytes(b"")
    assert run(["receipt", str(receipt), "--key", str(public), "--bundle", str(carried.path)]) == 3
    assert "(receipt-other-bundle)" in capsys.readouterr().err


def test_a_receipt_is_read_by_the_right_key_alone(site: Site, key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (receipt, *_) = receipts(site)
    assert run(["receipt", str(receipt), "--key", str(site.root / "receipts/site.pub.pem")]) == 0
    assert run(["receipt", str(receipt), "--key", str(key.with_suffix(".pub.pem"))]) == 3
    assert "(evidence-unknown-key)" in capsys.readouterr().err


def test_no_receipt_without_a_key(carried: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = tmp_path / "receipt.json"
    assert run(["verify", str(carried.path), "--root", str(carried.trusted), "--receipt", str(receipt)]) == 2
    assert "--key" in capsys.readouterr().err
    assert not receipt.exists()


def test_a_refusal_is_exit_code_3_even_without_its_receipt(
    carried: Written, key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (carried.path / "extra").write_bytes(b"")
    receipt = tmp_path / "no folder/receipt.json"
    verify = ["verify", str(carried.path), "--root", str(carried.trusted), "--receipt", str(receipt), "--key", str(key)]
    assert run(verify) == 3
    assert "no receipt of this refusal was written" in capsys.readouterr().err


def test_a_site_verifies_again_what_it_holds(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    held, root = site.path("tiny", "2.0.0"), site.root.parent / "1/root.json"
    verify = ["verify", str(held), "--root", str(root), "--site", str(site.root)]
    assert run(verify) == 0
    weights = held / "models/tiny/model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"x")
    assert run(verify) == 3
    capsys.readouterr()
    assert run(["log", "show", "--site", str(site.root)]) == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert "verify    accepted tiny 2.0.0" in lines[0]
    assert "verify    refused (file-mismatch)" in lines[1]
    assert len(receipts(site)) == 5
    assert run([*verify[:-1], str(site.root / "none")]) == 2
    assert "(log-missing)" in capsys.readouterr().err
