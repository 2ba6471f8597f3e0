"""``appliance sign --rebuilt``: two builders, and a site that demands two."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.support.bundles import FILES, FIRST, NOW, SECOND, Recipe, key, keyid, root_document
from tests.support.people import Desk

MODEL = "models/tiny/model.safetensors"
ROOT = root_document(1, (FIRST, SECOND), threshold=1)


@pytest.fixture
def builders(desk: Desk) -> Desk:
    """``first/bundle`` signed by its builder, ``second/bundle`` built 40 minutes later, and a policy of two."""
    build(desk, "first", created=NOW - timedelta(hours=1), signers=(FIRST,))
    build(desk, "second", created=NOW - timedelta(minutes=20))
    (desk.folder / "second.pem").write_bytes(key(SECOND).pem(None))
    (desk.folder / "policy.yaml").write_text("schema: appliance.policy/v1\nrelease_threshold: 2\n")
    return desk


def build(desk: Desk, name: str, files: Mapping[str, bytes] = FILES, **changes: Any) -> None:
    recipe = Recipe(roots=(ROOT,), signers=(), files=files).but(**changes)
    recipe.but(expires=recipe.created + timedelta(days=30)).write(desk.folder / name)


def again(desk: Desk, name: str, files: Mapping[str, bytes] = FILES, **changes: Any) -> None:
    """Build it otherwise, in place of what was there."""
    for path in sorted((desk.folder / name).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    build(desk, name, files, **changes)


def verify(desk: Desk, code: int) -> Any:
    return desk.json("verify", "first/bundle", "--root", "first/root.json", "--policy", "policy.yaml", code=code)


def test_two_builders_who_got_the_same_are_enough_for_a_site_that_demands_two(builders: Desk) -> None:
    assert verify(builders, 3)["error"]["found"] == "1"
    out, _ = builders.run("sign", "first/bundle", "--key", "second.pem", "--rebuilt", "second/bundle")
    assert out == f"first/bundle/sigs/{keyid(SECOND)}.sigstore.json\n"
    assert len(verify(builders, 0)["signers"]) == 2


def test_the_statement_is_enough_for_who_has_built_it_again(builders: Desk) -> None:
    statement = ("sign", "first/bundle/statement.json", "--key", "second.pem", "--out", ".")
    (file,) = builders.json(*statement, "--rebuilt", "second/bundle")["signatures"]
    builders.run("sign", "first/bundle", "--add", file)
    verify(builders, 0)


def test_who_holds_several_keys_compares_once_and_signs_with_all(builders: Desk) -> None:
    (builders.folder / "first.pem").write_bytes(key(FIRST).pem(None))
    keys = ("--key", "first.pem", "--key", "second.pem", "--out", ".")
    statement = ("sign", "first/bundle/statement.json", *keys, "--rebuilt", "second/bundle")
    assert builders.json(*statement)["keyids"] == [keyid(FIRST), keyid(SECOND)]
    (builders.folder / f"{keyid(SECOND)}.sigstore.json").unlink()
    again(builders, "second", {**FILES, MODEL: b"x"})
    assert builders.refusal(*statement, code=3) == "rebuild-differs"
    assert not list(builders.folder.glob(f"{keyid(SECOND)}*"))


def test_what_one_of_two_builders_has_tampered_with_gets_no_second_signature(builders: Desk) -> None:
    again(builders, "first", {**FILES, MODEL: FILES[MODEL][:-1] + b"x"}, signers=(FIRST,))
    for target in ("first/bundle", "first/bundle/statement.json"):
        refused = builders.json("sign", target, "--key", "second.pem", "--rebuilt", "second/bundle", code=3)["error"]
        assert (refused["reference"], refused["what"].rpartition(": ")[2]) == ("rebuild-differs", "SHA256SUMS")
        assert refused["hint"].endswith("appliance compare BUNDLE second/bundle")
    assert not list(builders.folder.rglob(f"*{keyid(SECOND)}*"))
    missing = verify(builders, 3)["error"]
    assert (missing["reference"], missing["expected"], missing["found"]) == ("signatures-missing", "2 signatures", "1")
    first = builders.json("compare", "first/bundle", "second/bundle", code=1)["differences"][0]
    assert (first["artifact"], first["path"], first["kind"]) == ("weights/tiny", MODEL, "other-bytes")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", "1.0.1"),
        ("previous", "0.9.0"),
        ("minimum_root_version", 2),
        ("time from created to expires", None),
    ],
)
def test_no_builder_decides_alone_what_else_is_signed(builders: Desk, name: str, value: object) -> None:
    def change(statement: dict[str, Any]) -> None:
        changed = {name: value} if value else {"expires": "2099-01-01T00:00:00Z"}
        statement["predicate"].update(changed)

    again(builders, "first", statement=change)
    refused = builders.json("sign", "first/bundle", "--key", "second.pem", "--rebuilt", "second/bundle", code=3)[
        "error"
    ]
    assert (refused["reference"], refused["what"].rpartition(": ")[2]) == ("rebuild-differs", name)
    assert not list((builders.folder / "first").rglob("*.sigstore.json"))


@pytest.mark.parametrize("target", ["second/bundle", "second/bundle/statement.json"])
def test_a_bundle_is_no_second_build_of_itself(builders: Desk, target: str) -> None:
    (builders.folder / "link").symlink_to("second/bundle")
    for own in ("second/bundle", "link"):
        refused = builders.json("sign", target, "--key", "second.pem", "--rebuilt", own, code=2)["error"]
        assert "no second build of itself" in refused["what"]


@pytest.mark.parametrize("removed", ["SHA256SUMS", "statement.json"])
def test_what_was_not_built_is_told_apart_from_what_differs(builders: Desk, removed: str) -> None:
    (builders.folder / "second/bundle" / removed).unlink()
    arguments = ("sign", "first/bundle", "--key", "second.pem", "--rebuilt", "second/bundle")
    assert builders.refusal(*arguments, code=2) == "rebuild-unreadable"


def test_only_bundles_are_built_and_only_who_signs_has_built(builders: Desk) -> None:
    rebuilt = ("--rebuilt", "second/bundle")
    assert builders.refusal("sign", "first/root.json", "--key", "second.pem", *rebuilt, code=2) == "usage"
    file = f"first/bundle/sigs/{keyid(FIRST)}.sigstore.json"
    assert builders.refusal("sign", "first/bundle", "--add", file, *rebuilt, code=2) == "usage"
