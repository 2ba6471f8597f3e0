"""The kind ``images`` on a machine with a cache of its own, and stock skopeo beside it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from appliance.artifacts.base import Context, Layout
from appliance.artifacts.images.kind import Images
from appliance.artifacts.images.section import ImagesSection
from appliance.model.documents.lock import LockedArtifact
from appliance.model.files import BundleFile
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.locking import lock_one

KIND = Images()


class Counter(Silent):
    """A progress that remembers the figures of its tasks."""

    total = 0
    shown = 0

    @contextmanager
    def task(self, text: str, total: int | None) -> Iterator[Self]:
        self.total += total or 0
        yield self

    def advance(self, amount: int) -> None:
        self.shown += amount


def machine(tmp_path: Path, name: str) -> Context:
    return Context(tmp_path, Cache(tmp_path / f"cache of {name}"), Silent())


def section(image: str, platform: str = "linux/amd64", **more: object) -> ImagesSection:
    source = {"image": image, "platform": platform, **more}
    return ImagesSection.model_validate({"registry": source, "licence": "Apache-2.0"})


def lock(context: Context, image: str, name: str = "app", platform: str = "linux/amd64") -> LockedArtifact:
    return lock_one(KIND, name, section(image, platform), context)


def write_bundle(context: Context, folder: Path, *artifacts: LockedArtifact) -> tuple[Layout, ...]:
    """What sealing does: a hard link for every file."""
    layouts, shared = KIND.lay_out(artifacts, context)
    files: set[BundleFile] = {*shared, *(file for layout in layouts for file in layout.files)}
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(context.sink.path(file))
    return layouts


def skopeo(*words: str, cwd: Path) -> bytes:
    """Stock skopeo, as an operator runs it."""
    done = subprocess.run(["skopeo", *words], cwd=cwd, env={**os.environ}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
