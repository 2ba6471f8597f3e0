"""What all tests of the site need: a machine that can run one, and bundles for it."""

import shutil
from collections.abc import Iterator

import pytest

from tests.site.installed import Installed, installed_site
from tests.site.running import why_not
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
def installed(demo: Demo) -> Iterator[Installed]:
    """A site with the demo bundle, after its second run; who changes it puts it back."""
    with installed_site(demo) as result:
        yield result
