"""OS packages with real apt, dpkg and gpg: a signed archive on loopback, and Debian's own.

Everything runs under umask 077 and in a path with a space.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from appliance.artifacts.base import Context
from appliance.artifacts.os_packages.repository import flat_repository
from appliance.artifacts.os_packages.section import OsPackagesSection
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.steps.lock import lock
from appliance.store.cache import Cache
from appliance.tools import http
from tests.support.debian_archive import NOW, Archive, SigningKey, build_deb, days_ago, served
from tests.support.debian_host import APP, KIND, RESOLVE_AS_USER, SECURITY_FIX, World, host_apt_state, place, retire
from tests.support.locking import lock_one
from tests.support.umask import umask

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(shutil.which, ("apt-get", "dpkg-deb", "gpg", "gpg-agent"))),
        reason="needs apt-get, dpkg-deb, gpg and gpg-agent",
    ),
]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, SigningKey]) -> Archive:
    """What a tiny release consists of; tests work on copies.

    The building machine has a newer dpkg installed: looking at it would give another closure.
    """
    archive = Archive(tmp_path_factory.mktemp("archive"), keys["archive"])
    archive.add("trixie", "dpkg", "0.1-1", Essential="yes")
    archive.add("trixie", "app", "2:1.4+dfsg~rc1-1", Depends="lib (>= 1.0-1+deb13u1)", Recommends="extra")
    archive.add("trixie", "lib")
    archive.add("trixie", "extra")
    archive.add("trixie-security", "lib", "1.0-1+deb13u1")
    for suite in ("trixie", "trixie-updates", "trixie-security"):
        archive.publish(suite)
    return archive


@pytest.fixture
def closed_umask() -> Iterator[None]:
    with umask(0o077):
        yield


@pytest.fixture
def world(tmp_path: Path, release: Archive, closed_umask: None) -> Iterator[World]:
    folder = tmp_path / "a host"
    folder.mkdir()
    archive = release.copy(folder / "www" / "debian")
    (folder / "www" / "debian-security").symlink_to("debian")
    (folder / "archive keys.gpg").write_bytes(archive.key.public)
    with served(folder / "www") as url:
        yield World(folder, archive, url, Context(folder, Cache(folder / "cache"), Silent()))


def test_the_closure_is_essential_and_depended_on_packages_at_their_newest(world: World) -> None:
    before = host_apt_state()
    artifact = world.lock("app")
    assert [file.path for file in artifact.files] == [
        "app_1.4+dfsg~rc1-1_all.deb",
        "dpkg_0.1-1_all.deb",
        "lib_1.0-1+deb13u1_all.deb",
    ]
    assert artifact.files[0].url == f"{world.url}/debian/pool/main/a/app_1.4%2Bdfsg~rc1-1_all.deb"
    assert host_apt_state() == before
    assert list((world.cache.root / "work").iterdir()) == []


def test_the_order_in_a_definition_decides_nothing(world: World) -> None:
    world.archive.add("trixie", "needs-any", Depends="first | second")
    world.archive.add("trixie", "first")
    world.archive.add("trixie", "second")
    world.archive.add("trixie", "a-needs-second", Depends="second")
    world.archive.publish("trixie")
    assert world.lock("needs-any", "a-needs-second").files == world.lock("a-needs-second", "needs-any").files


def test_the_record_names_suites_dates_and_signers(world: World, keys: dict[str, SigningKey]) -> None:
    record = world.lock().source
    assert record["archive-time"] == NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    for suite in ("trixie", "trixie-updates", "trixie-security"):
        assert record[f"archive-release-{suite}"].endswith(f"signed by {keys['archive'].fingerprint}")


def test_stock_apt_installs_from_the_laid_out_repository(world: World) -> None:
    artifact = world.lock()
    KIND.fetch(artifact, world.context)
    repository = place(world, artifact)
    root = world.folder / "a target"
    for name in ("lists/partial", "archives/partial", "etc/preferences.d", "etc/trusted.gpg.d"):
        (root / name).mkdir(parents=True)
    (root / "status").touch()
    address = f"file://{repository}".replace(" ", "%20")
    (root / "etc/sources.list").write_text(f"deb [trusted=yes] {address} ./\n")
    (root / "apt.conf").write_text('Dir::Etc::main "/dev/null";\nDir::Etc::parts "/dev/null";\n')
    options = [f"Dir::Etc={root}/etc", f"Dir::State={root}", f"Dir::State::status={root}/status", f"Dir::Cache={root}"]
    options += ["APT::Sandbox::User=root", "APT::Architecture=amd64", "APT::Architectures::=amd64"]
    apt = ["apt-get", *(word for option in options for word in ("--option", option)), "--quiet", "--yes"]
    environment = {**os.environ, "APT_CONFIG": str(root / "apt.conf")}
    subprocess.run([*apt, "update"], env=environment, check=True, capture_output=True)
    # What dpkg would be given is compared byte by byte with what was locked.
    subprocess.run(
        [*apt, "install", "--download-only", "--no-install-recommends", "?essential", "app"],
        env=environment,
        check=True,
        capture_output=True,
    )
    plan = subprocess.run(
        [*apt, "install", "--simulate", "?essential", "app"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    installed = sorted(line.split()[1] for line in plan.splitlines() if line.startswith("Inst "))
    assert installed == ["app", "dpkg", "lib"]


def test_the_same_lock_gives_the_same_bytes_on_another_machine(world: World) -> None:
    first = world.lock()
    assert world.lock() == first
    other = Context(world.folder, Cache(world.folder / "another cache"), Silent())
    for context in (world.context, other):
        KIND.fetch(first, context)
    assert KIND.lay_out([first], world.context) == KIND.lay_out([first], other)


def test_packages_of_an_image_make_a_flat_repository(world: World) -> None:
    artifact = world.lock()
    KIND.fetch(artifact, world.context)
    packages, release = flat_repository(artifact.files, world.cache)
    fields = subprocess.run(
        ["dpkg-deb", "--field", world.cache.path(artifact.files[0])], check=True, capture_output=True, text=True
    ).stdout
    assert packages.decode().startswith(f"{fields}Filename: ./{artifact.files[0].path}\n")
    assert f"{len(packages)} Packages\n" in release.decode()


def sign_with_other_key(world: World, keys: dict[str, SigningKey]) -> None:
    world.archive.key = keys["other"]
    world.archive.publish("trixie-updates")


def change_signed_text(world: World, keys: dict[str, SigningKey]) -> None:
    signed = world.archive.publish("trixie-updates")
    signed.write_bytes(signed.read_bytes().replace(b"Origin: Test", b"Origin: Best"))


def let_it_expire(world: World, keys: dict[str, SigningKey]) -> None:
    world.archive.publish("trixie-updates", Date=days_ago(20), Valid_Until=days_ago(13))


def drop_signature(world: World, keys: dict[str, SigningKey]) -> None:
    signed = world.archive.publish("trixie-updates")
    text = signed.read_text().partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE-----")[0]
    signed.rename(signed.with_name("Release")).write_text(text)


def offer_another_suite(world: World, keys: dict[str, SigningKey]) -> None:
    suites = world.archive.root / "dists"
    shutil.rmtree(suites / "trixie-updates")
    shutil.copytree(suites / "trixie", suites / "trixie-updates")


def change_index(world: World, keys: dict[str, SigningKey]) -> None:
    world.archive.add("trixie-updates", "more")
    world.archive.publish("trixie-updates")
    index = world.archive.root / "dists/trixie-updates/main/binary-amd64/Packages"
    index.write_bytes(index.read_bytes().replace(b"the package more", b"the package MORE"))


@pytest.mark.parametrize(
    "attack",
    [sign_with_other_key, change_signed_text, let_it_expire, drop_signature, offer_another_suite, change_index],
)
def test_an_archive_that_its_keyring_does_not_vouch_for_is_refused(
    world: World, keys: dict[str, SigningKey], attack: object
) -> None:
    assert callable(attack)
    attack(world, keys)
    with pytest.raises(NotTrusted) as caught:
        world.lock()
    assert caught.value.reference == "archive-signature"
    assert caught.value.exit_code == 3
    assert "trixie-updates" in caught.value.where


@pytest.mark.parametrize(("name", "nearest"), [("ap", "'app'"), ("librarian", "real package")])
def test_an_unknown_package_is_named_with_the_nearest_one(world: World, name: str, nearest: str) -> None:
    with pytest.raises(BadInput) as caught:
        world.lock("dpkg", name)
    assert caught.value.reference == "package-unknown"
    assert f"'{name}'" in caught.value.what
    assert nearest in caught.value.hint


def test_an_unknown_package_is_named_with_its_line(world: World) -> None:
    path = world.folder / "x.yaml"
    section = {"os-packages": {"hosts": world.section("dpkg", "ap").model_dump(mode="json")}}
    head = {"schema": "appliance.definition/v1", "name": "x", "version": "1.0.0", "description": "two packages"}
    path.write_text(yaml.safe_dump({**head, **section}, sort_keys=False))
    with pytest.raises(BadInput, match="no package 'ap' in trixie, trixie-updates, trixie-security") as caught:
        lock(path, world.cache, Silent())
    line = path.read_text().splitlines().index("    - ap") + 1
    assert caught.value.where == f"{path}:{line}: os-packages.hosts.packages.1"


def test_sid_has_no_updates_and_no_security_fixes(world: World) -> None:
    world.archive.packages["sid"] = world.archive.packages["trixie"]
    world.archive.publish("sid")
    assert "lib_1.0-1_all.deb" in [file.path for file in world.lock("lib", suite="sid").files]


def test_packages_that_exclude_each_other_are_named(world: World) -> None:
    world.archive.add("trixie", "rival", Conflicts="app")
    world.archive.publish("trixie")
    with pytest.raises(BadInput, match=r"rival : Conflicts: app") as caught:
        world.lock("app", "rival")
    assert caught.value.reference == "packages-unsatisfiable"


def test_a_suite_that_is_not_there_is_named(world: World) -> None:
    with pytest.raises(BadInput, match="no suite forky") as caught:
        world.lock(suite="forky")
    assert caught.value.reference == "source-gone"


def test_an_archive_that_does_not_answer_is_named(world: World) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken and not listened on: nobody answers there
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(BadInput) as caught:
            world.lock(mirror=url, security=None)
    assert caught.value.reference == "source-unreachable"
    assert url in caught.value.where


@pytest.mark.parametrize(("content", "reference"), [(None, "keyring-missing"), ("armoured", "keyring-format")])
def test_a_keyring_that_cannot_be_used_is_named(
    world: World, keys: dict[str, SigningKey], content: str | None, reference: str
) -> None:
    keyring = world.folder / "archive keys.gpg"
    keyring.unlink()
    if content:
        keyring.write_bytes(keys["archive"].armoured())
    with pytest.raises(BadInput) as caught:
        world.lock()
    assert caught.value.reference == reference
    assert caught.value.where == str(keyring)


def test_a_host_without_apt_is_told_where_to_lock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(world.folder))
    with pytest.raises(BadInput, match="no apt-get") as caught:
        world.lock()
    assert "Debian" in caught.value.hint


def test_retired_packages_come_from_the_snapshot_archive(world: World) -> None:
    artifact = world.lock()
    retire(world, *APP, keep_in_snapshot=True)
    retire(world, *SECURITY_FIX, keep_in_snapshot=True)
    KIND.fetch(artifact, world.context)
    assert world.cache.missing(artifact.files) == []


def test_a_package_that_nobody_has_makes_the_lock_stale(world: World) -> None:
    artifact = world.lock()
    retire(world, *APP, keep_in_snapshot=False)
    with pytest.raises(
        Stale, match=r"no longer has app_1\.4\+dfsg~rc1-1_all\.deb, and the snapshot did not help"
    ) as caught:
        KIND.fetch(artifact, world.context)
    assert caught.value.hint == "renew it: appliance lock DEFINITION --only os-packages/hosts"
    assert len(world.cache.missing(artifact.files)) == 1  # what can be had is kept


@pytest.mark.parametrize("snapshot", [None, "http://127.0.0.1:1"])
def test_without_a_snapshot_a_retired_package_makes_the_lock_stale(
    world: World, monkeypatch: pytest.MonkeyPatch, snapshot: str | None
) -> None:
    monkeypatch.setattr(http, "ATTEMPTS", 1)
    artifact = world.lock(snapshot=snapshot)
    retire(world, *APP, keep_in_snapshot=True)
    with pytest.raises(Stale, match="no longer has app_"):
        KIND.fetch(artifact, world.context)


def test_changed_bytes_of_a_package_are_refused(world: World) -> None:
    artifact = world.lock()
    deb = world.archive.root / "pool/main/a/app_1.4+dfsg~rc1-1_all.deb"
    data = bytearray(deb.read_bytes())
    data[-1] ^= 1
    deb.write_bytes(data)
    with pytest.raises(NotTrusted) as caught:
        KIND.fetch(artifact, world.context)
    assert caught.value.reference == "content-mismatch"
    assert not world.cache.holds(artifact.files[0])


def test_a_locked_file_that_is_another_package_is_refused(world: World) -> None:
    artifact = world.lock()
    other = build_deb(world.folder, "app", "2:9.9-1")
    content = world.cache.copy_in(other)
    wrong = replace(artifact.files[0], sha256=content.sha256, size=content.size)
    with pytest.raises(NotTrusted) as caught:
        KIND.fetch(artifact.model_copy(update={"files": (wrong,)}), world.context)
    assert caught.value.reference == "deb-mismatch"
    assert (caught.value.expected, caught.value.found) == (wrong.path, "app_9.9-1_all.deb")


def test_an_ordinary_user_can_resolve_and_fetch(world: World) -> None:
    as_user = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
    if as_user and subprocess.run([*as_user, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs user namespaces, to run as another user than root")
    section = world.section().model_dump_json()
    ran = subprocess.run(
        [*as_user, sys.executable, "-c", RESOLVE_AS_USER, world.folder, section],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    user, files = ran.stdout.split() or [ran.stderr, ""]
    assert user != "0"
    assert files == "3"


DEMO = ("docker-registry", "jq", "nftables", "nginx", "openssl", "podman")


def debian(world: World, *packages: str) -> LockedArtifact:
    values = {"distribution": "debian", "suite": "trixie", "architecture": "amd64", "licence": "various"}
    section = OsPackagesSection.model_validate_json(json.dumps({**values, "packages": packages}))
    return lock_one(KIND, "debian13", section, world.context)


def test_the_distributions_keyring_vouches_for_debian_13(world: World) -> None:
    names = {file.path.partition("_")[0] for file in debian(world, "jq", "openssl").files}
    assert {"jq", "libjq1", "openssl", "libc6", "dpkg", "apt"} <= names


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mmdebstrap"), reason="needs root and mmdebstrap")
def test_a_bare_host_installs_all_it_needs_offline(world: World) -> None:
    artifact = debian(world, *DEMO)
    KIND.fetch(artifact, world.context)
    repository = place(world, artifact)
    works = "nginx -v; podman --version; nft --version; docker-registry --version; jq --version; openssl version"
    subprocess.run(
        [
            "unshare",
            "--net",
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=apt",
            "--format=null",
            "--dpkgopt=force-unsafe-io",
            '--aptopt=APT::Sandbox::User "root"',
            f"--include={','.join(DEMO)}",
            f'--customize-hook=chroot "$1" sh -ec "{works}; dpkg --audit"',
            "trixie",
            "-",
            f"deb [trusted=yes] copy://{repository} ./".replace("a host", "a%20host"),
        ],
        umask=0o022,
        env={**os.environ, "TMPDIR": str(world.folder)},
        check=True,
        capture_output=True,
    )
