"""One report of a site: what fits is told, and everything that does not fit is named."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import BadInput
from appliance.model.documents.policy import POLICY_SCHEMA, SitePolicy
from appliance.model.jsonform import canonical_json
from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit
from appliance.steps.documents.policy import read_override
from appliance.steps.import_bundle import import_bundle
from appliance.steps.site.evidence import record_install, record_override
from appliance.steps.site.state import Memory
from appliance.steps.verify import read_trusted
from appliance.store.site import Site
from tests.corpus.builder.changes import change
from tests.support.audits import WEIGHTS, found, full, image, install
from tests.support.bundles import (
    FILES,
    FIRST,
    NOW,
    PLAIN,
    RETIRED,
    SECOND,
    STRANGER,
    Recipe,
    Written,
    key,
    root_chain,
    root_document,
)
from tests.support.forging import put
from tests.support.overrides import write_override
from tests.support.site_log import site_with_history


def test_a_site_on_which_everything_fits(materials: Materials) -> None:
    report = audit(materials, Silent())
    assert report.findings == ()
    assert report.fits
    (bundle,) = report.bundles
    assert (bundle.name, bundle.current, bundle.files) == ("tiny", True, 10)
    listed = [file.path for file in (*bundle.artifacts[0].files, *bundle.shared, *bundle.own)]
    assert sorted(listed) == sorted({*FILES, "os/debian13/Packages", "bundle.json", "verify.sh"})
    assert [signer.label for signer in bundle.signers] == ["signer 12", "signer 11"]
    assert [root.version for root in report.roots] == [1, 2]
    assert report.roots[1].revoked == (key(RETIRED).public.keyid,)
    (host,) = report.hosts
    assert host.models[0].bundles == ("tiny 1.0.0",)
    assert (host.from_bundle, host.other_version) == (2, ())
    assert report.log is not None
    assert [entry.event for entry in report.log.entries] == ["import", "root", "switch", "install"]
    assert [(receipt.kind, receipt.seq) for receipt in report.receipts] == [("receipt", 1), ("head", 4)]


def test_an_audit_changes_nothing_and_can_be_had_of_a_copy_of_the_evidence(
    site: Site, materials: Materials, carried: Written, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    for name in ("log/log.jsonl", "receipts/000001"):
        (source,) = site.root.glob(f"{name}*")
        target = copy / source.relative_to(site.root)
        target.parent.mkdir(parents=True)
        target.write_bytes(source.read_bytes())
    before = sorted(copy.rglob("*"))
    of_copy = Materials(
        root=carried.trusted,
        site=Site(copy),
        key=materials.key,
        heads=materials.heads,
        bundles=(carried.path,),
        base=materials.base,
    )
    report = audit(of_copy, Silent())
    assert report.findings == ()
    assert report.hosts[0].models[0].bundles == ("tiny 1.0.0",)
    assert sorted(copy.rglob("*")) == before


def test_bundles_alone_can_be_audited(carried: Written) -> None:
    report = audit(Materials(root=carried.trusted, site=None, bundles=(carried.path,)), Silent())
    assert (report.fits, report.log, report.site) == (True, None, None)
    assert "os/debian13/Packages" in {file.path for file in report.bundles[0].shared}


def test_the_history_of_a_busy_site(tmp_path: Path) -> None:
    site = site_with_history(tmp_path)
    report = audit(Materials(root=tmp_path / "1/root.json", site=site), Silent())
    assert found(report) == []
    assert sorted(found(report, "note")) == ["bundle-was-refused", "site-key-own"]
    assert [bundle.current for bundle in report.bundles] == [True, False]


def test_the_lock_says_where_files_came_from(tmp_path: Path) -> None:
    digest = hashlib.sha256(FILES["models/tiny/model.safetensors"]).hexdigest()
    file = {"path": "model.safetensors", "sha256": digest, "size": 5120, "url": "https://hub.example/x"}
    head = {"schema": "appliance.definition/v1", "name": "tiny", "version": "1.0.0", "description": "x"}
    source = {**file, "path": "x.whl", "sha256": "7" * 64, "url": "https://x.example"}
    artifact = {
        **{"kind": "weights", "name": "tiny", "definition": "0" * 64, "licence": "x", "source": {}},
        **{"files": [file], "inputs": [source]},
    }
    lock = {"schema": "appliance.lock/v1", "bundle": {**head, "expires_after_days": 9}, "artifacts": [artifact]}
    for text, origin in ((json.dumps(lock), "https://hub.example/x"), ("not: a lock", "")):
        files = {**FILES, "evidence/lock.yaml": text.encode()}
        written = Recipe(files=files).write(tmp_path / (origin and "with"))
        (bundle,) = audit(Materials(root=written.trusted, site=None, bundles=(written.path,)), Silent()).bundles
        assert {file.path: file.origin for file in bundle.artifacts[0].files}["models/tiny/model.safetensors"] == origin
        assert [file.origin for file in bundle.artifacts[0].inputs] == ["https://x.example"][: len(origin)]


def test_a_host_that_waits_for_its_playbook(site: Site, materials: Materials, tmp_path: Path) -> None:
    second = full("2.0.0").write(tmp_path / "2")
    import_bundle(second.path, second.trusted, site, Silent())
    report = audit(materials, Silent())
    assert found(report) == ["host-not-current"]
    record_install(site, install(site))
    assert audit(materials, Silent()).fits


def test_image_and_weights_of_different_bundles(site: Site, materials: Materials, tmp_path: Path) -> None:
    other = f"sha256:{'8' * 64}"
    second = full("2.0.0", index=put("version", "2.0.0")).but(
        index=lambda value: value.update(
            version="2.0.0", artifacts=[image(other)], shared=[*value["shared"], *value["artifacts"][0]["files"]]
        )
    )
    written = second.write(tmp_path / "2")
    import_bundle(written.path, written.trusted, site, Silent())
    record_install(site, install(site, models={"tiny-chat": {"image": other, "weights": WEIGHTS}}))
    assert found(audit(materials, Silent())) == ["host-mixed-bundles"]


@pytest.mark.parametrize(("signers", "problems"), [((FIRST, SECOND), []), ((FIRST,), ["override-threshold"])])
def test_an_override_is_told_and_checked_again(
    signers: tuple[int, ...], problems: list[str], site: Site, materials: Materials, carried: Written
) -> None:
    override = read_override(write_override(carried, "rollback", signers=signers))
    record_override(site, override, ("rollback",))  # as root of the depot could, whoever has signed it
    report = audit(materials, Silent())
    assert found(report) == problems
    assert found(report, "note") == ["override-used"]


def test_a_memory_that_was_made_anew_is_told(site: Site, materials: Materials, carried: Written) -> None:
    Memory(site, SitePolicy(schema_=POLICY_SCHEMA), Silent()).rebuild(read_trusted(carried.trusted))
    report = audit(materials, Silent())
    assert (found(report), found(report, "note")) == ([], ["state-rebuilt"])


PACKAGES = {"nginx": "1.26.3-3", "jq:amd64": "1.7.1-6", "bash": "5.2.37-2", "libc6:amd64": "2.41-12"}


@pytest.mark.parametrize(
    ("changed", "reference"),
    [
        ({"nginx": "1.26.3-4"}, "host-package-differs"),
        ({"bash": "5.2.37-3"}, "host-package-differs"),
        ({"netcat-backdoor": "6.6.6"}, "host-package-unknown"),
        ({"netcat-backdoor:amd64": "6.6.6"}, "host-package-unknown"),
    ],
)
def test_packages_that_nobody_knows_do_not_fit(
    changed: dict[str, str], reference: str, site: Site, materials: Materials
) -> None:
    """With a list of the base system's they are problems; without it they are named all the same."""
    record_install(site, install(site, packages=PACKAGES))
    assert audit(materials, Silent()).fits
    record_install(site, install(site, packages={**PACKAGES, **changed}))
    report = audit(materials, Silent())
    ((name, version),) = changed.items()
    told = f"{name.partition(':')[0]} {version}"
    (finding,) = report.findings
    assert (finding.severity, finding.reference, told in finding.what) == ("problem", reference, True)
    without = audit(replace(materials, base=None), Silent())
    assert without.fits
    assert any(told in finding.what and "--base" in finding.what for finding in without.findings)


def test_another_release_does_not_fit(tmp_path: Path) -> None:
    def index(value: dict[str, Any]) -> None:
        full().index(value)
        value["artifacts"][0].update(kind="os-packages", source={"archive-suite": "trixie"})

    carried = full(index=index).write(tmp_path / "1")
    site = Site(tmp_path / "site")
    import_bundle(carried.path, carried.trusted, site, Silent())
    for system, problems in (
        ("Debian GNU/Linux 13 (trixie)", []),
        ("Debian GNU/Linux 12 (bookworm)", ["host-other-system"]),
    ):
        record_install(site, install(site, system=system, models={}))
        assert found(audit(Materials(root=carried.trusted, site=site), Silent())) == problems


@pytest.mark.parametrize("text", ["bash\n", "bash 5 x\n", "\ufffe"])
def test_a_list_of_packages_that_is_none_is_refused(text: str, materials: Materials) -> None:
    assert materials.base
    materials.base.write_bytes(text.encode("utf-16") if text == "\ufffe" else text.encode())
    with pytest.raises(BadInput) as caught:
        audit(materials, Silent())
    assert caught.value.reference == "base-unreadable"


def test_an_expired_bundle_is_looked_at_and_named(tmp_path: Path) -> None:
    written = full(expires=NOW - timedelta(hours=1), created=NOW - timedelta(days=9)).write(tmp_path / "1")
    report = audit(Materials(root=written.trusted, site=None, bundles=(written.path,)), Silent())
    assert len(report.bundles) == 1
    assert found(report, "note") == ["bundle-expired"]


def test_an_expired_root_and_a_demo_key_are_named(tmp_path: Path) -> None:
    def demo(document: dict[str, Any]) -> None:
        for entry in document["keys"].values():
            entry["use"] = "demo"

    root = root_document(1, (FIRST,), threshold=1, expires=NOW - timedelta(hours=1), change=demo)
    written = PLAIN.but(roots=(root,)).write(tmp_path)
    report = audit(Materials(root=written.trusted, site=None, bundles=(written.path,)), Silent())
    assert sorted(found(report)) == ["demo-key", "root-expired"]


def test_a_site_that_trusted_somebody_else(tmp_path: Path) -> None:
    """Two roots with the same keys: the bundle verifies by both, and the site was given the other."""
    roots = [root_document(1, (FIRST, SECOND), expires=NOW + timedelta(days=days)) for days in (400, 500)]
    first, second = (full(roots=(root,)).write(tmp_path / str(number)) for number, root in enumerate(roots))
    site = Site(tmp_path / "a site")
    import_bundle(first.path, first.trusted, site, Silent())
    report = audit(Materials(root=second.trusted, site=site, bundles=(second.path,)), Silent())
    assert set(found(report)) == {"root-unknown", "root-not-here", "root-differs"}


def test_a_root_document_that_more_have_signed_since_is_the_same(
    site: Site, materials: Materials, carried: Written
) -> None:
    """The site's receipts name the document that it trusted by what it says, not by who had signed it then."""
    signed = json.loads(carried.trusted.read_bytes())
    carried.trusted.write_bytes(canonical_json({**signed, "signatures": signed["signatures"][:1]}))
    report = audit(materials, Silent())
    assert (found(report), report.fits) == ([], True)
    chain = [change("mirror signature", document, "first") for document in root_chain()]
    for number, document in enumerate(chain, start=1):
        path = site.path("tiny", "1.0.0") / f"trust/{number}.root.json"
        path.unlink()
        path.write_bytes(document)
    report = audit(materials, Silent())
    assert (found(report), report.fits) == ([], True)


def test_bundles_of_two_chains_are_told_apart(tmp_path: Path) -> None:
    first = root_document(1, (FIRST, SECOND))
    chains = [(first, root_document(2, (FIRST, SECOND), expires=NOW + timedelta(days=days))) for days in (400, 500)]
    written = [full(roots=chain).write(tmp_path / str(number)) for number, chain in enumerate(chains)]
    report = audit(Materials(root=written[0].trusted, site=None, bundles=tuple(one.path for one in written)), Silent())
    assert found(report) == ["root-forked"]


def test_a_key_that_was_revoked_later_is_named(site: Site, materials: Materials, tmp_path: Path) -> None:
    """By a chain that the auditor brings, and by the chain of a newer bundle."""
    third = root_document(3, (FIRST, STRANGER), signed_by=(FIRST, SECOND, STRANGER), revoked=(RETIRED, SECOND))
    chain = (*root_chain(), third)
    (tmp_path / "chain").mkdir()
    for number, document in enumerate(chain, start=1):
        (tmp_path / f"chain/{number}.root.json").write_bytes(document)
    report = audit(replace(materials, root=tmp_path / "chain"), Silent())
    assert found(report) == ["signer-revoked"]
    assert [root.version for root in report.roots] == [1, 2, 3]
    newer = full("2.0.0", roots=chain, signers=(FIRST, STRANGER)).write(tmp_path / "2")
    import_bundle(newer.path, newer.trusted, site, Silent())
    record_install(site, install(site))
    report = audit(materials, Silent())
    assert (found(report), found(report, "note")) == ([], ["signer-revoked"])


def test_no_bundle_is_no_reason_to_stop(tmp_path: Path, carried: Written) -> None:
    (tmp_path / "empty").mkdir()
    report = audit(Materials(root=carried.trusted, site=Site(tmp_path / "empty")), Silent())
    assert (found(report), found(report, "note")) == (["log-missing"], ["no-bundle"])
    assert [root.version for root in report.roots] == [1]


def test_what_was_signed_by_a_key_that_is_not_there(site: Site, carried: Written, materials: Materials) -> None:
    (site.root / "receipts/site.pub.pem").unlink()
    report = audit(replace(materials, key=None), Silent())
    assert found(report) == ["site-key-missing"]


def test_what_the_auditor_brings_has_to_be_readable(site: Site, carried: Written, tmp_path: Path) -> None:
    for materials in (
        Materials(root=tmp_path / "none.json", site=site),
        Materials(root=carried.trusted, site=site, key=tmp_path / "none.pem"),
        Materials(root=carried.trusted, site=None, bundles=(tmp_path / "none",)),
    ):
        with pytest.raises(BadInput):
            audit(materials, Silent())
