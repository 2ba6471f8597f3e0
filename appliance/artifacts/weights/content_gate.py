"""The content gate: which files a set of weights may hold, and why another is refused.

Weights come from strangers and end in the memory of a server, so only formats that are
data and nothing else pass: safetensors, JSON, tokenizers, chat templates and texts.  A
file has to pass by its name and by its bytes.  A definition can allow another one by name;
of a pickle, what it imports is read even then.  Nothing is opened here: the caller hands in
a function that reads.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable
from enum import Enum
from posixpath import basename, dirname
from typing import Any

from appliance.formats.pickle_imports import ZIP_TAIL, ends_as_archive, strange_imports
from appliance.formats.safetensors import LENGTH_BYTES, header_length, parse_header
from appliance.model.limits import MAX_CHAT_TEMPLATE, MAX_MODEL_JSON, MAX_MODEL_TEXT, MAX_PICKLE
from appliance.model.visible import shown

Read = Callable[[int, int], bytes]
"""Returns ``length`` bytes from ``offset``; fewer only at the end of the file."""

_KERNEL_KEYS = ("_implementation", "_implementation_internal")
_INDEX_SUFFIX = ".safetensors.index.json"


class _Form(Enum):
    SAFETENSORS = "safetensors"
    JSON = "JSON"
    TEMPLATE = "chat template"
    TEXT = "text"
    TOKENIZER = "tokenizer"


_TEXTS = (_Form.JSON, _Form.TEMPLATE, _Form.TEXT)
_SUFFIXES = {
    ".safetensors": _Form.SAFETENSORS,
    ".json": _Form.JSON,
    ".jinja": _Form.TEMPLATE,
    ".md": _Form.TEXT,
    ".txt": _Form.TEXT,
    ".tiktoken": _Form.TEXT,
}
_NAMES = {
    ".gitattributes": _Form.TEXT,
    "copying": _Form.TEXT,
    "licence": _Form.TEXT,
    "license": _Form.TEXT,
    "notice": _Form.TEXT,
    "readme": _Form.TEXT,
    "use_policy": _Form.TEXT,
}
# SentencePiece and Mistral's versions of it (tokenizer.model.v3, tokenizer.model.v7m1).
_TOKENIZER = re.compile(r"(?:tokenizer|spiece|sentencepiece\.bpe)\.model(?:\.v[0-9]{1,3}(?:m[0-9]{1,2})?)?")

_PICKLE = "is or may be a Python pickle: loading it runs whatever code it carries"
_CODE = "is code: a model may hold only data"
_ARCHIVE = "is an archive: what it holds cannot be checked here"
_FORMAT = "holds weights in a format that is not served: safetensors is"
_REFUSED = {
    **dict.fromkeys(
        (".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pt2", ".pth"),
        _PICKLE,
    ),
    **dict.fromkeys(
        (".bat", ".dll", ".dylib", ".exe", ".ipynb", ".js", ".ps1", ".py", ".pyc", ".sh", ".so", ".wasm"),
        _CODE,
    ),
    **dict.fromkeys(
        (".7z", ".bz2", ".gz", ".jar", ".nemo", ".rar", ".tar", ".tgz", ".whl", ".xz", ".zip", ".zst"),
        _ARCHIVE,
    ),
    **dict.fromkeys(
        (".ggml", ".gguf", ".h5", ".hdf5", ".keras", ".msgpack", ".onnx", ".onnx_data", ".ot", ".pb", ".tflite"),
        _FORMAT,
    ),
}
_MAGIC = (
    (b"\x80\x02", _PICKLE),
    (b"\x80\x03", _PICKLE),
    (b"\x80\x04", _PICKLE),
    (b"\x80\x05", _PICKLE),
    (b"PK\x03\x04", _ARCHIVE),
    (b"PK\x05\x06", _ARCHIVE),
    (b"\x1f\x8b", _ARCHIVE),
    (b"BZh", _ARCHIVE),
    (b"\xfd7zXZ\x00", _ARCHIVE),
    (b"7z\xbc\xaf", _ARCHIVE),
    (b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (b"#!", _CODE),
    (b"\x7fELF", _CODE),
    (b"MZ\x90\x00", _CODE),
    (b"\xca\xfe\xba\xbe", _CODE),
    (b"\xcf\xfa\xed\xfe", _CODE),
    (b"\x00asm", _CODE),
    (b"\x89HDF", _FORMAT),
    (b"GGUF", _FORMAT),
    (b"\x93NUMPY", _PICKLE),
)
_BEGINNINGS = tuple(magic for magic, _ in _MAGIC)
# What may hold a pickle by its first bytes: a zip archive is what torch.save writes.
_PICKLED = (*(magic for magic, reason in _MAGIC if reason == _PICKLE), b"PK\x03\x04", b"PK\x05\x06")
TEMPLATE_THAT = "is a chat template that "
# A template that asks for these leaves the sandbox it is run in (CVE-2024-34359).
_INTERNALS = re.compile(r"__[a-z]+__|\|\s*attr\b")


def name_refusal(path: str) -> str:
    """Why a file called ``path`` is refused, whatever it holds; empty when it may pass."""
    return "" if _form(path) else _name_reason(path)


def refusal(path: str, size: int, read: Read, siblings: Collection[str]) -> str:
    """Why the file is refused, by its name or its bytes; empty when it passes.

    ``siblings`` are the paths of all files of the artifact: an index of shards may name
    only these.
    """
    form = _form(path)
    if form is None:
        return _name_reason(path)
    try:
        match form:
            case _Form.SAFETENSORS:
                _check_safetensors(size, read)
            case _Form.JSON:
                _check_json(path, _whole(size, read, MAX_MODEL_JSON), siblings)
            case _Form.TEMPLATE:
                _check_template(_text(_whole(size, read, MAX_CHAT_TEMPLATE)))
            case _Form.TEXT:
                _check_text(_whole(size, read, MAX_MODEL_TEXT))
            case _Form.TOKENIZER:
                _check_tokenizer(_whole(size, read, MAX_MODEL_TEXT))
    except ValueError as error:
        return str(error)
    return ""


def template_refusal(template: str) -> str:
    """Why a chat template is refused by its text; empty when it is not."""
    found = _INTERNALS.search(template)
    return f"{TEMPLATE_THAT}reaches for the internals of Python ({found.group()})" if found else ""


def danger(path: str, size: int, read: Read) -> str:
    """Why a file is refused although a definition allows it; empty when it is not.

    A pickle is a program that nobody can read in a review.  So it may import only what weights are made of.  Loaders
    look at a file's bytes and not at its name: so every file is read as a pickle whose name is not that of a text.
    """
    by_name = _REFUSED.get(_suffix(basename(path).casefold())) == _PICKLE
    sure = by_name or read(0, 8).startswith(_PICKLED)
    if not sure and _form(path) in _TEXTS:
        return ""
    try:
        if size > MAX_PICKLE and ends_as_archive(read(max(0, size - ZIP_TAIL), ZIP_TAIL)):
            raise ValueError(f"is an archive of more than the {MAX_PICKLE} bytes that are looked into")
        strange = strange_imports(read(0, min(size, MAX_PICKLE + 1)), sure=sure)
    except ValueError as error:
        return str(error)
    if strange:
        return f"imports what weights do not need, and loading it runs that: {', '.join(strange[:5])[:300]}"
    return ""


def _form(path: str) -> _Form | None:
    name = basename(path).casefold()
    if name in _NAMES:
        return _NAMES[name]
    if _TOKENIZER.fullmatch(name):
        return _Form.TOKENIZER
    return _SUFFIXES.get(_suffix(name))


def _name_reason(path: str) -> str:
    suffix = _suffix(basename(path).casefold())
    return _REFUSED.get(suffix, f"is of a type that is not known here ({suffix or 'no suffix'})")


def _suffix(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return dot + ending if dot else ""


def _whole(size: int, read: Read, limit: int) -> bytes:
    if size > limit:
        raise ValueError(f"has {size} bytes, more than the {limit} that such a file may have")
    data = read(0, size)
    if data.startswith(_BEGINNINGS):
        reason = next(reason for magic, reason in _MAGIC if data.startswith(magic))
        raise ValueError(f"by its first bytes {reason}")
    return data


def _check_safetensors(size: int, read: Read) -> None:
    length = header_length(read(0, LENGTH_BYTES), size)
    parse_header(read(LENGTH_BYTES, length), size - LENGTH_BYTES - length)


def _text(data: bytes) -> str:
    if b"\x00" in data:
        raise ValueError("holds NUL bytes, so it is not text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def _check_text(data: bytes) -> None:
    # Old vocabularies and licences are not always UTF-8; nothing but people and BPE reads them.
    if b"\x00" in data:
        raise ValueError("holds NUL bytes, so it is not text")


def _check_template(template: str) -> None:
    if reason := template_refusal(template):
        raise ValueError(reason)


def _check_tokenizer(data: bytes) -> None:
    # A SentencePiece model is a protobuf that begins with its first piece (field 1, a message).
    if not data.startswith(b"\n"):
        _text(data)


def _check_json(path: str, data: bytes, siblings: Collection[str]) -> None:
    try:
        value = json.loads(_text(data), object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("is JSON that is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if path.endswith(_INDEX_SUFFIX):
        _check_index(value, dirname(path), siblings)


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"has the key {key[:80]!r} twice in one object")
        # A vocabulary may hold the word, with its number.
        if key == "auto_map" and not isinstance(value, int):
            raise ValueError("has auto_map, which makes loaders import code from a model repository")
        # transformers takes code from the repository that it names, without being told to (CVE-2026-4372).
        if key.endswith(_KERNEL_KEYS) and _names_a_place(value):
            raise ValueError(f"has {shown(key[:80])}, which makes loaders import kernels from another place")
        if key in ("chat_template", "template") and isinstance(value, str):
            _check_template(value)
        fields[key] = value
    return fields


def _names_a_place(value: Any) -> bool:
    match value:
        case str():
            return "/" in value or "\\" in value
        case list():
            return any(map(_names_a_place, value))
        case dict():
            return any(map(_names_a_place, value.values()))
    return False


def _check_index(value: Any, folder: str, siblings: Collection[str]) -> None:
    shards = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ValueError("is an index of shards without a weight_map from tensors to files")
    for name in sorted(set(shards.values())):
        shard = f"{folder}/{name}" if folder else name
        if "/" in name or not name.endswith(".safetensors") or shard not in siblings:
            raise ValueError(f"is an index that names {name[:200]!r}, which is not a safetensors file beside it")
