import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.weights.kind import Weights
from appliance.artifacts.weights.section import WeightsSection
from appliance.errors import ApplianceError, BadInput, Stale
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.locking import lock_one
from tests.support.weights import model_files, pack, shard

KIND = Weights()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    base = tmp_path / "bundles with space"
    base.mkdir()
    return Context(base, Cache(tmp_path / "cache"), Silent())


def write(context: Context, files: Mapping[str, bytes], folder: str = "model") -> Path:
    root = context.base / folder
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def lock(context: Context, folder: str = "model", allow: dict[str, str] | None = None) -> LockedArtifact:
    fields: dict[str, Any] = {"directory": folder, "licence": "CC0-1.0", "allow": allow or {}}
    return lock_one(KIND, "tiny", WeightsSection.model_validate_json(json.dumps(fields)), context)


def refusal(context: Context, **options: Any) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        lock(context, **options)
    return caught.value


def test_a_directory_is_locked_fetched_and_laid_out(context: Context) -> None:
    files = model_files()
    write(context, files)

    artifact = lock(context)
    KIND.fetch(artifact, context)
    ((layout,), shared) = KIND.lay_out([artifact], context)

    assert artifact.id == "weights/tiny"
    assert artifact.source == {"type": "directory", "directory": "model"}
    assert artifact.licence == "CC0-1.0"
    assert shared == ()
    assert layout.details.fields() == {"path": "models/tiny"}
    assert {file.path: context.sink.path(file).read_bytes() for file in layout.files} == {
        f"models/tiny/{path}": data for path, data in files.items()
    }


def test_the_same_files_give_the_same_lock(context: Context) -> None:
    write(context, model_files())
    first = lock(context)
    os.utime(context.base / "model" / "config.json", (0, 0))
    assert lock(context) == first
    assert [file.path for file in first.files] == sorted(model_files())


def test_a_directory_that_is_not_kept_yet_is_read_when_it_is_fetched(context: Context, tmp_path: Path) -> None:
    write(context, model_files())
    artifact = lock(context)
    elsewhere = Context(context.base, Cache(tmp_path / "another"), Silent())

    KIND.fetch(artifact, elsewhere)

    assert elsewhere.sink.missing(artifact.files) == []


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    ("path", "data", "happened"),
    [
        ("config.json", b'{"vocab_size": 4, "model_type": "llamb"}', "has changed"),
        ("config.json", b"{}", "has changed"),
        ("config.json", None, "has disappeared"),
        ("extra.json", b"{}", "has been added"),
    ],
)
def test_a_directory_that_moved_on_makes_the_lock_stale(
    context: Context, tmp_path: Path, cached: bool, path: str, data: bytes | None, happened: str
) -> None:
    files = model_files() | {"config.json": b'{"model_type": "llama", "vocab_size": 4}'}
    root = write(context, files)
    artifact = lock(context)
    if data is None:
        (root / path).unlink()
    else:
        (root / path).write_bytes(data)
    sink = context.sink if cached else Cache(tmp_path / "another")

    with pytest.raises(Stale, match=f"{path} {happened}") as caught:
        KIND.fetch(artifact, Context(context.base, sink, Silent()))

    assert caught.value.where == str(root / path)
    assert "--only weights/tiny" in caught.value.hint


def test_a_link_in_the_directory_is_refused(context: Context) -> None:
    root = write(context, model_files())
    (root / "vocab.json").symlink_to("/etc/passwd")
    (root / "more").symlink_to("/etc")

    error = refusal(context, allow={})

    assert (error.reference, error.exit_code) == ("weights-refused", 2)
    assert [problem.what.split()[0] for problem in error.problems] == ["more", "vocab.json"]


def test_a_link_put_there_after_locking_is_seen(context: Context) -> None:
    root = write(context, model_files())
    artifact = lock(context)
    (root / "config.json").rename(context.base / "elsewhere.json")
    (root / "config.json").symlink_to("../elsewhere.json")
    with pytest.raises(Stale, match=r"config\.json has become a link"):
        KIND.fetch(artifact, context)


def test_a_fifo_does_not_block(context: Context) -> None:
    os.mkfifo(write(context, model_files()) / "config2.json")
    assert "config2.json is a FIFO" in refusal(context).what


def test_a_directory_behind_a_link_is_refused(context: Context) -> None:
    write(context, model_files(), "elsewhere")
    (context.base / "model").symlink_to("elsewhere")
    assert refusal(context).reference == "weights-directory-link"


def test_a_directory_that_is_not_there(context: Context) -> None:
    assert refusal(context).reference == "weights-directory-missing"
    (context.base / "model").mkdir()
    assert refusal(context).reference == "weights-empty"


def test_weights_without_weights_are_refused(context: Context) -> None:
    write(context, {"config.json": b"{}"})
    assert "no safetensors" in refusal(context).what


def test_every_refused_file_is_named_with_its_reason_and_the_way_out(context: Context) -> None:
    write(context, {**model_files(), "pytorch_model.bin": b"\x80\x02", "modeling.py": b"import os", "a.png": b"x"})

    error = refusal(context)

    assert [problem.what for problem in error.problems] == [
        "a.png is of a type that is not known here (.png)",
        "modeling.py is code: a model may hold only data",
        "pytorch_model.bin is or may be a Python pickle: loading it runs whatever code it carries",
    ]
    assert "and 2 more" in error.what
    assert error.where == "weights/tiny"
    assert "move it out" in error.hint
    assert "allow" in error.hint


@pytest.mark.parametrize(
    ("path", "data", "reason"),
    [
        ("config.json", b'{"auto_map": {"AutoModel": "modeling.X"}}', "auto_map"),
        ("config.json", b'{"a": 1, "a": 2}', "twice"),
        ("model-00001-of-00002.safetensors", b"\x80\x04pickle", "safetensors"),
        ("model-00001-of-00002.safetensors", shard(0) + b"PK", "bytes of data"),
        (
            "extra.safetensors",
            pack({"../../x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x"),
            "looks like a path",
        ),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "model-9.safetensors"}}', "model-9.safetensors"),
    ],
)
def test_bytes_are_checked_when_locking(context: Context, path: str, data: bytes, reason: str) -> None:
    write(context, {**model_files(), path: data})
    error = refusal(context)
    assert error.reference == "weights-refused"
    assert path in error.what
    assert reason in error.what


def test_a_file_that_is_allowed_by_name_passes_and_the_reason_is_locked(context: Context) -> None:
    write(context, {**model_files(), "sub/training.bin": b"\x80\x02N."})
    artifact = lock(context, allow={"sub/training.bin": "needed by the tokenizer, reviewed"})
    KIND.fetch(artifact, context)
    assert artifact.source["allow sub/training.bin"] == "needed by the tokenizer, reviewed"
    assert "sub/training.bin" in {file.path for file in artifact.files}


def test_no_allow_lets_a_pickle_run_something(context: Context) -> None:
    write(context, {**model_files(), "training.bin": b"cos\nsystem\n(S'reboot'\ntR."})
    error = refusal(context, allow={"training.bin": "reviewed"})
    assert error.reference == "weights-refused"
    assert "training.bin imports what weights do not need" in error.what
    assert "os.system" in error.what
    assert "allow" not in error.hint


def test_a_pickle_that_a_hub_shows_late_is_refused_before_sealing(context: Context) -> None:
    root = write(context, {**model_files(), "training.bin": b"\x80\x02N."})
    artifact = lock(context, allow={"training.bin": "reviewed"})
    (root / "training.bin").write_bytes(b"cos\nsystem\n(S'reboot'\ntR.")
    bad = context.sink.put(b"cos\nsystem\n(S'reboot'\ntR.")
    files = tuple(
        LockedFile(path=file.path, sha256=bad.sha256, size=bad.size) if file.path == "training.bin" else file
        for file in artifact.files
    )
    with pytest.raises(BadInput, match=r"os\.system"):
        KIND.fetch(artifact.model_copy(update={"files": files}), context)


def test_allow_names_one_file_and_no_other(context: Context) -> None:
    write(context, {**model_files(), "a.bin": b"\x80\x02N.", "b.bin": b"x"})
    error = refusal(context, allow={"a.bin": "reviewed"})
    assert [problem.what.split()[0] for problem in error.problems] == ["b.bin"]


def test_allow_has_to_name_a_file_that_is_there(context: Context) -> None:
    write(context, {**model_files(), "training.bin": b"x"})
    error = refusal(context, allow={"trainin.bin": "reviewed"})
    assert error.reference == "weights-allow-unknown"
    assert "training.bin" in error.hint


def test_allow_has_to_be_needed(context: Context) -> None:
    write(context, model_files())
    assert refusal(context, allow={"config.json": "reviewed"}).reference == "weights-allow-needless"


def test_allow_does_not_open_a_link(context: Context) -> None:
    (write(context, model_files()) / "x.bin").symlink_to("config.json")
    assert refusal(context, allow={"x.bin": "reviewed"}).reference == "weights-allow-unknown"


def test_the_gate_stands_again_before_sealing(context: Context) -> None:
    write(context, {**model_files(), "x.bin": b"\x80\x02N."})
    artifact = lock(context, allow={"x.bin": "reviewed"})
    edited = artifact.model_copy(update={"source": {"type": "directory", "directory": "model"}})
    with pytest.raises(BadInput, match=r"x\.bin is or may be a Python pickle"):
        KIND.fetch(edited, context)


@pytest.mark.parametrize("name", ["a\\b.json", "-x.json", "nul.json", "a:b.json", "x\u202e.json"])
def test_names_that_are_no_safe_paths(context: Context, name: str) -> None:
    write(context, {**model_files(), name: b"{}"})
    assert refusal(context).reference == "weights-path-unsafe"


def test_names_that_collide_elsewhere(context: Context) -> None:
    write(context, {**model_files(), "Config.json": b"{}"})
    assert "one file on some file systems" in refusal(context).what


@pytest.mark.parametrize("source", [{}, {"type": "directory", "directory": "../model"}, {"type": "git"}])
def test_a_lock_with_an_invalid_source(context: Context, source: dict[str, str]) -> None:
    write(context, model_files())
    with pytest.raises(BadInput) as caught:
        KIND.fetch(lock(context).model_copy(update={"source": source}), context)
    assert caught.value.reference == "lock-source"
