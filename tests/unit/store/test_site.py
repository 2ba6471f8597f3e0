import fcntl
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.store.site import Site
from tests.support.sites import snapshot
from tests.support.umask import umask


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for version in ("1.0.0", "2.0.0"):
        (tmp_path / "a site/bundles" / f"tiny-{version}").mkdir(parents=True)
    return Site(tmp_path / "a site")


def link(site: Site, name: str = "tiny") -> Path:
    return site.root / "current" / name


@pytest.mark.parametrize(
    ("name", "version"),
    [("../tiny", "1.0.0"), ("Tiny", "1.0.0"), ("tiny", "../1.0.0"), ("tiny", "latest"), ("", "1.0")],
)
def test_unsafe_names_lead_nowhere(name: str, version: str, site: Site) -> None:
    before = snapshot(site.root)
    uses: list[Callable[[], object]] = [lambda: site.path(name, version), lambda: site.switch(name, version)]
    for use in uses:
        with pytest.raises(BadInput) as caught:
            use()
        assert caught.value.reference == "name-unsafe"
    assert snapshot(site.root) == before


def test_current_is_a_relative_link_that_a_switch_moves(site: Site) -> None:
    assert site.current_version("tiny") is None
    assert site.switch("tiny", "1.0.0")
    assert site.switch("tiny", "2.0.0")
    assert not site.switch("tiny", "2.0.0")
    assert str(link(site).readlink()) == "../bundles/tiny-2.0.0"
    assert link(site).samefile(site.path("tiny", "2.0.0"))
    assert site.current_version("tiny") == "2.0.0"


def test_everybody_may_follow_current_whatever_the_umask(site: Site) -> None:
    with umask(0o077):
        site.switch("tiny", "1.0.0")
    assert stat.S_IMODE(link(site).parent.stat().st_mode) == 0o755


def test_readers_never_find_nothing_during_a_switch(site: Site) -> None:
    site.switch("tiny", "1.0.0")
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(link(site).resolve(strict=True).name)

    reader = threading.Thread(target=read)
    reader.start()
    while seen != {"tiny-1.0.0", "tiny-2.0.0"} and reader.is_alive():
        site.switch("tiny", "2.0.0")
        site.switch("tiny", "1.0.0")
    done.set()
    reader.join()
    assert seen == {"tiny-1.0.0", "tiny-2.0.0"}


def test_a_switch_goes_on_after_one_that_was_killed(site: Site) -> None:
    site.switch("tiny", "1.0.0")
    link(site, ".tiny.switching").symlink_to("../bundles/tiny-1.0.0")
    assert site.switch("tiny", "2.0.0")
    assert [path.name for path in link(site).parent.iterdir()] == ["tiny"]


def test_a_bundle_that_is_not_there_is_not_switched_to(site: Site) -> None:
    with pytest.raises(BadInput) as caught:
        site.switch("tiny", "3.0.0")
    assert caught.value.reference == "bundle-not-imported"
    assert not link(site).parent.exists()


@pytest.mark.parametrize("target", ["/srv/elsewhere", "../bundles/other-1.0.0", "../bundles/tiny-1.0.0/models"])
def test_a_current_that_leads_elsewhere_is_not_believed(target: str, site: Site) -> None:
    link(site).parent.mkdir()
    link(site).symlink_to(target)
    with pytest.raises(BadInput) as caught:
        site.switch("tiny", "1.0.0")
    assert (caught.value.reference, caught.value.found) == ("site-malformed", target)


def test_a_current_whose_bundle_was_removed_is_none(site: Site) -> None:
    site.switch("tiny", "2.0.0")
    site.path("tiny", "2.0.0").rmdir()
    assert site.current_version("tiny") is None
    assert site.switch("tiny", "1.0.0")


def test_only_whole_bundles_are_listed(site: Site) -> None:
    (site.root / "bundles/.tiny-3.0.0.importing").mkdir()
    assert [path.name for path in site.bundles()] == ["tiny-1.0.0", "tiny-2.0.0"]
    assert Site(site.root / "none").bundles() == ()


def test_directories_that_were_not_needed_go_again(tmp_path: Path) -> None:
    site = Site(tmp_path / "srv/appliance")
    with site.importing():
        assert (site.root / "bundles").is_dir()
    assert list(tmp_path.iterdir()) == []
    with site.importing():
        site.path("tiny", "1.0.0").mkdir()
    assert site.path("tiny", "1.0.0").is_dir()


def test_what_a_killed_import_has_left_is_cleared(site: Site) -> None:
    remains = site.root / "bundles/.tiny-3.0.0.importing"
    (remains / "models").mkdir(parents=True)
    (remains / "models/x").touch(mode=0o444)
    with site.importing():
        assert not remains.exists()
    assert len(site.bundles()) == 2


def test_two_imports_do_not_meet_and_a_switch_does_not_wait(site: Site) -> None:
    # The lock is the kernel's: another process holds it in the same way.
    descriptor = os.open(site.root / "bundles", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(BadInput) as caught, site.importing():
        pass
    assert caught.value.reference == "import-running"
    assert site.switch("tiny", "1.0.0")
    os.close(descriptor)
    with site.importing():
        pass
