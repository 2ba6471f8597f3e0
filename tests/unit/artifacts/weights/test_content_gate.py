import io
import json
import zipfile
from collections.abc import Collection

import pytest

from appliance.artifacts.weights.content_gate import danger, name_refusal, refusal
from appliance.model.limits import MAX_CHAT_TEMPLATE, MAX_PICKLE
from tests.support.weights import model_files, pack, shard


def refused(path: str, data: bytes, siblings: Collection[str] = ()) -> str:
    return refusal(path, len(data), lambda offset, length: data[offset : offset + length], siblings)


def test_a_usual_repository_passes() -> None:
    files = model_files()
    assert {path: refused(path, data, files) for path, data in files.items()} == dict.fromkeys(files, "")


@pytest.mark.parametrize(
    "path",
    [
        "model.safetensors",
        "a/b/config.json",
        "chat_template.jinja",
        "merges.txt",
        "LICENSE",
        "License.txt",
        "USE_POLICY.md",
        "NOTICE",
        ".gitattributes",
        "qwen.tiktoken",
        "tokenizer.model",
        "tokenizer.model.v7m1",
        "spiece.model",
        "sentencepiece.bpe.model",
    ],
)
def test_names_that_pass(path: str) -> None:
    assert name_refusal(path) == ""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("pytorch_model.bin", "pickle"),
        ("PYTORCH_MODEL.BIN", "pickle"),
        ("original/consolidated.00.pth", "pickle"),
        ("model.pt", "pickle"),
        ("model.ckpt", "pickle"),
        ("data.pkl", "pickle"),
        ("vectors.npy", "pickle"),
        ("modeling_llama.py", "code"),
        ("run.sh", "code"),
        ("lib.so", "code"),
        ("model.safetensors.zip", "archive"),
        ("tf_model.h5", "not served"),
        ("model.onnx", "not served"),
        ("model.Q4.gguf", "not served"),
        ("flax_model.msgpack", "not served"),
        ("picture.png", r"not known here \(.png\)"),
        ("weights", r"not known here \(no suffix\)"),
        (".hidden", r"not known here \(.hidden\)"),
        ("other.model", "not known"),
    ],
)
def test_names_that_are_refused(path: str, reason: str) -> None:
    assert reason.replace("\\", "") in name_refusal(path)
    assert refused(path, b"{}") == name_refusal(path)


@pytest.mark.parametrize("path", ["README.md", "config.json", "tokenizer.model", "merges.txt", "chat_template.jinja"])
@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"\x80\x04\x95", "pickle"),
        (b"\x80\x02}q", "pickle"),
        (b"PK\x03\x04", "archive"),
        (b"\x1f\x8b\x08", "archive"),
        (b"\x7fELF", "code"),
        (b"#!/bin/sh\n", "code"),
        (b"GGUF", "not served"),
    ],
)
def test_bytes_are_believed_and_not_names(path: str, start: bytes, reason: str) -> None:
    assert reason in refused(path, start + b"{}")


RUNS = b"cos\nsystem\n(S'reboot'\ntR."
HARMLESS = b"\x80\x02ccollections\nOrderedDict\n)R."


def endangers(path: str, data: bytes) -> str:
    return danger(path, len(data), lambda offset, length: data[offset : offset + length])


@pytest.mark.parametrize(
    "name", ["a.bin", "a.CKPT", "a.joblib", "a.npy", "a.npz", "a.pickle", "a.pkl", "a.pt", "x/a.pth"]
)
def test_no_name_lets_a_pickle_pass_that_runs_something(name: str) -> None:
    assert "imports what weights do not need, and loading it runs that: os.system" in endangers(name, RUNS)
    assert endangers(name, HARMLESS) == ""


@pytest.mark.parametrize("name", ["weights", "model.onnx", "a.zip", "merges.txt"])
def test_bytes_are_believed_of_what_is_allowed_too(name: str) -> None:
    assert "os.system" in endangers(name, b"\x80\x02" + RUNS)
    assert "is an archive that cannot be read" in endangers(name, b"PK\x03\x04 and no more")


@pytest.mark.parametrize("name", ["a.dat", "weights", "model.onnx", "a.py", "model.safetensors", "tokenizer.model"])
def test_a_pickle_is_one_under_every_name_that_is_not_of_a_text(name: str) -> None:
    for start in (b"", b"\x80\x01", b"(l0"):
        assert "os.system" in endangers(name, start + RUNS)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data", RUNS)
    assert "os.system" in endangers(name, archive.getvalue())
    assert "bytes in front" in endangers(name, b"front" + archive.getvalue())
    assert "more than" in endangers(name, b"\xff" * MAX_PICKLE + archive.getvalue())


def test_what_is_no_pickle_is_for_people_to_review() -> None:
    assert endangers("merges.txt", b"cos\nsystem\n") == ""
    assert endangers("tokenizer_config.json", b'{"auto_map": {}}') == ""
    assert endangers("modeling.py", b"import os") == ""
    assert endangers("model.gguf", b"GGUF") == ""


def test_a_safetensors_file_is_checked_by_its_header() -> None:
    assert refused("model.safetensors", shard(0)) == ""
    assert "looks like a path" in refused(
        "model.safetensors", pack({"../x": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}, b"")
    )
    assert "safetensors" in refused("model.safetensors", b"\x80\x04")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b'{"a": {"b": 1, "b": 1}}', "'b' twice"),
        (b"{'a': 1}", "not JSON"),
        (b"", "not JSON"),
        (b"{}\x00", "NUL"),
        (b'"\xff"', "not UTF-8"),
        (b"[" * 200_000, "nested too deep"),
        (b"1" * 5000, "limit"),
        (b'{"auto_map": {"AutoConfig": "x--configuration.X"}}', "auto_map"),
        (b'{"text_config": [{"auto_map": {}}]}', "auto_map"),
        (b'{"auto_map": ["tokenization.X", null]}', "auto_map"),
        (b'{"_attn_implementation_internal": "somebody/kernels"}', "_attn_implementation_internal"),
        (b'{"text_config": {"attn_implementation": "kernels-community/flash:main"}}', "attn_implementation"),
        (b'{"attn_implementation": {"text": ["sdpa", "a/b"]}}', "attn_implementation"),
        (b'{"experts_implementation": "./kernels"}', "experts_implementation"),
        (b'{"chat_template": "{{ x.__class__.__mro__ }}"}', "__class__"),
        (b'{"chat_template": [{"name": "tool_use", "template": "{{ x|attr(y) }}"}]}', "attr"),
    ],
)
def test_json_that_is_refused(data: bytes, reason: str) -> None:
    assert reason in refused("config.json", data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"model_max_length": 1000000000000000019884624838656}',
        b'{"time_step_limit": [0.0, Infinity]}',
        b'{"vocab": {"auto_map": 17, "template": 18, "_implementation": 19}}',
        b'{"_attn_implementation": "flash_attention_2", "attn_implementation": {"": "sdpa"}}',
    ],
)
def test_json_that_real_models_have(data: bytes) -> None:
    assert refused("config.json", data) == ""


def test_a_template_may_not_reach_for_the_internals() -> None:
    assert (
        refused("chat_template.jinja", b"{%- for message in messages %}{{ message.content | trim }}{% endfor %}") == ""
    )
    assert "__globals__" in refused(
        "chat_template.jinja", b"{{ cycler.__init__.__globals__ }}".replace(b"__init__.", b"")
    )
    assert "more than" in refused("chat_template.jinja", b"x" * (MAX_CHAT_TEMPLATE + 1))


def test_a_tokenizer_is_a_protobuf_or_a_text() -> None:
    assert refused("tokenizer.model", b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02") == ""
    assert refused("tokenizer.model", b"IQ== 0\nIg== 1\n") == ""
    assert "NUL" in refused("tokenizer.model", b"\x01\x00\x02")


def test_a_text_need_not_be_utf8() -> None:
    assert refused("LICENSE", "Gebühr".encode("latin-1")) == ""
    assert "NUL" in refused("LICENSE", b"a\x00b")


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"weight_map": {"a": "model-2.safetensors"}}, "'model-2.safetensors'"),
        ({"weight_map": {"a": "../model-1.safetensors"}}, "names"),
        ({"weight_map": {"a": "/etc/passwd"}}, "names"),
        ({"weight_map": {"a": "config.json"}}, "names"),
        ({"weight_map": {"a": 1}}, "without a weight_map"),
        ({"weight_map": ["a"]}, "without a weight_map"),
        ({}, "without a weight_map"),
        ([], "without a weight_map"),
    ],
)
def test_an_index_names_existing_shards_beside_it(index: object, reason: str) -> None:
    siblings = {"sub/model-1.safetensors", "sub/config.json", "model-2.safetensors"}
    good = json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode()
    assert refused("sub/model.safetensors.index.json", good, siblings) == ""
    assert reason in refused("sub/model.safetensors.index.json", json.dumps(index).encode(), siblings)
