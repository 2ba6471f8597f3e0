"""What a host tells of itself to node_exporter: ends of certificates, what has changed, and what cannot be told."""

import importlib.util
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from appliance_site.certificates import (
    CLIENT,
    Leaf,
    intermediate_authority,
    issue,
    pem,
    revocation_list,
    root_authority,
)

from tests.support.container_unit import unit_beside, weight_set
from tests.support.role_files import role_file

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, told of a host below ``tmp_path``."""
    spec = importlib.util.spec_from_file_location("facts", role_file("node_metrics", "facts.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("TLS", "INSTALLED", "READY", "UNITS", "WEIGHTS", "AUDIT", "RULES", "JOURNALS", "SOCKETS"):
        monkeypatch.setattr(module, f"_{name}", tmp_path / name.lower())
    return module


def test_weights_of_adapters_are_told_as_those_of_models(facts: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "adapter_config.json").write_bytes(b"{}")
    unit = unit_beside(weight_set("tiny-legal", "x-1", "/srv/adapters/tiny-legal", "tiny-legal"))
    (tmp_path / "units/vllm-tiny-chat.container").write_text(unit)
    stamp = (tmp_path / "adapter_config.json").lstat()
    found = {"adapter_config.json": [stamp.st_ino, stamp.st_size, stamp.st_mtime_ns]}
    record = {"time": 7.0, "directory": str(tmp_path), "files": found}
    (tmp_path / "weights/tiny-legal.json").write_text(json.dumps(record))
    changed = ("weights_changed", {"model": "tiny-legal"}, False)
    assert changed in list(facts._weights())
    assert ("weights_changed", {"model": "tiny-chat"}, 1) in list(facts._weights())  # which was never found as listed
    (tmp_path / "adapter_config.json").write_bytes(b"{ }")
    assert ("weights_changed", {"model": "tiny-legal"}, True) in list(facts._weights())


def test_the_first_end_of_each_file_is_told(facts: ModuleType, tmp_path: Path) -> None:
    root = root_authority("site", NOW, 3650)
    authority = intermediate_authority(root, "site", NOW, 1000)
    leaf = issue(authority, "site", Leaf("gpu1", "host-client", CLIENT), NOW, 20)
    lists = [
        revocation_list(signer, [7], NOW, NOW + timedelta(days=days), 1)
        for signer, days in ((root, 90), (authority, 5))
    ]
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/client.pem").write_bytes(pem(leaf.certificate) + pem(authority.certificate))
    (tmp_path / "tls/crl.pem").write_bytes(b"".join(lists))
    (tmp_path / "tls/host.key").write_bytes(b"not ours")
    found = {(name, labels["path"].rpartition("/")[2]): value for name, labels, value in facts._certificates()}
    assert found == {
        ("certificate_expires_timestamp_seconds", "client.pem"): (NOW + timedelta(days=20)).timestamp(),
        ("crl_expires_timestamp_seconds", "crl.pem"): (NOW + timedelta(days=5)).timestamp(),
    }


def test_a_file_that_changed_or_went_is_named(facts: ModuleType, tmp_path: Path) -> None:
    for name in ("kept", "changed", "gone"):
        (tmp_path / name).write_text(name)
    command = ["sha256sum", *(str(tmp_path / name) for name in ("kept", "changed", "gone"))]
    (tmp_path / "installed").write_bytes(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    (tmp_path / "changed").write_text("otherwise")
    (tmp_path / "gone").unlink()
    assert list(facts._files()) == [
        ("files_watched", {}, 3),
        ("file_changed", {"path": str(tmp_path / "changed")}, 1),
        ("file_changed", {"path": str(tmp_path / "gone")}, 1),
    ]


def test_weights_are_held_against_what_was_hashed(facts: ModuleType, tmp_path: Path) -> None:
    for folder in ("units", "weights", "model"):
        (tmp_path / folder).mkdir()
    (tmp_path / "units/vllm-tiny.container").touch()
    file = tmp_path / "model/a.safetensors"
    file.write_bytes(b"0123")
    (tmp_path / "list").write_bytes(
        subprocess.run(["sha256sum", "a.safetensors"], stdout=subprocess.PIPE, check=True, cwd=file.parent).stdout
    )

    def check() -> int:
        program = role_file("vllm", "weights.py")
        places = (program, "check", tmp_path / "list", file.parent, "--record", tmp_path / "weights/tiny.json")
        argv = ["python3", *map(str, places)]
        return subprocess.run(argv, stderr=subprocess.DEVNULL, check=False).returncode

    def told() -> dict[str, float]:
        return {name: value for name, labels, value in facts._weights() if labels == {"model": "tiny"}}

    assert told() == {"weights_changed": 1}, "they were never hashed"
    assert check() == 0
    assert told()["weights_changed"] == 0
    assert told()["weights_checked_timestamp_seconds"] > 0
    file.write_bytes(b"0124")
    os.utime(file, ns=(1, 1))
    assert told()["weights_changed"] == 1
    assert check() == 1
    assert told() == {"weights_changed": 1}


def test_weights_that_guess_count_as_those_of_the_model(facts: ModuleType, tmp_path: Path) -> None:
    for folder in ("units", "weights", "model", "draft"):
        (tmp_path / folder).mkdir()
    unit = tmp_path / "units/vllm-tiny.container"
    unit.write_text("ExecStartPre=weights.py check --record /run/appliance/weights/tiny.json\n")

    def record(name: str, folder: str, time: int) -> Path:
        path = tmp_path / folder / "a.safetensors"
        path.write_bytes(b"0123")
        stamps = {path.name: facts._stamp(path)}
        found = {"time": time, "directory": str(path.parent), "files": stamps}
        (tmp_path / f"weights/{name}.json").write_text(json.dumps(found))
        return path

    def told() -> list[tuple[str, float]]:
        return [(name, value) for name, labels, value in facts._weights() if labels == {"model": "tiny"}]

    record("tiny", "model", 7)
    changed, checked = "weights_changed", "weights_checked_timestamp_seconds"
    assert told() == [(changed, 0), (checked, 7)]
    with unit.open("a") as more:
        more.write("ExecStartPre=weights.py check --record /run/appliance/weights/tiny+draft.json\n")
    assert told() == [(changed, 1)], "they were never hashed"
    draft = record("tiny+draft", "draft", 5)
    assert told() == [(changed, 0), (checked, 5)]
    os.utime(draft, ns=(1, 1))
    assert told()[0] == (changed, 1)


def test_the_last_verification_of_the_version_in_use_is_found(facts: ModuleType, tmp_path: Path) -> None:
    def entry(time: str, event: str, version: str, result: str = "accepted") -> str:
        return json.dumps(
            {
                "time": time,
                "event": event,
                "details": {"result": result, "bundle": {"name": "demo", "version": version}},
            },
            separators=(",", ":"),
        )

    log = tmp_path / "log.jsonl"
    log.write_text(
        "\n".join(
            [
                entry("2026-01-01T00:00:00Z", "import", "1.0.0"),
                entry("2026-01-02T00:00:00Z", "verify", "1.0.0"),
                entry("2026-01-03T00:00:00Z", "verify", "1.0.0", "refused"),
                entry("2026-01-04T00:00:00Z", "import", "1.1.0"),
                '{"torn',
            ]
        )
    )
    assert facts._verified(log, "demo", "1.0.0")["time"] == "2026-01-02T00:00:00Z"
    assert facts._verified(log, "demo", "2.0.0") is None


def test_a_journal_that_never_came_is_told_of(facts: ModuleType, tmp_path: Path) -> None:
    """What has come is tried on a real site: tests/site/test_journal.py."""
    assert list(facts._journals()) == [], "this host takes none"
    (tmp_path / "sockets").mkdir()
    for name in ("appliance-journal-remote@gpu-1.example.socket", "ssh.socket"):
        (tmp_path / "sockets" / name).touch()
    assert list(facts._journals()) == [
        ("journal_newest_timestamp_seconds", {"host": "gpu-1.example"}, 0),
        ("journal_bytes", {"host": "gpu-1.example"}, 0),
    ]


def test_what_cannot_be_told_is_named_and_the_rest_is_told(
    facts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "appliance.prom"
    monkeypatch.setattr("sys.argv", ["facts.py", str(target), "--site", str(tmp_path / "none"), "--bundle", "demo"])
    monkeypatch.setattr(facts, "_failed_units", lambda: iter([("unit_failed", {"unit": 'a"b\\c\n.service'}, 1)]))
    assert facts.main() == 1
    text = target.read_text()
    assert 'appliance_facts_failed{part="bundle"} 1.0\n' in text
    assert 'appliance_unit_failed{unit="a\\"b\\\\c\\n.service"} 1.0\n' in text
    assert "appliance_facts_timestamp_seconds " in text
    assert "bundle: " in capsys.readouterr().err
    assert list(tmp_path.glob("*.new")) == []
    named = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert named == {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
