"""Weights from a hub: the real client, the real downloads, a hub that misbehaves."""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from appliance.artifacts.base import Context
from appliance.artifacts.weights import Weights
from appliance.errors import ApplianceError, NotTrusted, Stale
from appliance.model.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.model.weights import WeightsSection
from appliance.store.cache import Cache
from appliance.tools.download import CHUNK
from tests.support.hub import Hub, Repository
from tests.support.weights import model_files, pack

pytestmark = pytest.mark.integration

KIND = Weights()
NAME = "tiny/model"
TOKEN = "hf_onlyForThisTest"
AT_ONCE = {"Retry-After": "0"}
LFS = {"oid": "0" * 64, "size": 1, "pointerSize": 130}
SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
        huggingface_hub.close_session()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, Cache(tmp_path / "cache dir"), Silent())


def lock(context: Context, *, allow: dict[str, str] | None = None, **more: Any) -> LockedArtifact:
    fields = {"huggingface": {"repo": NAME, **more}, "licence": "Apache-2.0", "allow": allow or {}}
    return KIND.resolve("tiny", WeightsSection.model_validate_json(json.dumps(fields)), context)


def refusal(context: Context, **more: Any) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        lock(context, **more)
    return caught.value


def fetched(artifact: LockedArtifact, context: Context) -> dict[str, bytes]:
    KIND.fetch(artifact, context)
    return {file.path: context.sink.path(file).read_bytes() for file in artifact.files}


def test_the_hub_of_these_tests_serves_the_real_client(hub: Hub, tmp_path: Path) -> None:
    hub.page_size = 3
    hub.add(NAME, model_files())

    folder = huggingface_hub.HfApi(endpoint=hub.endpoint, token=False).snapshot_download(NAME, cache_dir=tmp_path / "c")

    assert {path: Path(folder, path).read_bytes() for path in model_files()} == model_files()


def test_a_lock_holds_the_commit_and_every_digest(hub: Hub, context: Context) -> None:
    hub.page_size = 3
    repository = hub.add(NAME, model_files())

    artifact = lock(context)

    assert artifact.source == {
        "type": "huggingface",
        "repo": NAME,
        "revision": "main",
        "commit": repository.branches["main"],
    }
    assert {file.path: (file.sha256, file.size, file.url) for file in artifact.files} == {
        path: (hashlib.sha256(data).hexdigest(), len(data), None) for path, data in model_files().items()
    }
    assert sum("/tree/" in exchange.path for exchange in hub.log) == 3
    assert hub.sent("safetensors$|^/lfs/") == 0


def test_a_first_fetch_brings_the_large_files_and_a_second_sends_nothing(hub: Hub, context: Context) -> None:
    hub.add(NAME, model_files())
    artifact = lock(context)
    with hub.watched() as first:
        assert fetched(artifact, context) == model_files()
    with hub.watched() as second:
        assert fetched(artifact, context) == model_files()
    assert {exchange.path for exchange in first if exchange.server == "hub"} == {
        f"/{NAME}/resolve/{artifact.source['commit']}/model-0000{number}-of-00002.safetensors" for number in (1, 2)
    }
    assert second == []


def test_the_lock_stays_with_its_commit_when_the_branch_moves(hub: Hub, context: Context) -> None:
    repository = hub.add(NAME, model_files())
    artifact = lock(context)
    repository.push(model_files() | {"config.json": b'{"other": 1}', SHARD: b"other"})
    assert fetched(artifact, context) == model_files()


def test_a_lock_from_one_hub_is_fetched_from_another(
    hub: Hub, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NAME, model_files())
    artifact = lock(context)
    with Hub() as mirror:
        mirror.add(NAME, model_files())
        monkeypatch.setenv("HF_ENDPOINT", f"{mirror.endpoint}/")
        with hub.watched() as asked:
            assert fetched(artifact, Context(tmp_path, Cache(tmp_path / "another"), Silent())) == model_files()
    assert asked == []


def test_what_is_left_out_is_never_asked_for(hub: Hub, context: Context) -> None:
    hub.add(NAME, {**model_files(), "original/consolidated.00.pth": b"\x80\x02", "original/setup.py": b"x"})
    artifact = lock(context, exclude=["original/*"])
    KIND.fetch(artifact, context)
    assert not any("original" in exchange.path for exchange in hub.log)
    assert not any(file.path.startswith("original") for file in artifact.files)


def test_only_what_is_asked_for(hub: Hub, context: Context) -> None:
    hub.add(NAME, model_files())
    artifact = lock(context, files=["*.safetensors", "config.json"], exclude=["*-00002-*"])
    assert [file.path for file in artifact.files] == ["config.json", SHARD]
    assert refusal(context, files=["*.safetensor"]).reference == "weights-pattern-unused"


# The token


@pytest.mark.parametrize("place", ["HF_TOKEN", "file"])
def test_a_gated_repository_opens_with_the_token_from_its_usual_places(
    hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    if place == "file":
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    else:
        monkeypatch.setenv(place, TOKEN)
    hub.tokens = {TOKEN}
    hub.add(NAME, model_files(), gated=True, readers={TOKEN})
    assert fetched(lock(context), context) == model_files()


def test_the_token_stays_with_the_hub_and_out_of_logs_and_locks(
    hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.tokens = {TOKEN}
    hub.add(NAME, model_files())
    with caplog.at_level(logging.DEBUG):
        artifact = lock(context)
        KIND.fetch(artifact, context)
    at_cdn = [exchange.authorization for exchange in hub.log if exchange.server == "cdn"]
    assert {exchange.authorization for exchange in hub.log if exchange.server == "hub"} == {f"Bearer {TOKEN}"}
    assert at_cdn == ["", ""]
    assert TOKEN not in caplog.text
    assert TOKEN not in artifact.model_dump_json()


def test_the_token_does_not_follow_a_listing_to_another_host(
    hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.tokens = {TOKEN}
    hub.page_size = 3
    hub.add(NAME, model_files())
    with Hub(page_size=3) as other:
        other.add(NAME, model_files())
        hub.pages_at = other.endpoint
        lock(context)
        assert [exchange.authorization for exchange in other.log] == ["", ""]


def test_nothing_is_told_about_this_machine(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_AGENT", "some-agent")
    hub.add(NAME, model_files())
    KIND.fetch(lock(context), context)
    assert all("agent" not in exchange.path + exchange.user_agent for exchange in hub.log)


# Interruption and load


def big(hub: Hub) -> dict[str, bytes]:
    files = model_files(shards=2, size=3 * CHUNK)
    hub.add(NAME, files)
    return files


def digest_of(artifact: LockedArtifact, path: str) -> str:
    return next(file.sha256 for file in artifact.files if file.path == path)


def test_a_body_that_is_cut_is_continued(hub: Hub, context: Context) -> None:
    files = big(hub)
    artifact = lock(context)
    large = f"/lfs/{digest_of(artifact, SHARD)}"
    hub.fail(large, times=1, cut=2 * CHUNK + 5)
    assert fetched(artifact, context) == files
    assert [exchange.range for exchange in hub.log if exchange.path == large] == ["", f"bytes={2 * CHUNK}-"]
    assert hub.sent(large) == len(files[SHARD]) + 5


def test_an_interrupted_fetch_goes_on_in_the_next_run(hub: Hub, context: Context) -> None:
    files = big(hub)
    artifact = lock(context)
    large = f"/lfs/{digest_of(artifact, SHARD)}"
    hub.fail(large, times=1, cut=2 * CHUNK)
    hub.fail(large, status=403)
    with pytest.raises(ApplianceError, match="403"):
        KIND.fetch(artifact, context)
    other = f"/lfs/{digest_of(artifact, 'model-00002-of-00002.safetensors')}"
    KIND.fetch(artifact.model_copy(update={"files": [f for f in artifact.files if f.sha256 in other]}), context)
    hub.faults.clear()

    with hub.watched() as next_run:
        assert fetched(artifact, context) == files

    assert [(exchange.path, exchange.range) for exchange in next_run if exchange.server == "cdn"] == [
        (large, f"bytes={2 * CHUNK}-")
    ]
    assert hub.sent(large) == len(files[SHARD])


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("path", ["/revision/", "/tree/", r"config\.json", "^/lfs/"])
def test_a_busy_hub_is_asked_again(hub: Hub, context: Context, status: int, path: str) -> None:
    hub.add(NAME, model_files())
    hub.fail(path, times=2, status=status, headers=AT_ONCE)
    assert fetched(lock(context), context) == model_files()


@pytest.mark.parametrize(
    ("path", "status", "reference"),
    [
        ("/revision/", 429, "hub-rate-limited"),
        ("/tree/", 429, "hub-rate-limited"),
        ("/revision/", 502, "hub-failing"),
        ("/tree/", 500, "hub-failing"),
        ("/README.md", 503, "hub-failing"),
        ("/README.md", 429, "hub-rate-limited"),
    ],
)
def test_a_hub_that_stays_busy(hub: Hub, context: Context, path: str, status: int, reference: str) -> None:
    hub.add(NAME, model_files())
    hub.fail(path, status=status, headers=AT_ONCE)
    assert refusal(context).reference == reference
    assert sum(path in exchange.path for exchange in hub.log) == 5


def test_the_wait_that_a_hub_asks_for_is_bounded(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("appliance.tools.hub.time.sleep", waits.append)
    hub.add(NAME, model_files())
    hub.fail("/revision/", times=1, status=429, headers={"Retry-After": "7"})
    hub.fail("/revision/", times=1, status=429, headers={"RateLimit": '"api";r=0;t=9'})
    hub.fail("/revision/", times=1, status=429, headers={"Retry-After": "86400"})
    lock(context)
    assert waits == [7.0, 9.0, 60.0]


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
        small.setattr("appliance.tools.hub.MAX_SMALL_FILE", 20)
        assert "exclude" in refusal(context).hint
    with monkeypatch.context() as small:
        small.setattr("appliance.tools.hub.MAX_SMALL_FILE", 1000)
        hub.fail(r"config\.json", times=1, replaced=bytes(1001))
        assert refusal(context).reference == "hub-file-oversized"
    monkeypatch.setattr("appliance.tools.hub.MAX_FILES", 3)
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
    monkeypatch.setattr("appliance.tools.hub.time.sleep", lambda seconds: None)
    hub.add(NAME, model_files())
    hub.fail(r"config\.json", times=1, cut=3)
    assert fetched(lock(context), context) == model_files()
    hub.fail(r"config\.json", cut=3)
    assert refusal(context).reference == "source-unreachable"


def test_a_token_that_cannot_be_read(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(context.base))
    assert refusal(context).reference == "hub-token"


def test_a_hub_that_cannot_be_reached(hub: Hub, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.tools.hub.time.sleep", lambda seconds: None)
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
    files = {**model_files(), "sub/training.bin": b"\x80\x02"}
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
