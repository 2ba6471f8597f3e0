"""``appliance sign``, and what ``appliance inspect`` tells of signatures: several people, one bundle."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from tests.support.bundles import (
    FIRST,
    FIRST_PQ,
    RETIRED,
    SECOND,
    STRANGER,
    Recipe,
    Written,
    key,
    keyid,
    root_chain,
    root_document,
)
from tests.support.people import Desk

_THIRD = 14


@pytest.fixture
def bundle(desk: Desk) -> Written:
    """A bundle that 2 of 3 have to sign and nobody has; everybody's key lies beside it."""
    for number in (FIRST, SECOND, _THIRD, FIRST_PQ, RETIRED, STRANGER):
        (desk.folder / f"{number}.pem").write_bytes(key(number).pem(None))
    root = root_document(1, (FIRST, SECOND, _THIRD))
    return Recipe(roots=(root,), signers=()).write(desk.folder)


def _message(bundle: Written) -> bytes:
    return pae(STATEMENT_PAYLOAD_TYPE, (bundle.path / "statement.json").read_bytes())


def _elsewhere(desk: Desk, bundle: Written, number: int) -> str:
    """What a signer sends back who had the statement and a key of their own, and nothing else."""
    folder = desk.folder / f"machine {number}"
    folder.mkdir()
    shutil.copy(bundle.path / "statement.json", folder)
    return desk.run("sign", folder / "statement.json", "--key", f"{number}.pem")[0].strip()


def test_signers_sign_from_the_statement_alone_and_in_their_own_time(desk: Desk, bundle: Written) -> None:
    files = [_elsewhere(desk, bundle, number) for number in (FIRST, _THIRD)]
    out, told = desk.run("sign", "bundle", "--add", files[0])
    assert out == f"bundle/sigs/{keyid(FIRST)}.sigstore.json\n"
    assert "tiny 1.0.0, not complete yet" in told
    assert "1 signed, 2 needed: 1 more needed" in told
    assert desk.refusal("verify", "bundle", "--root", "root.json", code=3) == "signatures-missing"
    added = desk.json("sign", "--add", files[1], "bundle")
    assert added["complete"] is True
    desk.run("verify", "bundle", "--root", "root.json")


def test_who_has_the_bundle_signs_here(desk: Desk, bundle: Written) -> None:
    desk.run("sign", "bundle", "--key", f"{FIRST}.pem")
    signed = desk.json("sign", "bundle", "--add", "--key", f"{SECOND}.pem", _elsewhere(desk, bundle, _THIRD))
    assert signed["keyids"] == [keyid(_THIRD), keyid(SECOND)]
    assert len(bundle.verify().signers) == 3


def test_inspect_tells_who_has_signed_and_who_is_missing(desk: Desk, bundle: Written) -> None:
    desk.run("sign", "bundle", "--key", f"{FIRST}.pem")
    told = desk.run("inspect", "bundle")[0]
    for part in (
        "release role of version 1: 1 signed, 2 needed: 1 more needed",
        f"signed   {keyid(FIRST)}  signer {FIRST}",
        f"missing  {keyid(SECOND)}  signer {SECOND}",
        f"missing  {keyid(_THIRD)}  signer {_THIRD}",
    ):
        assert part in told
    claim = desk.json("inspect", "bundle")
    assert (claim["complete"], claim["threshold"]) == (False, 2)
    assert [one["label"] for one in claim["signers"]] == [f"signer {FIRST}"]
    desk.run("sign", "bundle", "--key", f"{SECOND}.pem")
    told = desk.run("inspect", "bundle")[0]
    assert "2 signed, 2 needed: enough" in told
    assert "missing" not in told
    assert desk.json("inspect", "bundle")["complete"] is True


def test_a_signature_that_no_verifier_accepts_is_not_told_as_one(desk: Desk, bundle: Written) -> None:
    desk.run("sign", "bundle", *("--key", f"{FIRST}.pem", "--key", f"{SECOND}.pem"))
    first, second = (bundle.path / f"sigs/{keyid(number)}.sigstore.json" for number in (FIRST, SECOND))
    shutil.copy(first, second)
    claim = desk.json("inspect", "bundle")
    assert [one["keyid"] for one in claim["signers"]] == [keyid(FIRST)]
    assert claim["refused"] == [
        {"path": f"sigs/{keyid(SECOND)}.sigstore.json", "what": "it names another key than its file name"}
    ]
    assert "refused" in desk.run("inspect", "bundle")[0]


# Bare signatures, as openssl and pkcs11-tool make them -------------------------------------------


def _raw(signature: bytes) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(signature))


@pytest.mark.parametrize("form", [bytes, _raw], ids=["DER", "two numbers"])
def test_the_signer_of_a_bare_signature_is_found(desk: Desk, bundle: Written, form: Callable[[bytes], bytes]) -> None:
    (desk.folder / "made elsewhere").write_bytes(form(key(_THIRD).sign(_message(bundle))))
    desk.run("sign", "bundle", "--key", f"{FIRST}.pem")
    added = desk.json("sign", "bundle", "--add", "made elsewhere")
    assert (added["keyid"], added["complete"]) == (keyid(_THIRD), True)
    assert {signer.keyid for signer in bundle.verify().signers} == {keyid(FIRST), keyid(_THIRD)}


def test_a_bare_co_signature_goes_to_its_own_role(desk: Desk, bundle: Written) -> None:
    root = root_document(1, (FIRST, FIRST_PQ), threshold=1)
    written = Recipe(roots=(root,), signers=(FIRST,)).write(desk.folder / "co-signed")
    (desk.folder / "raw").write_bytes(key(FIRST_PQ).sign(_message(written)))
    claim = desk.json("inspect", written.path)
    assert ([role["enough"] for role in claim["roles"]], claim["complete"]) == ([True, False], False)
    added = desk.json("sign", written.path, "--add", "raw")
    assert [role["enough"] for role in added["roles"]] == [True, True]
    assert {signer.role for signer in written.verify().signers} == {"release", "release_post_quantum"}


# What does not go in -----------------------------------------------------------------------------


def _statement_of_another(desk: Desk, bundle: Written) -> str:
    other = Recipe(roots=(root_chain()[0],), signers=(FIRST,), files={"a": b"other"}).write(desk.folder / "other")
    return str(other.path / f"sigs/{keyid(FIRST)}.sigstore.json")


def _flipped(desk: Desk, bundle: Written) -> str:
    path = Path(_elsewhere(desk, bundle, FIRST))
    value = json.loads(path.read_bytes())
    text = value["dsseEnvelope"]["signatures"][0]["sig"]
    value["dsseEnvelope"]["signatures"][0]["sig"] = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
    path.write_text(json.dumps(value, separators=(",", ":"), sort_keys=True))
    return str(path)


def _bytes(content: bytes) -> Callable[[Desk, Written], str]:
    def make(desk: Desk, bundle: Written) -> str:
        (desk.folder / "file").write_bytes(content)
        return "file"

    return make


@pytest.mark.parametrize(
    ("make", "reference"),
    [
        (lambda desk, bundle: _elsewhere(desk, bundle, STRANGER), "signature-unknown-key"),
        (_statement_of_another, "signature-other-statement"),
        (_flipped, "signature-invalid"),
        (_bytes(b""), "signature-invalid"),
        (_bytes(bytes(64)), "signature-invalid"),
        (_bytes(key(FIRST).sign(b"another text")), "signature-invalid"),
        (_bytes(b"{}"), "signature-malformed"),
        (_bytes(b"{" + bytes(100)), "signature-malformed"),
    ],
)
def test_nothing_goes_in_that_does_not_hold(
    desk: Desk, bundle: Written, make: Callable[[Desk, Written], str], reference: str
) -> None:
    good = _elsewhere(desk, bundle, SECOND)
    bad = make(desk, bundle)
    assert desk.refusal("sign", "bundle", "--add", good, bad, code=3) == reference
    assert list(bundle.path.glob("sigs/*")) == []


@pytest.mark.parametrize("number", [STRANGER, RETIRED])
def test_a_key_that_may_not_sign_does_not(desk: Desk, bundle: Written, number: int) -> None:
    assert desk.refusal("sign", "bundle", "--key", f"{number}.pem", code=2) == "key-not-in-root"
    assert list(bundle.path.glob("sigs/*")) == []


def test_a_list_that_is_not_the_statements_is_not_signed(desk: Desk, bundle: Written) -> None:
    with (bundle.path / "SHA256SUMS").open("ab") as file:
        file.write(b"x")
    assert desk.refusal("sign", "bundle", "--key", f"{FIRST}.pem", code=3) == "sums-mismatch"


def test_signing_again_changes_no_byte(desk: Desk, bundle: Written) -> None:
    desk.run("sign", "bundle", "--key", f"{FIRST}.pem")
    path = bundle.path / f"sigs/{keyid(FIRST)}.sigstore.json"
    before = path.read_bytes()
    desk.run("sign", "bundle", "--key", f"{FIRST}.pem")
    desk.run("sign", "bundle", "--add", _elsewhere(desk, bundle, FIRST))
    assert path.read_bytes() == before
    path.write_bytes(before.replace(b'"sig":"M', b'"sig":"N'))  # and one that is spoilt is mended
    desk.run("sign", "bundle", "--key", f"{FIRST}.pem")
    assert desk.json("inspect", "bundle")["refused"] == []


def test_what_a_killed_run_has_left_goes_with_the_next(desk: Desk, bundle: Written) -> None:
    desk.run("sign", "bundle", "--key", f"{FIRST}.pem")
    remains = bundle.path / f"sigs/.{keyid(SECOND)}.sigstore.json.x7_k2pqa"
    remains.write_bytes(b"{")
    assert desk.refusal("verify", "bundle", "--root", "root.json", code=3) == "file-unlisted"
    desk.run("sign", "bundle", "--key", f"{SECOND}.pem")
    assert bundle.verify().signers
    assert not remains.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["sign", "bundle"],
        ["sign", "bundle", "--add"],
        ["sign", "bundle", "statement.json", "--key", "11.pem"],
        ["sign", "bundle/statement.json", "--add", "root.json"],
        ["sign", "missing", "--key", "11.pem"],
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(desk: Desk, bundle: Written, arguments: list[str]) -> None:
    assert desk.refusal(*arguments, code=2) in ("usage", "statement-unreadable")


# A bundle that somebody else has put together ------------------------------------------------


def test_no_signature_goes_where_a_link_leads(desk: Desk, bundle: Written) -> None:
    outside = desk.folder / "outside"
    outside.mkdir()
    (bundle.path / "sigs").symlink_to(outside)
    assert desk.refusal("sign", "bundle", "--key", f"{FIRST}.pem", code=3) == "file-type"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("path", ["statement.json", "SHA256SUMS"])
def test_nothing_is_signed_that_lies_behind_a_link(desk: Desk, bundle: Written, path: str) -> None:
    (bundle.path / path).rename(desk.folder / "elsewhere")
    (bundle.path / path).symlink_to(desk.folder / "elsewhere")
    assert desk.refusal("sign", "bundle", "--key", f"{FIRST}.pem", code=2) == "statement-unreadable"


@pytest.mark.parametrize("path", ["trust/1.root.json", "statement.json", "bundle.json"])
def test_a_pipe_in_a_bundle_holds_nobody_up(desk: Desk, bundle: Written, path: str) -> None:
    """Who opens a pipe for reading waits for whoever writes to it, for ever."""
    (bundle.path / path).unlink()
    os.mkfifo(bundle.path / path)
    assert desk.refusal("inspect", "bundle", code=3) == "file-type"
    if path != "bundle.json":
        desk.refusal("sign", "bundle", "--key", f"{FIRST}.pem", code=2 if path == "statement.json" else 3)


def test_a_root_document_that_lies_elsewhere_is_none_of_the_bundle(desk: Desk, bundle: Written) -> None:
    (bundle.path / "trust/1.root.json").unlink()
    (bundle.path / "trust/1.root.json").symlink_to(bundle.trusted)
    assert desk.refusal("inspect", "bundle", code=3) == "file-type"
    assert desk.refusal("sign", "bundle", "--key", f"{FIRST}.pem", code=3) == "file-type"
