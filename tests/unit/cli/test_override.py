"""``appliance override`` and ``appliance sign`` for it: several people let one site take one old bundle."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from appliance.formats.dsse import pae
from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE
from tests.support.bundles import FIRST, NOW, RETIRED, SECOND, STRANGER, Recipe, Written, key, keyid, payload_of
from tests.support.people import Desk

MADE = "tiny-1.0.0.plant-7.override.json"
WISH = ("--site", "plant-7", "--allow", "expired", "--reason", "the new one does not start here")


@pytest.fixture
def bundle(desk: Desk) -> Written:
    """An expired bundle that 2 have signed; everybody's key and a site's policy lie beside it."""
    for number in (FIRST, SECOND, RETIRED, STRANGER):
        (desk.folder / f"{number}.pem").write_bytes(key(number).pem(None))
    policy = desk.folder / "policy.yaml"
    policy.write_text("schema: appliance.policy/v1\nsite: plant-7\n")
    policy.chmod(0o644)
    return Recipe(expires=NOW - timedelta(minutes=5)).write(desk.folder)


def take(desk: Desk, *options: str, code: int = 0) -> tuple[str, str]:
    return desk.run(
        *("import", "bundle", "--root", "root.json", "--site", "site", "--policy", "policy.yaml", *options), code=code
    )


def test_two_people_let_one_site_take_an_expired_bundle(desk: Desk, bundle: Written) -> None:
    out, told = desk.run("override", "new", "bundle", *WISH, "--key", f"{FIRST}.pem")
    assert out == f"{MADE}\n"
    assert "override for plant-7: tiny 1.0.0, although it has expired" in told
    assert "1 signed, 2 needed: 1 more needed" in told
    assert f"missing  {keyid(SECOND)}" in told
    assert "override-threshold" in take(desk, "--override", MADE, code=3)[1]

    desk.run("sign", MADE, "--key", f"{SECOND}.pem")
    shown = desk.json("override", "show", MADE, "--root", "bundle/trust")
    assert (shown["complete"], shown["keyids"]) == (True, sorted([keyid(FIRST), keyid(SECOND)]))
    take(desk, "--override", MADE)
    log = desk.run("log", "show", "--site", "site")[0]
    assert "an override lets tiny 1.0.0 pass (expired): the new one does not start here" in log


def test_signers_sign_from_the_override_alone(desk: Desk, bundle: Written) -> None:
    """The first has the statement, the second a copy, the third openssl."""
    shutil.copy(bundle.path / "statement.json", desk.folder / "s.json")
    told = desk.run("override", "new", "s.json", *WISH, "--out", "o.json")[1]
    assert "signed by 0" in told
    shutil.copy(desk.folder / "o.json", desk.folder / "copy.json")
    desk.run("sign", "copy.json", "--key", f"{SECOND}.pem")
    message = pae(OVERRIDE_PAYLOAD_TYPE, payload_of((desk.folder / "o.json").read_bytes()))
    numbers = decode_dss_signature(key(FIRST).sign(message))
    (desk.folder / "raw.sig").write_bytes(b"".join(number.to_bytes(32, "big") for number in numbers))

    assert desk.refusal("sign", "o.json", "--add", "copy.json", code=2) == "usage"
    added = desk.json("sign", "o.json", "--add", "copy.json", "raw.sig", "--root", "bundle/trust")
    assert added["complete"] is True
    take(desk, "--override", "o.json")


@pytest.mark.parametrize("stranger", [STRANGER, RETIRED])
def test_what_does_not_count_does_not_get_in(stranger: int, desk: Desk, bundle: Written) -> None:
    assert desk.refusal("override", "new", "bundle", *WISH, "--key", f"{stranger}.pem", code=2) == "key-not-in-root"
    assert not (desk.folder / MADE).exists()
    desk.run("override", "new", "bundle", *WISH, "--key", f"{FIRST}.pem")
    before = (desk.folder / MADE).read_bytes()
    shutil.copy(desk.folder / MADE, desk.folder / "copy.json")
    desk.run("sign", "copy.json", "--key", f"{stranger}.pem")
    assert desk.refusal("sign", MADE, "--add", "copy.json", "--root", "bundle/trust", code=3) == "signature-unknown-key"
    (desk.folder / "raw.sig").write_bytes(key(SECOND).sign(b"another document"))
    assert desk.refusal("sign", MADE, "--add", "raw.sig", "--root", "bundle/trust", code=3) == "signature-invalid"
    assert (desk.folder / MADE).read_bytes() == before


def test_an_override_for_another_bundle_brings_no_signature(desk: Desk, bundle: Written) -> None:
    desk.run("override", "new", "bundle", *WISH, "--out", "o.json")
    other = ("--site", "plant-8", "--allow", "expired", "--reason", "x")
    desk.run("override", "new", "bundle", *other, "--key", f"{FIRST}.pem", "--out", "other.json")
    refusal = desk.refusal("sign", "o.json", "--add", "other.json", "--root", "bundle/trust", code=3)
    assert refusal == "signature-other-document"


MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "allows what nobody may": (("--site", "plant-7", "--allow", "signatures", "--reason", "x"), "override-value"),
    "a site that is no name": (("--site", "../x", "--allow", "expired", "--reason", "x"), "override-value"),
    "no reason": (("--site", "plant-7", "--allow", "expired", "--reason", ""), "override-value"),
    "a reason that steers a terminal": (("--site", "p", "--allow", "expired", "--reason", "\x1b[2J"), "override-value"),
    "no allowance": (("--site", "plant-7", "--reason", "x"), "usage"),
}


@pytest.mark.parametrize(("words", "reference"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_makes_no_file(words: tuple[str, ...], reference: str, desk: Desk, bundle: Written) -> None:
    before = sorted(desk.folder.iterdir())
    assert desk.refusal("override", "new", "bundle", *words, code=2) == reference
    assert sorted(desk.folder.iterdir()) == before


def test_an_override_is_never_overwritten(desk: Desk, bundle: Written) -> None:
    desk.run("override", "new", "bundle", *WISH)
    assert desk.refusal("override", "new", "bundle", *WISH, code=2) == "file-exists"


@pytest.mark.parametrize(
    ("path", "reference"), [("none", "statement-unreadable"), ("root.json", "statement-malformed")]
)
def test_what_is_no_bundle_is_told(path: str, reference: str, desk: Desk, bundle: Written) -> None:
    assert desk.refusal("override", "new", path, *WISH, code=2) == reference
    assert not list(Path(desk.folder).glob("*override*"))
