"""A site of one bundle and one host, and what its auditor has."""

from pathlib import Path

import pytest

from appliance.model.progress import Silent
from appliance.steps.audit import Materials
from appliance.steps.import_bundle import import_bundle
from appliance.steps.log import export_head
from appliance.steps.site.evidence import record_install
from appliance.store.site import Site
from tests.support.audits import full, install
from tests.support.bundles import (
    Written,
)


@pytest.fixture
def carried(tmp_path: Path) -> Written:
    return full().write(tmp_path / "1")


@pytest.fixture
def site(tmp_path: Path, carried: Written) -> Site:
    """A site of one bundle, with one host."""
    site = Site(tmp_path / "a site")
    import_bundle(carried.path, carried.trusted, site, Silent())
    record_install(site, install(site))
    return site


@pytest.fixture
def materials(site: Site, carried: Written, tmp_path: Path) -> Materials:
    """With what an auditor has kept elsewhere."""
    head, public, base = (tmp_path / name for name in ("head.json", "site.pub.pem", "base.txt"))
    base.write_text("bash 5.2.37-2\nlibc6:amd64 2.41-12\n")
    head.write_bytes(export_head(site))
    public.write_bytes((site.root / "receipts/site.pub.pem").read_bytes())
    return Materials(root=carried.trusted, site=site, key=public, heads=(head,), base=base)
