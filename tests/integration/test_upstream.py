"""What archives have signed travels with a bundle: gpgv and sha256sum lead from a key to each package.

A whole definition is locked and built from real signed archives on loopback, and docs/provenance.md checks it.
"""

import json
import lzma
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.support.debian_archive import NOW, Archive, FlatRepository, SigningKey, rfc_date, served, sha256
from tests.support.documents import commands
from tests.support.project import Project

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(shutil.which, ("apt-get", "dpkg-deb", "gpg", "gpg-agent", "gpgv"))),
        reason="needs apt-get, dpkg-deb, gpg, gpg-agent and gpgv",
    ),
]
SUITES = ("trixie", "trixie-security")
ALL_SIGNED = "an archive has signed every package that was taken\n"
ARCHIVES = "evidence/upstream/archives"


class LastingArchive(Archive):
    """An archive like Debian's: its index is there packed, and under its digest; unpacked it is nowhere."""

    def publish(self, suite: str, **fields: str) -> Path:
        super().publish(suite, **fields)
        folder = self.root / "dists" / suite
        index = folder / "main/binary-amd64/Packages"
        unpacked, packed = index.read_bytes(), lzma.compress(index.read_bytes())
        by_hash = index.parent / "by-hash/SHA256" / sha256(packed)
        by_hash.parent.mkdir(parents=True, exist_ok=True)
        by_hash.write_bytes(packed)
        index.with_suffix(".xz").write_bytes(packed)
        index.unlink()
        release = "".join(
            f"{line}\n"
            for line in (
                f"Suite: {suite}",
                f"Codename: {suite}",
                f"Date: {fields.get('Date', rfc_date(NOW))}",
                "Acquire-By-Hash: yes",
                "Architectures: amd64",
                "Components: main",
                "SHA256:",
                f" {sha256(unpacked)} {len(unpacked)} main/binary-amd64/Packages",
                f" {sha256(packed)} {len(packed)} main/binary-amd64/Packages.xz",
            )
        )
        (folder / "InRelease").write_bytes(self.key.clearsign(release.encode()))
        return folder / "InRelease"


@dataclass(frozen=True)
class Host(Project):
    """A definition of a package set, and the archives that it comes from."""

    archive: LastingArchive
    vendor: FlatRepository

    def lock(self, *arguments: str) -> dict[str, object]:
        self.run("lock", "hosts.yaml", *arguments).check_returncode()
        (artifact,) = yaml.safe_load((self.folder / "hosts.lock.yaml").read_text())["artifacts"]
        assert isinstance(artifact, dict)
        return artifact

    def built(self, cache: str = "cache") -> "subprocess.CompletedProcess[str]":
        place = str(self.folder / cache)
        return self.run("build", "hosts.yaml", "--key", "key.pem", "--out", f"dist of {cache}", APPLIANCE_CACHE=place)

    @property
    def bundle(self) -> Path:
        return self.folder / "dist of cache" / "hosts-1.0.0"

    def checked(self) -> str:
        """What the document's commands say of the bundle."""
        script = commands("provenance.md", "Check again what an archive has signed")[0]
        environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(self.folder), "HOME": str(self.folder)}
        return subprocess.run(
            ["sh", "-c", script], cwd=self.bundle, env=environment, capture_output=True, text=True, check=False
        ).stdout


def said(signer: str, packages: int) -> str:
    return f"apt has accepted its signature, which names {signer}; it lists {packages} of the packages"


@pytest.fixture
def host(tmp_path: Path, keys: dict[str, SigningKey]) -> Iterator[Host]:
    folder = tmp_path / "a host"
    archive = LastingArchive(folder / "www" / "debian", keys["archive"])
    archive.add("trixie", "dpkg", "0.1-1", Essential="yes")
    archive.add("trixie", "lib")
    archive.add("trixie-security", "lib", "1.0-1+deb13u1")
    for suite in ("trixie", "trixie-updates", "trixie-security"):
        archive.publish(suite)
    (folder / "www" / "debian-security").symlink_to("debian")
    (folder / "archive.gpg").write_bytes(keys["archive"].public)
    vendor = FlatRepository(folder / "www" / "vendor", keys["vendor"])
    vendor.root.mkdir(parents=True)
    vendor.add("driver", "580.1-1", Depends="lib")
    vendor.publish()
    (folder / "vendor.asc").write_bytes(keys["vendor"].armoured())
    with served(folder / "www") as url:
        section = {
            "distribution": "debian",
            "suite": "trixie",
            "architecture": "amd64",
            "mirror": f"{url}/debian",
            "security": f"{url}/debian-security",
            "snapshot": f"{url}/snapshot",
            "keyring": "archive.gpg",
            "packages": ["dpkg", "driver"],
            "licence": "various",
            "repositories": [
                {
                    "name": "vendor",
                    "url": f"{url}/vendor",
                    "suite": "/",
                    "signed_by": {"key": "vendor.asc", "fingerprint": keys["vendor"].fingerprint},
                    "packages": ["driver"],
                }
            ],
        }
        head = {"schema": "appliance.definition/v1", "name": "hosts", "version": "1.0.0", "description": "a driver"}
        (folder / "hosts.yaml").write_text(yaml.safe_dump({**head, "os-packages": {"hosts": section}}))
        project = Host(folder, archive, vendor)
        project.run("keys", "new", "key.pem", "--no-passphrase").check_returncode()
        project.run("root", "new", "key.root.json", "--key", "key.pem").check_returncode()
        yield project


def test_gpgv_and_sha256sum_lead_from_the_keys_to_each_package(host: Host, keys: dict[str, SigningKey]) -> None:
    host.lock()
    assert host.built().returncode == 0
    assert host.checked() == ALL_SIGNED
    report = json.loads((host.bundle / "evidence/upstream.json").read_text())
    (artifact,) = report["artifacts"]
    assert artifact["artifact"] == "os-packages/hosts"
    found = {finding["about"].partition("/debian")[2] or "vendor": finding for finding in artifact["findings"]}
    assert {finding["state"] for finding in found.values()} == {"verified"}
    archive, vendor = keys["archive"].fingerprint, keys["vendor"].fingerprint
    assert found[" trixie"]["said"] == said(archive, 1)
    assert found["-security trixie-security"]["said"] == said(archive, 1)
    assert found[" trixie-updates"]["said"] == said(archive, 0)
    assert found["vendor"]["said"] == said(vendor, 1)
    assert all((host.bundle / "evidence/upstream" / path).is_file() for f in found.values() for path in f["evidence"])


@pytest.mark.parametrize("name", ["InRelease", "keys.gpg", "Packages.xz", "Packages"])
def test_evidence_that_was_changed_leads_nowhere(host: Host, name: str) -> None:
    host.lock()
    assert host.built().returncode == 0
    path = min(path for path in (host.bundle / ARCHIVES).rglob(name))
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data.replace(b"Version", b"version") if name == "Packages" else data[:100] + data[101:])
    assert host.checked() == ""


def test_a_package_that_no_archive_has_signed_is_noticed(host: Host) -> None:
    host.lock()
    assert host.built().returncode == 0
    path = host.bundle / "evidence/provenance.json"
    statement = json.loads(path.read_text())
    added = {"name": "os-packages/hosts/added_1_all.deb", "digest": {"sha256": 64 * "0"}}
    statement["predicate"]["buildDefinition"]["resolvedDependencies"].append(added)
    path.unlink()
    path.write_text(json.dumps(statement))
    assert host.checked() == ""


def test_a_second_builder_gets_the_same_when_the_archives_have_moved_on(host: Host) -> None:
    host.lock()
    assert host.built().returncode == 0
    for suite in ("trixie-updates", "trixie-security"):
        host.archive.add(suite, f"news-{suite}", "2-1")
        host.archive.publish(suite)
    host.vendor.add("news", "3-1")
    host.vendor.publish()
    assert host.built("another cache").returncode == 0
    first, second = (host.folder / f"dist of {cache}/hosts-1.0.0/SHA256SUMS" for cache in ("cache", "another cache"))
    assert first.read_bytes() == second.read_bytes()


def test_archives_are_not_searched_when_those_before_list_all(host: Host) -> None:
    path = host.folder / "hosts.yaml"
    definition = yaml.safe_load(path.read_text())
    section = definition["os-packages"]["hosts"]
    del section["repositories"]
    path.write_text(yaml.safe_dump(definition | {"os-packages": {"hosts": section | {"packages": ["dpkg"]}}}))
    findings = host.lock()["upstream"]
    assert isinstance(findings, list)
    ends = [finding["said"].partition("; ")[2] for finding in findings]
    assert ends == ["it lists 1 of the packages", *["archives before it list all of the packages"] * 2]
    indexes = {suite: host.archive.root / "dists" / suite / "main/binary-amd64/Packages.xz" for suite in SUITES}
    held = {suite: any(host.folder.glob(f"**/blobs/**/{sha256(path.read_bytes())}")) for suite, path in indexes.items()}
    assert held == {"trixie": True, "trixie-security": False}


@pytest.mark.parametrize("cache", ["cache", "another cache"])
def test_a_build_without_what_lies_beside_the_lock_says_so(host: Host, cache: str) -> None:
    """Where the lock was made as elsewhere: whoever commits it without that learns it at once."""
    host.lock()
    shutil.rmtree(host.folder / "hosts.upstream")
    done = host.built(cache)
    assert done.returncode == 2
    assert "what upstream has signed is not beside the lock: archives/" in done.stderr
    assert "appliance lock hosts.yaml --only os-packages/hosts" in done.stderr
    host.lock()  # it is in the cache of this host
    assert host.built("another cache").returncode == 0


@pytest.mark.parametrize("cache", ["cache", "another cache"])
def test_other_bytes_beside_the_lock_are_refused(host: Host, cache: str) -> None:
    host.lock()
    victim = min((host.folder / "hosts.upstream").iterdir())
    victim.write_bytes(b"something else")
    done = host.built(cache)
    assert done.returncode == 3
    assert "what upstream has signed is other bytes than the lock names" in done.stderr


@pytest.mark.parametrize("in_snapshot", [True, False])
def test_an_index_that_the_mirror_has_retired_comes_from_the_snapshot(host: Host, in_snapshot: bool) -> None:
    evidence = host.lock()["evidence"]
    assert isinstance(evidence, list)
    url = next(file["url"] for file in evidence if "/debian/dists/trixie/" in file.get("url", ""))
    path = url.split("/", 4)[4]
    stamp = (NOW + timedelta(days=1)).strftime("%Y%m%dT%H%M%SZ")
    kept = host.folder / "www/snapshot/archive/debian" / stamp / path
    kept.parent.mkdir(parents=True)
    (host.folder / "www/debian" / path).rename(kept)
    if not in_snapshot:
        kept.unlink()
    done = host.built("another cache")
    assert done.returncode == (0 if in_snapshot else 2)
    assert ("the mirror no longer has archives/" in done.stderr) == (not in_snapshot)


def test_what_no_entry_names_any_more_does_not_stay_beside_the_lock(host: Host) -> None:
    host.lock()
    before = {path.name for path in (host.folder / "hosts.upstream").iterdir()}
    host.archive.add("trixie-security", "lib", "1.0-1+deb13u2")
    host.archive.publish("trixie-security")
    artifact = host.lock("--only", "os-packages/hosts")
    after = {path.name for path in (host.folder / "hosts.upstream").iterdir()}
    evidence = artifact["evidence"]
    assert isinstance(evidence, list)
    assert before != after == {file["sha256"] for file in evidence if "url" not in file}


def test_where_no_package_has_changed_the_entry_stays_as_it_is(host: Host) -> None:
    first = host.lock()
    host.archive.add("trixie-updates", "news", "2-1")
    host.archive.publish("trixie-updates")
    assert host.lock("--only", "os-packages/hosts") == first
