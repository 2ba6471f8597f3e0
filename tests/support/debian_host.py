"""A host that builds from a small Debian mirror, and what happens to both."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from appliance.artifacts.base import Context
from appliance.artifacts.os_packages.kind import OsPackages
from appliance.artifacts.os_packages.section import OsPackagesSection
from appliance.model.documents.lock import LockedArtifact
from appliance.store.cache import Cache
from tests.support.debian_archive import NOW, Archive
from tests.support.locking import lock_one

KIND = OsPackages()

APP = ("debian", "pool/main/a/app_1.4+dfsg~rc1-1_all.deb")
SECURITY_FIX = ("debian-security", "pool/main/l/lib_1.0-1+deb13u1_all.deb")

RESOLVE_AS_USER = """
import os, sys
from pathlib import Path
from appliance.artifacts.base import Context
from appliance.artifacts.os_packages.kind import OsPackages
from appliance.artifacts.os_packages.section import OsPackagesSection
from appliance.model.progress import Silent
from appliance.steps.lock import locked
from appliance.store.cache import Cache
folder = Path(sys.argv[1])
context = Context(folder, Cache(folder / "cache of a user"), Silent())
section = OsPackagesSection.model_validate_json(sys.argv[2])
artifact = locked(OsPackages(), "hosts", section, "0" * 64, context)
OsPackages().fetch(artifact, context)
print(os.geteuid(), len(artifact.files))
"""


@dataclass
class World:
    """A mirror with what a tiny release has, and a host that builds from it."""

    folder: Path
    archive: Archive
    url: str
    context: Context

    @property
    def cache(self) -> Cache:
        assert isinstance(self.context.sink, Cache)
        return self.context.sink

    def section(self, *packages: str, **changes: object) -> OsPackagesSection:
        values = {
            "distribution": "debian",
            "suite": "trixie",
            "architecture": "amd64",
            "mirror": f"{self.url}/debian",
            "security": f"{self.url}/debian-security",
            "snapshot": f"{self.url}/snapshot",
            "keyring": "archive keys.gpg",
            "packages": packages or ("app",),
            "licence": "various",
            **changes,
        }
        return OsPackagesSection.model_validate_json(json.dumps(values))

    def lock(self, *packages: str, **changes: object) -> LockedArtifact:
        return lock_one(KIND, "hosts", self.section(*packages, **changes), self.context)


def place(world: World, artifact: LockedArtifact) -> Path:
    """Put a fetched artifact where the bundle would have it; the repository's directory."""
    (layout,), shared = KIND.lay_out([artifact], world.context)
    assert shared == ()
    for file in layout.files:
        target = world.folder / "bundle" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(world.cache.path(file).read_bytes())
    return world.folder / "bundle" / layout.details.fields()["repository"]


def host_apt_state() -> dict[str, int]:
    """Every file of the building machine's apt and dpkg, with its time of change."""
    places = [Path(place) for place in ("/var/lib/apt", "/var/cache/apt", "/var/lib/dpkg/status", "/etc/apt")]
    paths = [path for place in places for path in (place, *place.rglob("*"))]
    return {str(path): path.lstat().st_ctime_ns for path in paths}


def retire(world: World, archive: str, path: str, *, keep_in_snapshot: bool) -> None:
    """Take a package from the mirror, as a distribution does; the snapshot may have it."""
    stamp = (NOW + timedelta(days=1)).strftime("%Y%m%dT%H%M%SZ")
    kept = world.folder / "www/snapshot/archive" / archive / stamp / path
    kept.parent.mkdir(parents=True)
    (world.archive.root / path).rename(kept)
    if not keep_in_snapshot:
        kept.unlink()
