"""At no moment of an import does a site hold, or serve, what its state does not know of.

What a killed process leaves is what its calls have made visible, so every call that changes
the disk is a moment to be killed at, and after each the site is looked at as it lies there.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.model.documents.state import SiteState
from appliance.model.progress import Silent
from appliance.model.versions import version_key
from appliance.steps.import_bundle import import_bundle
from appliance.steps.switch import switch
from appliance.store.site import Site
from tests.support.sites import version

CHANGING = ("open", "write", "fsync", "mkdir", "rename", "replace", "link", "symlink", "unlink", "rmdir", "chmod")


class Watch:
    """Looks at a site around each call, and counts what it has seen."""

    def __init__(self, site: Site, patch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.moments = 0
        self.seen: set[tuple[str, ...]] = set()
        self.open, self.read = os.open, os.read
        for name in CHANGING:
            patch.setattr(os, name, self._around(getattr(os, name)))

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            self.look()
            try:
                return call(*arguments, **options)
            finally:
                self.look()

        return watched

    def look(self) -> None:
        self.moments += 1
        known = self._known()
        held = [path.name for path in self.site.bundles()]
        for name in held:
            assert known is not None, "a bundle is there before there is a state"
            assert version_key(name.removeprefix("tiny-")) <= version_key(known)
        current = self.site.current_version("tiny")
        assert current is None or f"tiny-{current}" in held
        self.seen.add((known or "", *held, current or ""))

    def _known(self) -> str | None:
        try:
            descriptor = self.open(self.site.state / "state.json", os.O_RDONLY)
        except FileNotFoundError:
            return None
        data = self.read(descriptor, 100_000)
        os.close(descriptor)
        return SiteState.from_bytes(data).epochs[2].bundles["tiny"].version


def test_the_state_knows_of_a_bundle_before_the_site_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path / "site")
    first, second = (version(number).write(tmp_path / number) for number in ("1.0.0", "2.0.0"))
    with monkeypatch.context() as patch:
        watch = Watch(site, patch)
        for carried in (first, second, second):
            import_bundle(carried.path, carried.trusted, site, Silent())
        switch(site, "tiny", "1.0.0", Silent())
    assert watch.moments > 100
    assert watch.seen == {
        ("", ""),
        ("1.0.0", ""),  # killed here, the same import goes on; anything older is refused
        ("1.0.0", "tiny-1.0.0", ""),
        ("1.0.0", "tiny-1.0.0", "1.0.0"),
        ("2.0.0", "tiny-1.0.0", "1.0.0"),
        ("2.0.0", "tiny-1.0.0", "tiny-2.0.0", "1.0.0"),
        ("2.0.0", "tiny-1.0.0", "tiny-2.0.0", "2.0.0"),
    }
