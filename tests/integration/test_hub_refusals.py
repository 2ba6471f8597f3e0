"""Weights from a hub that refuses, misleads or holds what may not be carried."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from appliance.artifacts.base import Context
from appliance.errors import ApplianceError, NotTrusted, Stale
from tests.support.hub import Hub, Repository
from tests.support.hub_weights import (
    KIND,
    NAME,
    SHARD,
    TOKEN,
    chosen_hub,
    context_in,
    digest_of,
    fetched,
    lock,
    refusal,
)
from tests.support.weights import model_files, pack

pytestmark = pytest.mark.integration

LFS = {"oid": "0" * 64, "size": 1, "pointerSize": 130}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with chosen_hub(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return context_in(tmp_path)


# Refusals


@pytest.mark.parametrize(
    ("options", "token", "reference", "says"),
    [
        ({"gated": True}, "", "hub-gated", "accept its conditions at"),
        ({"gated": True}, TOKEN, "hub-gated", "accept its conditions at"),
        ({"private": True}, "", "hub-repository-missing", "private"),
        ({"private": True}, TOKEN, "hub-repository-missing", "private"),
        ({}, "hf_expired", "hub-unauthorized", "does not accept the token"),
        ({"renamed_to": "tiny/better"}, "", "hub-renamed", "write repo: tiny/better"),
    ],
)
def test_each_refusal_has_its_own_message(
    hub: Hub,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    token: str,
    reference: str,
    says: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    hub.tokens = {TOKEN}
    hub.add(NAME, model_files(), **options)
    hub.add("tiny/better", model_files())

    error = refusal(context)

    assert (error.reference, error.exit_code) == (reference, 2)
    assert says in f"{error.what} {error.hint}"
    assert token == "" or token not in f"{error} {error.hint}"


def test_a_missing_repository_and_a_missing_revision(hub: Hub, context: Context) -> None:
    assert refusal(context).reference == "hub-repository-missing"
    hub.add(NAME, model_files())
    error = refusal(context, revision="v9")
    assert error.reference == "hub-revision-missing"
    assert "'v9'" in error.what


@pytest.mark.parametrize(
    ("status", "headers", "reference"),
    [
        (401, {}, "hub-unauthorized"),
        (403, {}, "hub-forbidden"),
        (403, {"X-Error-Message": "Access to this resource is disabled."}, "hub-disabled"),
        (404, {}, "hub-refused"),
        (400, {}, "hub-refused"),
    ],
)
@pytest.mark.parametrize("path", ["/revision/", "/tree/"])
def test_plain_statuses(
    hub: Hub, context: Context, status: int, headers: dict[str, str], reference: str, path: str
) -> None:
    hub.add(NAME, model_files())
    hub.fail(path, status=status, headers=headers)
    assert refusal(context).reference == reference


@pytest.mark.parametrize(
    "body", [b"<html>please log in</html>", b"[]", b"{}", b"[[]]", b'{"id": 1}', b"[" * 100_000, b'[{"type": "file"}]']
)
@pytest.mark.parametrize("path", ["/revision/", "/tree/"])
def test_an_answer_that_no_hub_gives(hub: Hub, context: Context, body: bytes, path: str) -> None:
    hub.add(NAME, model_files())
    hub.fail(path, status=200, body=body)
    assert refusal(context).reference in ("hub-unreadable", "hub-renamed", "weights-empty")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/revision/", {"id": NAME, "sha": "main"}),
        ("/tree/", [{"type": "file", "path": "a.json", "size": 1, "oid": "no digest"}]),
        ("/tree/", [{"type": "file", "path": "a.json", "size": -1, "oid": "0" * 40}]),
        ("/tree/", [{"type": "file", "path": "a.json", "size": 1, "oid": "0" * 40}] * 2),
        ("/tree/", [{"type": "file", "path": "a.json", "size": 1, "oid": "0" * 40, "lfs": LFS | {"oid": "0" * 63}}]),
        ("/tree/", [{"type": "file", "path": "a.json", "size": 1, "oid": "0" * 40, "lfs": LFS | {"size": 2}}]),
    ],
)
def test_an_answer_with_impossible_values(hub: Hub, context: Context, path: str, answer: Any) -> None:
    hub.add(NAME, model_files())
    hub.fail(path, status=200, body=json.dumps(answer).encode())
    assert refusal(context).reference == "hub-unreadable"


def test_what_is_too_large_to_be_asked_for(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, model_files())
    with monkeypatch.context() as small:
        small.setattr("appliance.tools.hub.MAX_HUB_SMALL_FILE", 20)
        assert "exclude" in refusal(context).hint
    with monkeypatch.context() as small:
        small.setattr("appliance.tools.hub.MAX_HUB_SMALL_FILE", 1000)
        hub.fail(r"config\.json", times=1, replaced=bytes(1001))
        assert refusal(context).reference == "hub-file-oversized"
    monkeypatch.setattr("appliance.tools.hub.MAX_SOURCE_FILES", 3)
    assert refusal(context).reference == "hub-oversized"


def test_one_file_that_is_refused_though_the_repository_is_not(hub: Hub, context: Context) -> None:
    hub.add(NAME, model_files())
    hub.fail(r"/resolve/.*config\.json", times=1, status=403)
    assert refusal(context).reference == "hub-forbidden"
    artifact = lock(context)
    hub.fail("^/lfs/", status=403)
    with pytest.raises(ApplianceError) as caught:
        KIND.fetch(artifact, context)
    assert caught.value.reference == "source-refused"
    assert "/resolve/" in caught.value.where


def test_a_small_file_that_is_cut_is_read_again(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.tools.http.paused", lambda seconds, stop: False)
    hub.add(NAME, model_files())
    hub.fail(r"config\.json", times=1, cut=3)
    assert fetched(lock(context), context) == model_files()
    hub.fail(r"config\.json", cut=3)
    assert refusal(context).reference == "source-unreachable"


def test_a_token_that_cannot_be_read(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(context.base))
    assert refusal(context).reference == "hub-token"


def test_a_hub_that_cannot_be_reached(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.tools.http.paused", lambda seconds, stop: False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert refusal(context).reference == "source-unreachable"


@pytest.mark.parametrize(
    ("name", "value", "reference"),
    [
        ("HF_ENDPOINT", "http://hub.example", "hub-address"),
        ("HF_ENDPOINT", "hub.example", "hub-address"),
        ("HF_HUB_OFFLINE", "1", "hub-offline"),
    ],
)
def test_settings_that_cannot_work(
    hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reference: str
) -> None:
    monkeypatch.setenv(name, value)
    error = refusal(context)
    assert (error.reference, error.where) == (reference, name)


def test_access_that_is_withdrawn_after_locking(hub: Hub, context: Context) -> None:
    repository = hub.add(NAME, model_files())
    artifact = lock(context)
    repository.gated = True
    with pytest.raises(ApplianceError) as caught:
        KIND.fetch(artifact, context)
    assert caught.value.reference == "hub-gated"


def test_a_commit_that_is_gone_makes_the_lock_stale(hub: Hub, context: Context) -> None:
    hub.add(NAME, model_files())
    artifact = lock(context)
    hub.repositories[NAME] = Repository(NAME)
    with pytest.raises(Stale, match="no longer has tiny/model") as caught:
        KIND.fetch(artifact, context)
    assert caught.value.artifact == "weights/tiny"


# Other bytes


def test_a_large_file_with_other_bytes(hub: Hub, context: Context) -> None:
    files = model_files()
    hub.add(NAME, files)
    artifact = lock(context)
    hub.fail(digest_of(artifact, SHARD), replaced=files[SHARD][:-1] + b"!")
    with pytest.raises(NotTrusted) as caught:
        KIND.fetch(artifact, context)
    assert caught.value.reference == "content-mismatch"
    assert SHARD in caught.value.where


def test_a_small_file_with_other_bytes(hub: Hub, context: Context) -> None:
    hub.add(NAME, model_files())
    hub.fail(r"config\.json$", replaced=b'{"vocab_size": 5, "model_type": "llama"}')
    error = refusal(context)
    assert (error.reference, error.exit_code) == ("hub-file-mismatch", 3)
    assert "config.json" in error.where


def test_another_commit_than_asked_for(hub: Hub, context: Context) -> None:
    repository = hub.add(NAME, model_files())
    asked = repository.push({"config.json": b"{}"}, branch="old")
    repository.branches[asked] = repository.branches["main"]
    error = refusal(context, revision=asked)
    assert (error.reference, error.exit_code, error.expected) == ("hub-commit-mismatch", 3, asked)


@pytest.mark.parametrize("path", ["../x.json", "a/../../x.json", "/etc/x.json", "a\\b.json", "x\n.json"])
def test_paths_that_would_leave_the_directory(hub: Hub, context: Context, path: str) -> None:
    hub.add(NAME, {**model_files(), path: b"{}"})
    assert refusal(context).reference == "weights-path-unsafe"


# The content gate


def test_refused_files_are_named_before_anything_is_fetched(hub: Hub, context: Context) -> None:
    hub.add(NAME, {**model_files(), "pytorch_model.bin": b"\x80\x02", "modeling.py": b"x"}, links=("link.json",))
    error = refusal(context)
    assert [problem.what.split()[0] for problem in error.problems] == ["link.json", "modeling.py", "pytorch_model.bin"]
    assert "exclude" in error.hint
    assert not any("/resolve/" in exchange.path for exchange in hub.log)


def test_a_refused_file_that_is_allowed(hub: Hub, context: Context) -> None:
    files = {**model_files(), "sub/training.bin": b"\x80\x02N."}
    hub.add(NAME, files)
    artifact = lock(context, allow={"sub/training.bin": "reviewed"})
    assert fetched(artifact, context) == files


def test_auto_map_is_found_when_locking(hub: Hub, context: Context) -> None:
    hub.add(NAME, {**model_files(), "config.json": b'{"auto_map": {"AutoModel": "tiny/code--modeling.X"}}'})
    assert "auto_map" in refusal(context).what


def test_a_dishonest_header_is_found_before_sealing(hub: Hub, context: Context) -> None:
    evil = pack({"../../x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x")
    hub.add(NAME, {**model_files(), SHARD: evil})
    artifact = lock(context)
    with pytest.raises(ApplianceError, match="looks like a path") as caught:
        KIND.fetch(artifact, context)
    assert caught.value.reference == "weights-refused"
