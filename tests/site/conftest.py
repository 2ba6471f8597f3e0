"""What all tests of the site need: a machine that can run one, and bundles for it."""

import shutil
from collections.abc import Iterator

import pytest

from tests.site.installed import Installed, installed_site
from tests.site.operator import Operator
from tests.site.plan import MEDIUM
from tests.site.running import Site, running_site, why_not
from tests.support.demo import Demo
from tests.support.light_bundle import LightBundles


@pytest.fixture(scope="session", autouse=True)
def _machine() -> None:
    if problem := why_not():
        pytest.skip(problem)


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightBundles]:
    """Where bundles are built whose models start in a second."""
    folder = tmp_path_factory.mktemp("light")
    try:
        yield LightBundles(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> LightBundles:
    """Where the bundle demo 0.1.0 is built whose model starts in a second."""
    bundles = LightBundles(tmp_path_factory.mktemp("build host"), "demo")
    bundles.build("0.1.0")
    return bundles


@pytest.fixture(scope="session")
def small_site(small: LightBundles) -> Iterator[Site]:
    """Two hosts with that bundle, after a first run of the playbook; tests find it as the files before have left it."""
    with running_site(bundle=small.folder / "release") as site:  # what else is signed there lies on the medium too
        operator = Operator(site.depot)
        # As on hosts that were hardened: what comes over SSH works with this umask.
        site.gpu1.run(["sed", "--in-place", "/^UMASK/d; $ a UMASK 077", "/etc/login.defs"])
        assert site.depot.run(["ssh", "gpu1", "umask"]) == "0077\n"
        operator.take_root(small.trusted)
        operator.take_client()
        operator.write_inventory()
        operator.bootstrap(f"{MEDIUM}/demo-0.1.0")
        operator.play("--check")
        operator.play()
        yield site


@pytest.fixture(scope="session")
def installed(demo: Demo) -> Iterator[Installed]:
    """A site with the demo bundle, after its second run; who changes it puts it back."""
    with installed_site(demo) as result:
        yield result
