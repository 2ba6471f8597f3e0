"""What somebody did to a site behind the log's back is named, each with its own reference."""

import json
from collections.abc import Callable

import pytest

from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit
from appliance.steps.log import export_head
from appliance.steps.site.evidence import record_install
from appliance.store.log import Log
from appliance.store.site import Site
from tests.support.audits import IMAGE, WEIGHTS, flipped_file, found, install
from tests.support.bundles import (
    STRANGER,
    key,
)
from tests.support.site_log import receipts

Damage = Callable[[Site], object]


def cut_log(site: Site) -> None:
    log = Log(site.root).path
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]))


def edit_log(site: Site) -> None:
    log = Log(site.root).path
    log.write_bytes(log.read_bytes().replace(b"signer 12", b"signer 99", 1))


def log_anew(site: Site) -> None:
    log = Log(site.root).path
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    log.unlink()
    for line in lines:
        Log(site.root).append(line["event"], line["details"], time="2026-01-01T00:00:00Z")


def other_site_key(site: Site) -> None:
    (site.root / "state/site.pem").write_bytes(key(STRANGER).pem(None))
    (site.root / "head.json").write_bytes(export_head(site))
    receipts(site)[0].write_bytes((site.root / "head.json").read_bytes())


def no_log(site: Site) -> None:
    Log(site.root).path.unlink()


def unlogged_bundle(site: Site) -> None:
    no_log(site)
    receipts(site)[0].unlink()
    Log(site.root).append("verify", {}, time="2026-01-01T00:00:00Z")


def switched_by_hand(site: Site) -> None:
    site.path("tiny", "1.0.0").rename(site.path("tiny", "1.0.0").with_name("tiny-9.0.0"))
    site.switch("tiny", "9.0.0")


def removed_current(site: Site) -> None:
    (site.root / "current/tiny").unlink()


def odd_current(site: Site) -> None:
    (site.root / "current/other").symlink_to("/etc")


def stray_file(site: Site) -> None:
    (site.root / "bundles/notes.txt").write_bytes(b"x")


def lying_receipt(site: Site) -> None:
    """Root of the depot has the key: the receipt holds, and the log tells another story."""
    log = Log(site.root)
    first = next(log.lines())
    details = json.loads(json.dumps(first.entry.details))
    details["signers"] = []
    log.path.unlink()
    log.append("import", details, time=first.entry.time)


def runs(**changes: object) -> Damage:
    return lambda site: record_install(site, install(site, **changes))


def model(**changes: object) -> Damage:
    return runs(models={"tiny-chat": {"image": IMAGE, "weights": WEIGHTS, **changes}})


@pytest.mark.parametrize(
    ("damage", "references"),
    [
        (cut_log, {"log-truncated"}),
        (edit_log, {"log-broken", "log-rewritten", "log-truncated"}),
        (log_anew, {"log-rewritten"}),
        (other_site_key, {"evidence-unknown-key"}),
        (unlogged_bundle, {"bundle-not-in-log", "current-not-in-log", "log-truncated"}),
        (no_log, {"log-missing", "log-truncated"}),
        (switched_by_hand, {"current-not-in-log"}),
        (removed_current, {"current-not-in-log"}),
        (odd_current, {"site-malformed"}),
        (flipped_file, {"file-mismatch", "host-unknown-bundle", "host-unknown-image"}),
        (stray_file, {"directory-unreadable"}),
        (lying_receipt, {"log-rewritten", "log-truncated", "current-not-in-log"}),
        (model(image=f"sha256:{'9' * 64}"), {"host-unknown-image"}),
        (model(weights="9" * 64), {"host-unknown-weights"}),
        (model(beside={"tiny-chat+draft": "9" * 64}), {"host-unknown-weights"}),
        (model(beside={"tiny-legal": "9" * 64}), {"host-unknown-weights"}),
        (runs(idle=("logrotate.timer",)), {"host-unit-idle"}),
        (
            runs(bundle={"name": "tiny", "version": "0.9", "sha256sums": "9" * 64}),
            {"host-unknown-bundle", "host-not-current"},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_does_not_fit_is_named(damage: Damage, references: set[str], site: Site, materials: Materials) -> None:
    damage(site)
    report = audit(materials, Silent())
    assert not report.fits
    assert set(found(report)) == references


def test_an_adapter_that_a_bundle_has_fits(site: Site, materials: Materials) -> None:
    model(beside={"tiny-legal": WEIGHTS})(site)
    report = audit(materials, Silent())
    assert "host-unknown-weights" not in found(report)
    assert "host-mixed-bundles" not in found(report)
