"""``appliance root``: how a chain is made, changed and read."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.trust.root import walk_chain
from tests.support.bundles import identity_of
from tests.support.people import Desk


def _public(*names: str, option: str = "--public") -> list[str]:
    return [part for name in names for part in (option, f"{name}.pub.pem")]


def _keys(*names: str) -> list[str]:
    return [part for name in names for part in ("--key", f"{name}.pem")]


def _chain(desk: Desk, folder: str = "roots") -> list[bytes]:
    paths = sorted((desk.folder / folder).iterdir(), key=lambda path: int(path.name.split(".")[0]))
    return [path.read_bytes() for path in paths]


@pytest.fixture
def people(desk: Desk) -> dict[str, str]:
    """Three signers, and one who comes later."""
    return desk.make_keys("first", "second", "third", "fourth")


@pytest.fixture
def roots(desk: Desk, people: dict[str, str]) -> Path:
    """A chain of one document that 2 of 3 have to sign, and that the first two have signed."""
    three = _public("first", "second", "third")
    desk.run("root", "new", "roots", *three, "--threshold", "2", *_keys("first", "second"))
    return desk.folder / "roots"


# A first document --------------------------------------------------------------------------------


def test_one_key_makes_a_root_of_its_own(desk: Desk, people: dict[str, str]) -> None:
    out, told = desk.run("root", "new", "release.root.json", "--key", "first.pem")
    assert out == "release.root.json\n"
    assert f"{people['first']}  first  (ecdsa-p256, production; root, release)" in told
    shown = desk.json("root", "show", "release.root.json")
    assert shown["complete"] is True
    assert shown["document"]["roles"]["release"] == {"keyids": [people["first"]], "threshold": 1}
    assert sorted(shown["document"]["roles"]) == ["release", "root"]


def test_several_keys_need_a_number(desk: Desk, people: dict[str, str]) -> None:
    two = _public("first", "second")
    assert desk.refusal("root", "new", "roots", *two, *_keys("first"), code=2) == "root-threshold-missing"
    assert desk.refusal("root", "new", "roots", *two, "--threshold", "3", code=2) == "root-threshold-unreachable"
    assert not (desk.folder / "roots").exists()


def test_the_signers_sign_one_after_the_other_on_their_own_machines(desk: Desk, people: dict[str, str]) -> None:
    three = _public("first", "second", "third")
    made = desk.json("root", "new", "roots", *three, "--threshold", "2")
    assert made["complete"] is False
    (role,) = made["signatures"]
    assert (role["threshold"], role["signed"]) == (2, [])
    assert {key["label"] for key in role["missing"]} == {"first", "second", "third"}
    path = desk.folder / "roots/1.root.json"
    copies = []
    for name in ("first", "third"):
        elsewhere = desk.folder / name
        elsewhere.mkdir()
        shutil.copy(path, elsewhere / "1.root.json")
        desk.run("sign", f"{name}/1.root.json", "--key", f"{name}.pem")
        copies.append(f"{name}/1.root.json")
    signed = desk.json("sign", "roots/1.root.json", "--add", *copies)
    assert signed["complete"] is True
    (role,) = signed["roles"]
    assert {key["label"] for key in role["signed"]} == {"first", "third"}
    assert walk_chain(path.read_bytes(), _chain(desk)).document.version == 1


def test_an_offline_root_role_has_keys_of_its_own(desk: Desk, people: dict[str, str]) -> None:
    desk.run(
        *("root", "new", "roots", *_public("first", "second"), *_public("third", "fourth", option="--root-public")),
        *("--threshold", "1", "--root-threshold", "2", *_keys("third", "fourth")),
    )
    roles = desk.json("root", "show", "roots")["document"]["roles"]
    assert roles["root"] == {"keyids": sorted((people["third"], people["fourth"])), "threshold": 2}
    assert roles["release"] == {"keyids": sorted((people["first"], people["second"])), "threshold": 1}
    refused = desk.refusal("sign", "roots/1.root.json", "--key", "first.pem", code=2)
    assert refused == "key-not-in-root"


def test_ml_dsa_keys_go_to_roles_of_their_own(desk: Desk, people: dict[str, str]) -> None:
    co_signers = desk.make_keys("first-pq", "second-pq", key_type="ml-dsa-87")
    both = ("first", "second", "first-pq", "second-pq")
    made = desk.json("root", "new", "roots", *_public(*both), "--threshold", "2", *_keys("first", "second"))
    assert made["complete"] is False
    assert made["document"]["roles"]["release_post_quantum"] == {
        "keyids": sorted(co_signers.values()),
        "threshold": 2,
    }
    signed = desk.json("sign", "roots/1.root.json", *_keys("first-pq", "second-pq"))
    assert signed["complete"] is True
    assert [len(role["signed"]) for role in signed["roles"]] == [2, 2]


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (_public("first", "copy"), "root-key-twice"),
        ([*_public("first"), "--public", "other/first.pub.pem"], "root-label-twice"),
        ([*_public("first", "second"), *_keys("third")], "key-not-in-root"),
        (["--public", "first.pem"], "key-unreadable"),
        ([], "root-keys-missing"),
    ],
)
def test_a_root_that_misleads_is_not_made(
    desk: Desk, people: dict[str, str], arguments: Sequence[str], reference: str
) -> None:
    shutil.copy(desk.folder / "first.pub.pem", desk.folder / "copy.pub.pem")
    (desk.folder / "other").mkdir()
    shutil.copy(desk.folder / "second.pub.pem", desk.folder / "other/first.pub.pem")
    assert desk.refusal("root", "new", "roots", *arguments, "--threshold", "1", code=2) == reference
    assert not (desk.folder / "roots").exists()


def test_a_root_is_never_overwritten(desk: Desk, roots: Path) -> None:
    before = (roots / "1.root.json").read_bytes()
    for path in ("roots", "roots/1.root.json"):
        assert desk.refusal("root", "new", path, "--key", "first.pem", code=2) == "root-exists"
    assert (roots / "1.root.json").read_bytes() == before


# Rotation ----------------------------------------------------------------------------------------


def test_a_rotation_is_signed_by_old_and_new(desk: Desk, roots: Path, people: dict[str, str]) -> None:
    made = desk.json("root", "rotate", "roots", "--add", "fourth.pub.pem", "--remove", "first", *_keys("second"))
    assert made["root"] == "roots/2.root.json"
    assert made["complete"] is False
    assert {(one["what"], one["role"], one["subject"].split()[1]) for one in made["changes"]} == {
        (what, role, name) for role in ("root", "release") for what, name in (("added", "fourth"), ("removed", "first"))
    }
    # The one who leaves and the one who comes: each of the two documents has two of its own then.
    signed = desk.json("sign", "roots/2.root.json", *_keys("first", "fourth"))
    assert signed["complete"] is True
    chain = _chain(desk)
    newest = walk_chain(chain[0], chain).document
    assert set(newest.roles.release.keyids) == {people[name] for name in ("second", "third", "fourth")}
    assert people["first"] not in newest.keys


def test_a_rotation_that_only_the_new_ones_sign_leads_nowhere(desk: Desk, roots: Path) -> None:
    desk.run("root", "rotate", "roots", "--add", "fourth.pub.pem", "--remove", "first", *_keys("third", "fourth"))
    shown = desk.json("root", "show", "roots")
    assert shown["complete"] is False
    old, new = shown["documents"][1]["signatures"]
    assert ([key["label"] for key in old["signed"]], old["enough"], new["enough"]) == (["third"], False, True)
    assert desk.refusal("root", "rotate", "roots", code=2) == "root-incomplete"


def test_a_rotation_without_changes_lasts_longer(desk: Desk, roots: Path) -> None:
    made = desk.json("root", "rotate", "roots", "--years", "10", *_keys("first", "third"))
    first, second = (document["document"] for document in desk.json("root", "show", "roots")["documents"])
    assert (made["complete"], made["changes"]) == (True, [])
    assert second["expires"] > first["expires"]
    assert (second["roles"], second["keys"]) == (first["roles"], first["keys"])


def test_thresholds_change_with_the_keys(desk: Desk, roots: Path) -> None:
    remove = ["--remove", "second", "--remove", "third"]
    assert desk.refusal("root", "rotate", "roots", *remove, code=2) == "root-threshold-unreachable"
    numbers = ["--threshold", "1", "--root-threshold", "1"]
    made = desk.json("root", "rotate", "roots", *remove, *numbers, *_keys("first", "second"))
    assert made["complete"] is True
    assert ("threshold", "release", "2 -> 1") in {tuple(one.values()) for one in _ordered(made["changes"])}


def _ordered(changes: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: change[name] for name in ("what", "role", "subject")} for change in changes]


def test_each_role_can_get_a_key_alone(desk: Desk, people: dict[str, str]) -> None:
    desk.run(
        *("root", "new", "roots", *_public("first"), *_public("third", option="--root-public")),
        *_keys("third"),
    )
    desk.run("root", "rotate", "roots", "--add", "second.pub.pem", *_keys("third"))
    desk.run("root", "rotate", "roots", "--root-add", "fourth.pub.pem", *_keys("third"))
    roles = desk.json("root", "show", "roots")["document"]["roles"]
    assert set(roles["release"]["keyids"]) == {people["first"], people["second"]}
    assert set(roles["root"]["keyids"]) == {people["third"], people["fourth"]}


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (["--remove", "nobody"], "root-key-unknown"),
        (["--add", "first.pub.pem"], "root-key-twice"),
        (["--add", "renamed.pub.pem"], "root-key-twice"),
        (["--key", "fourth.pem"], "key-not-in-root"),
    ],
)
def test_a_change_that_is_none_is_refused(desk: Desk, roots: Path, arguments: Sequence[str], reference: str) -> None:
    shutil.copy(desk.folder / "first.pub.pem", desk.folder / "renamed.pub.pem")
    assert desk.refusal("root", "rotate", "roots", *arguments, code=2) == reference
    assert [path.name for path in roots.iterdir()] == ["1.root.json"]


def test_a_document_alone_becomes_a_chain_first(desk: Desk, people: dict[str, str]) -> None:
    desk.run("root", "new", "release.root.json", "--key", "first.pem")
    error = desk.json("root", "rotate", "release.root.json", "--key", "first.pem", code=2)["error"]
    assert error["reference"] == "root-chain-expected"
    assert "cp ROOT.json roots/1.root.json" in error["hint"]
    (desk.folder / "roots").mkdir()
    shutil.copy(desk.folder / "release.root.json", desk.folder / "roots/1.root.json")
    assert desk.json("root", "rotate", "roots", "--key", "first.pem")["complete"] is True


# Revocation --------------------------------------------------------------------------------------


def test_a_revoked_key_is_replaced_and_stays_revoked(desk: Desk, roots: Path, people: dict[str, str]) -> None:
    made = desk.json("root", "revoke", "roots", "first", "--replace", "fourth.pub.pem", *_keys("second", "third"))
    assert made["complete"] is True
    document = made["document"]
    assert document["revoked"] == [people["first"]]
    assert set(document["roles"]["release"]["keyids"]) == {people[name] for name in ("second", "third", "fourth")}
    assert desk.refusal("root", "rotate", "roots", "--add", "first.pub.pem", code=2) == "root-key-revoked"
    desk.run("root", "rotate", "roots", *_keys("second", "third"))
    assert desk.json("root", "show", "roots")["document"]["revoked"] == [people["first"]]


def test_a_key_that_left_long_ago_can_still_be_revoked(desk: Desk, roots: Path, people: dict[str, str]) -> None:
    desk.run("root", "rotate", "roots", "--remove", "first", *_keys("second", "third"))
    made = desk.json("root", "revoke", "roots", "first", *_keys("second", "third"))
    assert (made["document"]["revoked"], made["complete"]) == ([people["first"]], True)
    assert desk.refusal("root", "revoke", "roots", "f" * 64, code=2) == "root-key-unknown"


def test_a_key_of_another_type_takes_no_role_over(desk: Desk, roots: Path) -> None:
    desk.make_keys("fifth", key_type="ml-dsa-87")
    refused = desk.refusal("root", "revoke", "roots", "first", "--replace", "fifth.pub.pem", code=2)
    assert refused == "root-replace"


def test_a_thief_with_the_revoked_key_cannot_undo_it(desk: Desk, roots: Path) -> None:
    """One stolen key of three, threshold two: neither a fork nor a next document comes of it."""
    desk.run("root", "revoke", "roots", "first", "--replace", "fourth.pub.pem", *_keys("second", "third"))
    shutil.copytree(roots, desk.folder / "thief")
    (desk.folder / "thief/2.root.json").unlink()
    desk.run("root", "revoke", "thief", "second", "third", "--threshold", "1", "--root-threshold", "1", *_keys("first"))
    assert desk.json("root", "show", "thief")["complete"] is False


# Reading -----------------------------------------------------------------------------------------


def test_a_chain_is_shown_to_people(desk: Desk, roots: Path, people: dict[str, str]) -> None:
    desk.run("root", "revoke", "roots", "first", "--replace", "fourth.pub.pem", "--key", "second.pem")
    out, told = desk.run("root", "show", "roots")
    assert out == "roots/2.root.json\n"
    for part in (
        "root document version 1",
        "root document version 2",
        f"added root  {people['fourth']}  fourth",
        f"revoked {people['first']}  first",
        "root role of version 1: 1 signed, 2 needed: 1 more needed",
        f"signed   {people['second']}  second",
        f"missing  {people['third']}  third",
    ):
        assert part in told
    for document in desk.json("root", "show", "roots")["documents"]:
        # As the ceremony computes it by hand, before and after others have signed.
        assert document["sha256"] == identity_of((desk.folder / document["path"]).read_bytes())
        assert f"payload SHA-256 {document['sha256']}" in told


def test_what_a_document_changes_is_said_in_words(desk: Desk, roots: Path, people: dict[str, str]) -> None:
    desk.run("root", "rotate", "roots", "--add", "fourth.pub.pem", "--threshold", "3", *_keys("first", "second"))
    desk.run("root", "revoke", "roots", "third", "--threshold", "2", *_keys("first", "second"))
    first, second, third = (f"roots/{number}.root.json" for number in (1, 2, 3))
    fourth = f"fourth ({people['fourth']})"
    until, *told = desk.json("root", "diff", first, second)["changes"]
    assert until.startswith("valid until 20")
    assert told == [
        f"{fourth} may now sign root documents",
        f"{fourth} may now sign bundles",
        "to sign root documents takes 2 of 4 keys, previously 2 of 3 keys",
        "to sign bundles takes 3 of 4 keys, previously 2 of 3 keys",
    ]
    out, _ = desk.run("root", "diff", second, third)
    lost = f"third ({people['third']})"
    for line in (f"{lost} may no longer sign bundles", f"{lost} is revoked for good", "previously 3 of 4 keys"):
        assert line in out
    assert desk.refusal("root", "diff", second, first, code=2) == "root-order"
    assert desk.refusal("root", "diff", first, third, code=2) == "root-order"


def test_a_chain_with_a_gap_or_a_stranger_is_not_shown_as_one(desk: Desk, roots: Path) -> None:
    desk.run("root", "rotate", "roots", *_keys("first", "second"))
    desk.run("root", "rotate", "roots", *_keys("first", "second"))
    second = (roots / "2.root.json").read_bytes()
    (roots / "2.root.json").unlink()
    assert desk.refusal("root", "show", "roots", code=3) == "root-skipped"
    (roots / "2.root.json").write_bytes((roots / "3.root.json").read_bytes())
    assert desk.refusal("root", "show", "roots", code=3) == "root-skipped"
    (roots / "2.root.json").write_bytes(second.replace(b'"sig":"M', b'"sig":"N', 1))
    assert desk.refusal("root", "show", "roots", code=3) == "root-signature"


def test_a_later_document_is_read_without_the_one_before(desk: Desk, roots: Path) -> None:
    desk.run("root", "rotate", "roots", "--add", "fourth.pub.pem", "--key", "fourth.pem")
    alone = desk.folder / "alone"
    alone.mkdir()
    shutil.copy(roots / "2.root.json", alone / "2.root.json")
    shown = desk.json("root", "show", "alone/2.root.json")
    assert [role["role"] for role in shown["documents"][0]["signatures"]] == ["root role of version 2"]
    signed = desk.json("sign", "alone/2.root.json", "--key", "second.pem")
    assert signed["complete"] is True  # by its own keys; the one before has a word to say too
    desk.run("sign", "roots/2.root.json", "--add", "alone/2.root.json")
    assert desk.json("root", "show", "roots")["complete"] is False
