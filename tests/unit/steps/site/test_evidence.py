"""What a site writes down: after each thing that it did, and nothing that it did not."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.events import Install, Verification, details_of
from appliance.model.documents.policy import POLICY_SCHEMA, SitePolicy
from appliance.model.documents.story import sentence
from appliance.model.jsonform import canonical_json
from appliance.model.progress import Silent
from appliance.steps.audit.story import read_story
from appliance.steps.import_bundle import import_bundle
from appliance.steps.keys import read_public_key
from appliance.steps.log import add_install, add_removal, check, entries, read_evidence
from appliance.steps.site.evidence import record_install
from appliance.steps.switch import switch
from appliance.store.log import Log
from appliance.store.site import Site
from appliance.trust.evidence import ReceiptStatement, open_receipt
from tests.corpus.builder.changes import change
from tests.support.bundles import FIRST, SECOND, STRANGER, Recipe, Written, identity_of, keyid, root_chain
from tests.support.forging import sign_with
from tests.support.overrides import SITE, write_override
from tests.support.site_log import receipts, site_with_history
from tests.support.sites import version

INSTALL = Install.model_validate(
    {
        "host": "gpu1",
        "bundle": {"name": "tiny", "version": "1.0.0", "sha256sums": "1" * 64},
        "system": "Debian GNU/Linux 13 (trixie)",
        "kernel": "6.12.48",
        "models": {"tiny-chat": {"image": f"sha256:{'2' * 64}", "weights": "3" * 64}},
        "files": {"/etc/appliance/gateway/nginx.conf": "4" * 64},
        "packages": {"nginx": "1.26.3-3"},
    }
)
OBSERVED = INSTALL.model_dump_json(exclude={"host", "bundle"})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "a site")


@pytest.fixture
def carried(tmp_path: Path) -> Written:
    return Recipe().write(tmp_path / "on a medium")


def take(written: Written, site: Site, *, switch: bool = True) -> None:
    import_bundle(written.path, written.trusted, site, Silent(), switch=switch)


def story(site: Site) -> list[str]:
    return [f"{entry.event}: {sentence(entry)}" for entry in entries(site)]


def receipt(site: Site, number: int = -1) -> ReceiptStatement:
    path = receipts(site)[number]
    return open_receipt(read_evidence(path), read_public_key(site.root / "receipts/site.pub.pem"), str(path))


def test_the_story_of_a_site(tmp_path: Path) -> None:
    assert story(site_with_history(tmp_path)) == [
        "import: accepted tiny 1.0.0, signed by signer 12, signer 11",
        "root: root document version 2 is the newest, before: none",
        "switch: tiny 1.0.0 is current, before: none",
        "import: accepted tiny 2.0.0, signed by signer 12, signer 11",
        "switch: tiny 2.0.0 is current, before: 1.0.0",
        "import: refused (file-unlisted): a file that is not listed, in extra",
        "switch: tiny 1.0.0 is current, before: 2.0.0",
    ]


def test_a_receipt_says_what_by_whom_and_where_in_the_log(carried: Written, site: Site) -> None:
    take(carried, site)
    said = receipt(site)
    sums = (carried.path / "SHA256SUMS").read_bytes()
    assert said.subject[0].digest.sha384 == hashlib.sha384(sums).hexdigest()
    verification = said.predicate.verification
    assert verification.bundle is not None
    assert (verification.result, verification.bundle.name, verification.bundle.files) == ("accepted", "tiny", 9)
    assert {signer.keyid for signer in verification.signers} == {keyid(FIRST), keyid(SECOND)}
    assert verification.trusted_root == identity_of(root_chain()[0])
    assert verification.root is not None
    assert (verification.root.version, verification.root.sha256) == (2, identity_of(root_chain()[1]))
    first = next(Log(site.root).lines())
    assert said.predicate.log == first.head
    assert details_of(first.entry) == verification


def test_another_signature_of_a_document_makes_no_other_document(site: Site, tmp_path: Path) -> None:
    """Anybody can write an ECDSA signature in another form; a later bundle carries it so."""
    first, second = root_chain()
    other = (change("mirror signature", first, "first"), change("mirror signature", second, "second"))
    take(Recipe().write(tmp_path / "1"), site)
    take(version("2.0.0").but(roots=other).write(tmp_path / "2"), site)
    assert [line for line in story(site) if line.startswith("root")] == [
        "root: root document version 2 is the newest, before: none"
    ]
    assert receipt(site, 0).predicate.verification.trusted_root == receipt(site).predicate.verification.trusted_root


def test_a_file_that_is_no_root_document_has_no_identity(carried: Written, site: Site) -> None:
    take(carried, site)
    carried.trusted.write_bytes(b"{}")
    with pytest.raises(NotTrusted):
        take(carried, site)
    assert receipt(site).predicate.verification.trusted_root is None


def test_a_receipt_of_a_refused_bundle_says_nothing_that_was_not_verified(carried: Written, site: Site) -> None:
    take(carried, site)
    sign_with(STRANGER, carried)
    with pytest.raises(NotTrusted):
        take(carried, site)
    said = receipt(site).predicate.verification
    assert (said.result, said.bundle, said.root, said.signers) == ("refused", None, None, ())
    assert said.refusal is not None
    assert said.refusal.reference == "signature-unknown-key"
    (carried.path / "SHA256SUMS").unlink()
    with pytest.raises(NotTrusted):
        take(carried, site)
    assert receipt(site).predicate.verification.sums is None


def test_odd_names_of_a_hostile_medium_are_written_harmlessly(carried: Written, site: Site) -> None:
    take(carried, site)
    (carried.path / "x\x1b[31m\n\u202e\u00ff").write_bytes(b"")
    with pytest.raises(NotTrusted):
        take(carried, site)
    assert story(site)[-1].endswith(r"in x\u001b[31m\n\u202e\u00ff")


def test_a_host_that_is_no_site_gets_no_log(carried: Written, site: Site) -> None:
    (carried.path / "extra").write_bytes(b"")
    site.root.mkdir()  # a disk that is mounted there
    with pytest.raises(NotTrusted):
        take(carried, site)
    assert list(site.root.iterdir()) == []


def test_a_refusal_is_the_same_when_the_log_cannot_tell_of_it(
    carried: Written, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(carried, site)
    (carried.path / "extra").write_bytes(b"")

    def full(self: Log, *arguments: object, **options: object) -> None:
        raise BadInput("disk-full", "the disk became full")

    monkeypatch.setattr(Log, "append", full)
    with pytest.raises(NotTrusted) as caught:
        take(carried, site)
    assert caught.value.reference == "file-unlisted"


def test_a_broken_log_is_told_before_anything_is_imported(carried: Written, site: Site, tmp_path: Path) -> None:
    take(carried, site)
    with Log(site.root).path.open("ab") as file:
        file.write(b"x\n")
    with pytest.raises(NotTrusted) as caught:
        take(version("2.0.0").write(tmp_path / "2"), site)
    assert caught.value.reference == "log-broken"
    assert [path.name for path in site.bundles()] == ["tiny-1.0.0"]


def test_an_override_stays_in_the_log_with_who_signed_it(carried: Written, site: Site, tmp_path: Path) -> None:
    take(version("2.0.0").write(tmp_path / "2"), site)
    file = write_override(carried, "rollback")
    demands = SitePolicy(schema_=POLICY_SCHEMA, site=SITE)
    import_bundle(carried.path, carried.trusted, site, Silent(), demands=demands, override=file)
    assert story(site)[-2:] == [
        "override: an override lets tiny 1.0.0 pass (rollback): the new one does not start on our hardware",
        "import: accepted tiny 1.0.0, signed by signer 12, signer 11",
    ]
    used = list(Log(site.root).lines())[-2].entry.details
    assert canonical_json(used["envelope"]) == file.read_bytes()


def test_a_state_that_is_not_believed_is_told_in_the_log(carried: Written, site: Site) -> None:
    take(carried, site)
    (site.root / "state/state.json").write_bytes(b"{}")
    with pytest.raises(NotTrusted):
        take(carried, site)
    assert "refused (state-malformed)" in story(site)[-1]


def test_what_was_killed_before_its_line_is_told_by_the_next_run(
    carried: Written, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = version("2.0.0").write(tmp_path / "2")
    take(carried, site)
    with monkeypatch.context() as patch:
        patch.setattr("appliance.steps.switch.record_switch", lambda *arguments, **options: None)
        take(second, site)
    assert site.current_version("tiny") == "2.0.0"
    assert "2.0.0 is current" not in story(site)[-1]
    take(second, site)
    assert story(site)[-1] == "switch: tiny 2.0.0 is current, before: 1.0.0"
    told = len(story(site))
    assert not switch(site, "tiny", "2.0.0", Silent()).changed
    assert len(story(site)) == told


def test_the_site_key_is_made_once_and_for_root_alone(carried: Written, site: Site, tmp_path: Path) -> None:
    take(carried, site)
    private, public = site.root / "state/site.pem", site.root / "receipts/site.pub.pem"
    assert (stat.S_IMODE(private.stat().st_mode), stat.S_IMODE(private.parent.stat().st_mode)) == (0o600, 0o700)
    before = private.read_bytes()
    public.unlink()  # as after a kill between the two
    take(version("2.0.0").write(tmp_path / "2"), site)
    assert private.read_bytes() == before
    assert check(site, receipts(site), public).heads[0].head.seq == 1


def test_a_host_is_written_down_when_it_changes(carried: Written, site: Site) -> None:
    take(carried, site)
    other = INSTALL.model_copy(update={"host": "gpu2"})
    changed = INSTALL.model_copy(update={"packages": {"nginx": "1.26.3-4"}})
    wanted = [(INSTALL, True), (INSTALL, False), (other, True), (INSTALL, False), (changed, True), (INSTALL, True)]
    assert [record_install(site, install) for install, _ in wanted] == [said for _, said in wanted]
    assert story(site)[-1] == "install: gpu1 runs tiny-chat, 1 OS packages; installed from tiny 1.0.0"


def test_a_host_that_was_taken_out_may_come_back(carried: Written, site: Site, tmp_path: Path) -> None:
    take(carried, site)
    wiped = tmp_path / "wiped.json"
    wiped.write_text('{"certificates": ["1f", "2e"], "files": 12, "bytes": 4096}')
    assert record_install(site, INSTALL)
    assert [add_removal(site, wiped, host="gpu1") for _ in range(2)] == [True, False]
    assert story(site)[-1] == "remove: gpu1 was removed: 12 files overwritten (4096 bytes), 2 certificates revoked"
    assert read_story(site).installs == {}
    assert [record_install(site, INSTALL) for _ in range(2)] == [True, False]
    assert set(read_story(site).installs) == {"gpu1"}
    wiped.write_text("{}")
    with pytest.raises(BadInput) as caught:
        add_removal(site, wiped, host="gpu1")
    assert caught.value.reference == "removal-malformed"


def test_a_host_that_was_lost_is_written_down_again_when_it_was_found_and_wiped(
    carried: Written, site: Site, tmp_path: Path
) -> None:
    take(carried, site)
    wiped = tmp_path / "wiped.json"

    def add(files: int) -> bool:
        wiped.write_text(json.dumps({"certificates": ["1f"], "files": files, "bytes": files}))
        return add_removal(site, wiped, host="gpu1")

    assert [add(files) for files in (0, 0, 12, 12, 0, 1)] == [True, False, True, False, False, True]


@pytest.mark.parametrize("text", ["", "{", "{}", OBSERVED.replace("nginx", "ngin\u00ff"), "[" * 99, '{"host":"x"}'])
def test_what_is_no_install_is_bad_input(text: str, carried: Written, site: Site, tmp_path: Path) -> None:
    take(carried, site)
    (tmp_path / "install.json").write_text(text)
    with pytest.raises(BadInput) as caught:
        add_install(site, tmp_path / "install.json", host="gpu1", bundle="tiny")
    assert caught.value.reference == "install-malformed"


def test_a_host_is_installed_from_what_is_current(carried: Written, site: Site, tmp_path: Path) -> None:
    (tmp_path / "install.json").write_text(OBSERVED)
    with pytest.raises(BadInput) as caught:
        add_install(site, tmp_path / "install.json", host="gpu1", bundle="tiny")
    assert caught.value.reference == "bundle-not-current"
    assert not site.root.exists()
    take(carried, site)
    assert add_install(site, tmp_path / "install.json", host="gpu1", bundle="tiny")
    last = list(Log(site.root).lines())[-1].entry.details
    sums = hashlib.sha256((carried.path / "SHA256SUMS").read_bytes()).hexdigest()
    assert last["bundle"] == {"name": "tiny", "version": "1.0.0", "sha256sums": sums}


def test_every_verification_is_of_the_form_that_is_documented(carried: Written, site: Site) -> None:
    take(carried, site)
    details = next(Log(site.root).lines()).entry.details
    assert set(details) == set(Verification.model_fields)
