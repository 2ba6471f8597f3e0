"""Repositories beside the distribution's, with real apt and gpg: who may sign them, and what may come from them.

The repository calls itself Debian in its release file, as anybody could.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from appliance.artifacts.base import Context
from appliance.artifacts.os_packages.keys import check_lasting
from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.steps.documents.lock import lock_path, read_lock
from appliance.steps.lock import lock
from appliance.store.cache import Cache
from tests.support.debian_archive import Archive, FlatRepository, SigningKey, days_ago, served
from tests.support.debian_host import KIND, World

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(shutil.which, ("apt-get", "dpkg-deb", "gpg", "gpg-agent"))),
        reason="needs apt-get, dpkg-deb, gpg and gpg-agent",
    ),
]


@dataclass
class Place(World):
    """A host whose definition names a vendor's flat repository beside the archive."""

    vendor: FlatRepository

    def repository(self, **changes: object) -> dict[str, object]:
        return {
            "name": "vendor",
            "url": f"{self.url}/vendor repo/x86_64".replace(" ", "%20"),
            "suite": "/",
            "signed_by": {"key": "vendor.asc", "fingerprint": self.vendor.key.fingerprint},
            "packages": ["driver", "firmware"],
            **changes,
        }

    def lock_with(self, *packages: str, **changes: object) -> LockedArtifact:
        return self.lock(*packages, repositories=[self.repository(**changes)])

    def lock_step(self, *arguments: str) -> LockedArtifact:
        """Through the step, beside the lock that is there."""
        path = self.folder / "gpu.yaml"
        section = self.section("app", "driver", repositories=[self.repository()]).model_dump(mode="json")
        head = {"schema": "appliance.definition/v1", "name": "gpu", "version": "1.0.0", "description": "a driver"}
        path.write_text(yaml.safe_dump({**head, "os-packages": {"hosts": section}}))
        lock(path, self.cache, Silent(), only=arguments)
        (artifact,) = read_lock(lock_path(path)).artifacts
        return artifact


@pytest.fixture
def place(tmp_path: Path, keys: dict[str, SigningKey]) -> Iterator[Place]:
    folder = tmp_path / "a host"
    archive = Archive(folder / "www" / "debian", keys["archive"])
    archive.add("trixie", "dpkg", "0.1-1", Essential="yes")
    archive.add("trixie", "app", Depends="lib")
    archive.add("trixie", "lib")
    for suite in ("trixie", "trixie-updates", "trixie-security"):
        archive.publish(suite)
    (folder / "www" / "debian-security").symlink_to("debian")
    (folder / "archive keys.gpg").write_bytes(keys["archive"].public)
    vendor = FlatRepository(folder / "www" / "vendor repo" / "x86_64", keys["vendor"])
    vendor.root.mkdir(parents=True)
    vendor.add("driver", "580.1-1", Depends="firmware (= 580.1-1), lib")
    vendor.add("firmware", "580.1-1")
    vendor.publish()
    (folder / "vendor.asc").write_bytes(keys["vendor"].armoured())
    with served(folder / "www") as url:
        yield Place(folder, archive, url, Context(folder, Cache(folder / "cache"), Silent()), vendor)


def refused(place: Place, *packages: str, **changes: object) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        place.lock_with(*(packages or ("driver",)), **changes)
    return caught.value


def test_packages_of_both_are_locked_and_can_be_fetched(place: Place) -> None:
    artifact = place.lock_with("app", "driver")
    assert {file.path: file.url and file.url.removeprefix(place.url) for file in artifact.files} == {
        "app_1.0-1_all.deb": "/debian/pool/main/a/app_1.0-1_all.deb",
        "dpkg_0.1-1_all.deb": "/debian/pool/main/d/dpkg_0.1-1_all.deb",
        "driver_580.1-1_all.deb": "/vendor%20repo/x86_64/./driver_580.1-1_all.deb",
        "firmware_580.1-1_all.deb": "/vendor%20repo/x86_64/./firmware_580.1-1_all.deb",
        "lib_1.0-1_all.deb": "/debian/pool/main/l/lib_1.0-1_all.deb",
    }
    KIND.fetch(artifact, place.context)
    assert place.cache.missing(artifact.files) == []


def test_the_record_says_who_signed_what(place: Place) -> None:
    record = place.lock_with("driver").source
    key = place.vendor.key.fingerprint
    assert record["archive-repository-vendor"].endswith(f"/vendor%20repo/x86_64 / by {key} for driver firmware")
    assert record["archive-released-vendor"].endswith(f"signed by {key}")


def test_a_repository_with_suites_is_asked_for_its_components(place: Place, keys: dict[str, SigningKey]) -> None:
    suites = Archive(place.folder / "www" / "suites", keys["vendor"])
    suites.add("stable", "driver", "590.1-1")
    suites.publish("stable")
    artifact = place.lock_with(
        "driver", url=f"{place.url}/suites", suite="stable", components=["main"], packages=["driver"]
    )
    assert "driver_590.1-1_all.deb" in [file.path for file in artifact.files]


def test_a_key_may_be_binary(place: Place) -> None:
    (place.folder / "vendor.asc").write_bytes(place.vendor.key.public)
    assert len(place.lock_with("driver").files) == 4


def test_a_file_with_another_key_is_refused(place: Place, keys: dict[str, SigningKey]) -> None:
    (place.folder / "vendor.asc").write_bytes(keys["other"].armoured())
    error = refused(place)
    assert (error.reference, error.exit_code) == ("repository-key", 3)
    assert (error.expected, error.found) == (keys["vendor"].fingerprint, keys["other"].fingerprint)
    assert error.where == str(place.folder / "vendor.asc")


def test_a_file_with_a_second_key_is_refused(place: Place, keys: dict[str, SigningKey]) -> None:
    (place.folder / "vendor.asc").write_bytes(keys["vendor"].public + keys["other"].public)
    error = refused(place)
    assert error.reference == "repository-key"
    assert keys["other"].fingerprint in error.found


@pytest.mark.parametrize(
    ("content", "reference"),
    [
        (None, "repository-key-missing"),
        (b"", "repository-key-format"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!\n-----END PGP PUBLIC KEY BLOCK-----\n", "repository-key-format"),
        (b"\x99\xff", "repository-key-format"),
    ],
)
def test_a_file_that_is_no_key_is_named(place: Place, content: bytes | None, reference: str) -> None:
    (place.folder / "vendor.asc").unlink()
    if content is not None:
        (place.folder / "vendor.asc").write_bytes(content)
    error = refused(place)
    assert (error.reference, error.where) == (reference, str(place.folder / "vendor.asc"))


def test_a_repository_that_another_key_signs_is_refused(place: Place, keys: dict[str, SigningKey]) -> None:
    place.vendor.key = keys["other"]
    place.vendor.publish()
    error = refused(place, signed_by={"key": "vendor.asc", "fingerprint": keys["vendor"].fingerprint})
    assert (error.reference, error.exit_code) == ("archive-signature", 3)
    assert "vendor" in error.where
    assert "a key that the definition does not name" in error.hint


def test_an_archive_cannot_be_signed_by_a_key_of_a_repository(place: Place, keys: dict[str, SigningKey]) -> None:
    place.archive.key = keys["vendor"]
    place.archive.publish("trixie-updates")
    error = refused(place)
    assert (error.reference, error.exit_code) == ("archive-signature", 3)
    assert "trixie-updates" in error.where


def test_a_repository_cannot_be_signed_by_the_distributions_key(place: Place, keys: dict[str, SigningKey]) -> None:
    place.vendor.key = keys["archive"]
    place.vendor.publish()
    error = refused(place, signed_by={"key": "vendor.asc", "fingerprint": keys["vendor"].fingerprint})
    assert error.reference == "archive-signature"


def test_an_expired_key_is_refused(place: Place, keys: dict[str, SigningKey]) -> None:
    place.vendor.key = keys["expired"]
    place.vendor.publish()
    (place.folder / "vendor.asc").write_bytes(keys["expired"].armoured())
    error = refused(place)
    assert (error.reference, error.exit_code) == ("archive-signature", 3)
    assert error.hint.startswith("the key has expired")


def test_an_expired_key_is_refused_whatever_verifies_for_apt(keys: dict[str, SigningKey]) -> None:
    """sqv takes what such a key says that it has signed before; gpgv, which the test above may have asked, does not."""
    expired, lasting = keys["expired"], keys["vendor"]
    with pytest.raises(NotTrusted) as caught:
        check_lasting([expired.fingerprint], expired.public, "http://x /")
    assert caught.value.reference == "archive-signature"
    assert caught.value.found.startswith(f"{expired.fingerprint}, until 2020-01-")
    check_lasting([lasting.fingerprint], lasting.public, "")
    check_lasting([lasting.fingerprint, expired.fingerprint], lasting.public + expired.public, "")
    with pytest.raises(NotTrusted):
        check_lasting([expired.fingerprint], lasting.public + expired.public, "")


def test_a_release_beyond_its_date_is_refused(place: Place) -> None:
    place.vendor.publish(Date=days_ago(20), Valid_Until=days_ago(13))
    error = refused(place)
    assert (error.reference, error.exit_code) == ("archive-signature", 3)
    assert "the mirror has stopped" in error.hint


def test_a_signature_over_sha1_is_refused(place: Place) -> None:
    place.vendor.publish("--digest-algo", "SHA1", "--allow-weak-digest-algos")
    error = refused(place)
    assert (error.reference, error.exit_code) == ("archive-signature", 3)
    assert "can be forged" in error.hint


@pytest.mark.parametrize("digest", ["MD5Sum", "SHA1"])
def test_a_release_that_lists_weak_digests_only_is_refused(place: Place, digest: str) -> None:
    place.vendor.publish(digest=digest)
    error = refused(place)
    assert (error.reference, error.exit_code) == ("archive-signature", 3)
    assert "can be forged" in error.hint


def test_a_package_of_two_origins_is_refused(place: Place) -> None:
    place.vendor.add("lib", "99.0-1")
    place.vendor.publish()
    error = refused(place)
    assert error.reference == "package-origins"
    assert "lib is offered by debian and vendor" in error.what


def test_a_package_of_two_origins_comes_from_where_the_definition_says(place: Place) -> None:
    place.vendor.add("lib", "99.0-1")
    place.vendor.publish()
    left = place.lock_with("driver", exclude=["lib"])
    assert "lib_1.0-1_all.deb" in [file.path for file in left.files]
    taken = place.lock_with("driver", packages=["driver", "firmware", "lib"])
    assert "lib_99.0-1_all.deb" in [file.path for file in taken.files]


def test_packages_of_one_repository_are_of_one_version_set(place: Place) -> None:
    place.vendor.add("driver", "590.1-1", Depends="firmware (>= 580), lib")
    place.vendor.add("firmware", "590.1-1")
    place.vendor.add("firmware", "590.2-1")
    place.vendor.publish()
    mixed = {file.path for file in place.lock_with("driver").files}
    assert {"driver_590.1-1_all.deb", "firmware_590.2-1_all.deb"} <= mixed
    held = {file.path for file in place.lock_with("driver", version="590.1-*").files}
    assert {"driver_590.1-1_all.deb", "firmware_590.1-1_all.deb"} <= held
    error = refused(place, version="600.*")
    assert (error.reference, "'driver' in version 600.*" in error.what) == ("package-unknown", True)


def test_an_older_version_of_a_named_package_goes_before_the_distributions(place: Place) -> None:
    place.archive.add("trixie", "firmware", "999-1")
    place.archive.publish("trixie")
    assert "firmware_580.1-1_all.deb" in [file.path for file in place.lock_with("driver").files]


def test_what_a_repository_may_not_bring_is_not_there(place: Place) -> None:
    place.vendor.add("surprise", Provides="lib", Essential="yes")
    place.vendor.publish()
    assert "surprise" not in " ".join(file.path for file in place.lock_with("driver").files)
    with pytest.raises(BadInput, match="no package 'surprise' in trixie, trixie-updates, trixie-security, vendor"):
        place.lock_with("surprise")


def test_a_package_that_a_repository_does_not_have_is_named(place: Place) -> None:
    error = refused(place, packages=["driver", "firmwar"])
    assert (error.reference, error.hint) == ("package-unknown", "did you mean 'firmware'?")


def test_a_release_older_than_the_lock_is_refused(place: Place) -> None:
    place.vendor.publish(Date=days_ago(3))
    before = place.lock_step()
    place.vendor.add("driver", "570.1-1", Depends="lib")
    (place.vendor.root / "driver_580.1-1_all.deb").unlink()
    place.vendor.publish(Date=days_ago(4))
    with pytest.raises(NotTrusted) as caught:
        place.lock_step("os-packages/hosts")
    assert caught.value.reference == "archive-older"
    assert caught.value.where.endswith("/x86_64 /")
    assert place.lock_step() == before
    lock_path(place.folder / "gpu.yaml").unlink()
    assert "driver_570.1-1_all.deb" in [file.path for file in place.lock_step().files]


def test_a_distribution_older_than_the_lock_is_refused(place: Place) -> None:
    place.lock_step()
    place.archive.publish("trixie-security", Date=days_ago(1))
    with pytest.raises(NotTrusted, match="gone back"):
        place.lock_step("os-packages/hosts")


def test_a_lock_whose_date_was_edited_is_refused(place: Place) -> None:
    place.lock_step()
    path = lock_path(place.folder / "gpu.yaml")
    record = json.loads(json.dumps(read_lock(path).artifacts[0].source))
    path.write_text(path.read_text().replace(record["archive-released-vendor"][:20], "soon"))
    with pytest.raises(BadInput) as caught:
        place.lock_step("os-packages/hosts")
    assert caught.value.reference == "lock-source"
