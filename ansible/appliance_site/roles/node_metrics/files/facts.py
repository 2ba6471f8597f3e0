"""Tell node_exporter's textfile collector what only this appliance knows of a host.

    facts.py FILE [--site DIRECTORY --bundle NAME]

Writes FILE, whose name ends with ``.prom``, whole or not at all.  With ``--site``, on the
depot, it also tells which version of the bundle is in use there.  A part that cannot be
told is named by ``appliance_facts_failed`` and on standard error; the others are told.

Reads only.  Runs as root on every host: their own Python, openssl, nft and systemctl.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_TLS = Path("/etc/appliance/tls")
_INSTALLED = Path("/var/lib/appliance/installed.sha256")  # what the role evidence has seen at the end of the last run
_READY = Path("/run/appliance/ready")
_UNITS = Path("/etc/containers/systemd")
_WEIGHTS = Path("/run/appliance/weights")
_RECORD = re.compile(r" --record /run/appliance/weights/([a-z0-9._+-]+)\.json")
_AUDIT = Path("/var/log/appliance-gateway")
_RULES = Path("/etc/appliance/egress.nft")
_JOURNALS = Path("/var/log/appliance-journal")  # of other hosts, on those that monitor
_SOCKETS = Path("/etc/systemd/system/sockets.target.wants")
_END = b"-----END X509 CRL-----"
_LOG_TAIL = 4 * 1024 * 1024  # bytes of the site's log that are searched for the last verification
_TOLD = {  # type and meaning of each series, below the prefix appliance_
    "facts_timestamp_seconds": "When these facts were found.",
    "facts_failed": "A part of the facts that could not be told.",
    "bundle_info": "The version of the bundle that is in use.",
    "bundle_expires_timestamp_seconds": "When the bundle in use expires.",
    "bundle_verified_timestamp_seconds": "When it was verified last, by import or verify.",
    "bundle_signer_info": "Whose signature it was accepted with then.",
    "certificate_expires_timestamp_seconds": "When the first certificate of a file ends.",
    "crl_expires_timestamp_seconds": "When the first revocation list of a file that ends does so.",
    "files_watched": "Files that the last run of the playbook has left.",
    "file_changed": "One of them that is not as it was left.",
    "unit_failed": "A systemd unit that has failed.",
    "weights_changed": "Whether weights are not as they were when they were hashed last, or were found wrong then.",
    "weights_checked_timestamp_seconds": "When all weights of a model or adapter were hashed and found as listed.",
    "model_ready": "Whether the gateway sends requests to a model.",
    "model_restarts_total": "How often systemd has started a model again by itself.",
    "egress_rules": "Whether the packet filter has our table.",
    "egress_dropped_packets_total": "Packets that the packet filter has dropped.",
    "egress_dropped_bytes_total": "Bytes of them.",
    "audit_log_bytes": "Size of the audit log that is written now.",
    "audit_filesystem_bytes": "Size of the file system that it is on.",
    "audit_filesystem_free_bytes": "What is free of it for the gateway.",
    "journal_newest_timestamp_seconds": "When the newest line was written that has come of a host's journal; 0: none.",
    "journal_bytes": "Bytes of disk that the journal of a host takes here.",
}
Sample = tuple[str, dict[str, str], float]


def main() -> int:
    """The exit code: 1 when a part could not be told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--site", type=Path)
    parser.add_argument("--bundle", default="")
    given = parser.parse_args()
    parts: dict[str, Callable[[], Iterator[Sample]]] = {
        "bundle": lambda: _bundle(given.site, given.bundle) if given.site else iter(()),
        "certificates": _certificates,
        "files": _files,
        "units": _failed_units,
        "weights": _weights,
        "models": _models,
        "egress": _egress,
        "audit": _audit,
        "journals": _journals,
    }
    failed = 0
    samples: list[Sample] = []
    for part, find in parts.items():
        try:
            samples += list(find())
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            failed = 1
            samples.append(("facts_failed", {"part": part}, 1))
            print(f"{part}: {error}", file=sys.stderr)
    samples.append(("facts_timestamp_seconds", {}, time.time()))
    _write(given.file, _text(samples))
    return failed


def _bundle(site: Path, name: str) -> Iterator[Sample]:
    head = json.loads((site / "current" / name / "statement.json").read_bytes())["predicate"]
    labels = {"bundle": str(head["name"]), "version": str(head["version"])}
    yield "bundle_info", labels, 1
    yield "bundle_expires_timestamp_seconds", labels, _moment(head["expires"])
    if verified := _verified(site / "log" / "log.jsonl", labels["bundle"], labels["version"]):
        yield "bundle_verified_timestamp_seconds", labels, _moment(verified["time"])
        for signer in verified["details"]["signers"]:
            yield "bundle_signer_info", {**labels, "signer": signer["label"], "keyid": signer["keyid"]}, 1


def _verified(log: Path, name: str, version: str) -> dict[str, Any] | None:
    """The last line of the site's log that says that this version was accepted (docs/auditing.md)."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL))
        lines = file.read().split(b"\n")
    for line in reversed(lines):
        if b'"event":"import"' in line or b'"event":"verify"' in line:
            try:
                entry: dict[str, Any] = json.loads(line)
            except ValueError:  # the first of what was read may lack its beginning
                continue
            details = entry["details"]
            bundle = details.get("bundle") or {}
            if details.get("result") == "accepted" and (bundle.get("name"), bundle.get("version")) == (name, version):
                return entry
    return None


def _certificates() -> Iterator[Sample]:
    for path in sorted(_TLS.glob("*.pem")):
        data = path.read_bytes()
        if _END in data:
            lists = [block + _END for block in data.split(_END)[:-1]]
            ends = [_openssl_date("crl", "-nextupdate", block) for block in lists]
            yield "crl_expires_timestamp_seconds", {"path": str(path)}, min(ends)
        elif b"-----BEGIN CERTIFICATE-----" in data:
            end = _openssl_date("x509", "-enddate", data)
            yield "certificate_expires_timestamp_seconds", {"path": str(path)}, end


def _openssl_date(form: str, what: str, data: bytes) -> float:
    command = ["/usr/bin/openssl", form, "-noout", what, "-dateopt", "iso_8601"]
    said = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout.decode()
    return datetime.strptime(said.strip().partition("=")[2], "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _files() -> Iterator[Sample]:
    if not _INSTALLED.exists():
        return
    lines = _INSTALLED.read_text().splitlines()
    yield "files_watched", {}, len(lines)
    for line in lines:
        digest, _, path = line.partition("  ")
        try:
            found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError:
            found = ""
        if found != digest:
            yield "file_changed", {"path": path}, 1


def _failed_units() -> Iterator[Sample]:
    listed = _output("/usr/bin/systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--full")
    for line in listed.splitlines():
        yield "unit_failed", {"unit": line.split()[0]}, 1


def _weights() -> Iterator[Sample]:
    """By the records of ``weights.py check``, which leaves none of weights that are not as the bundle lists them."""
    for model, records in _records().items():
        if not all(record.exists() for record in records):
            yield "weights_changed", {"model": model}, 1
            continue
        checked = [json.loads(record.read_bytes()) for record in records]
        yield "weights_changed", {"model": model}, any(map(_changed, checked))
        yield "weights_checked_timestamp_seconds", {"model": model}, min(one["time"] for one in checked)


def _changed(checked: dict[str, Any]) -> bool:
    directory = Path(checked["directory"])
    return any(_stamp(directory / name) != stamp for name, stamp in checked["files"].items())


def _stamp(path: Path) -> list[int] | None:
    """As ``weights.py`` writes it."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _models() -> Iterator[Sample]:
    for model in _served():
        restarts = _output("/usr/bin/systemctl", "show", "--value", "--property=NRestarts", f"vllm-{model}.service")
        yield "model_ready", {"model": model}, (_READY / model).exists()
        yield "model_restarts_total", {"model": model}, int(restarts)


def _records() -> dict[str, list[Path]]:
    """The records of all weights that are hashed before each start, by model or adapter.

    What stands behind a "+" is for one of the two: weights that guess a model's tokens count as the model's.
    """
    found = {model: {model} for model in _served()}
    for unit in sorted(_UNITS.glob("vllm-*.container")):
        for name in _RECORD.findall(unit.read_text()):
            found.setdefault(name.partition("+")[0], set()).add(name)
    return {model: [_WEIGHTS / f"{name}.json" for name in sorted(names)] for model, names in sorted(found.items())}


def _served() -> list[str]:
    return [unit.stem.removeprefix("vllm-") for unit in sorted(_UNITS.glob("vllm-*.container"))]


def _egress() -> Iterator[Sample]:
    if not _RULES.exists():
        return
    command = ["/usr/sbin/nft", "--json", "list", "counters", "table", "inet", "appliance"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    yield "egress_rules", {}, listed.returncode == 0
    for entry in json.loads(listed.stdout)["nftables"] if listed.returncode == 0 else ():
        if counter := entry.get("counter"):
            chain = {"chain": counter["name"].removesuffix("_dropped")}
            yield "egress_dropped_packets_total", chain, counter["packets"]
            yield "egress_dropped_bytes_total", chain, counter["bytes"]


def _audit() -> Iterator[Sample]:
    if not _AUDIT.exists():
        return
    log, disk = _AUDIT / "audit.log", os.statvfs(_AUDIT)
    yield "audit_log_bytes", {}, log.stat().st_size if log.exists() else 0
    yield "audit_filesystem_bytes", {}, disk.f_blocks * disk.f_frsize
    yield "audit_filesystem_free_bytes", {}, disk.f_bavail * disk.f_frsize


def _journals() -> Iterator[Sample]:
    """Of each host whose journal is to come here, whether it does or not."""
    begin, end = "appliance-journal-remote@", ".socket"
    for socket in sorted(_SOCKETS.glob(f"{begin}*{end}")):
        host = socket.name.removeprefix(begin).removesuffix(end)
        files = list((_JOURNALS / host).glob("*.journal"))
        yield "journal_newest_timestamp_seconds", {"host": host}, _newest(_JOURNALS / host) if files else 0
        yield "journal_bytes", {"host": host}, sum(file.stat().st_blocks for file in files) * 512


def _newest(directory: Path) -> float:
    """Seconds since 1970 of the last line, by the clock of its host; 0 when there is none."""
    last = ("--quiet", "--lines=1", "--output=json", "--output-fields=PRIORITY")
    line = _output("/usr/bin/journalctl", f"--directory={directory}", *last)
    return int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6 if line else 0


def _moment(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def _text(samples: list[Sample]) -> str:
    """In Prometheus' text format: the samples of a name stand together."""
    lines = []
    for name, meaning in _TOLD.items():
        found = [
            f"appliance_{name}{_labels(labels)} {float(value)!r}" for known, labels, value in samples if known == name
        ]
        if found:
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP appliance_{name} {meaning}", f"# TYPE appliance_{name} {kind}", *found]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: dict[str, str]) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

    pairs = ",".join(f'{name}="{quoted(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.chmod(0o644)
    beside.rename(path)


if __name__ == "__main__":
    sys.exit(main())
