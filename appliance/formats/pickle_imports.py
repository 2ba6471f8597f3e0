"""What a pickle imports when it is loaded, read from its opcodes; nothing of it is loaded.

Pickles (https://docs.python.org/3/library/pickle.html), alone, in the zip archives of torch.save, in its older files,
and behind the headers of NumPy's arrays of objects
(https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).  A list of what is bad would always lack
something; so ``strange_imports`` names everything that is not on a short list of what weights are made of.  That is a
part of what ``torch.load(weights_only=True)`` takes (https://docs.pytorch.org/docs/stable/notes/serialization.html).
What is not read to its end is refused: a loader runs the beginning before it finds that the end is wrong.
"""

import io
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator

from appliance.model.limits import MAX_PICKLE

_TENSORS = re.compile(
    r"collections\.(?:OrderedDict|Counter)|torch\.(?:Size|Tensor|device|[A-Z][A-Za-z0-9]{1,20}Storage)"
    r"|torch\.(?:b?float|u?int|complex|q?u?int)[0-9]{1,3}(?:_e[0-9]m[0-9](?:fn)?(?:uz)?)?|torch\.(?:bool|half|long|double)"
    r"|torch\.storage\.(?:Typed|Untyped)Storage|torch\.nn\.parameter\.Parameter"
    r"|torch\._utils\._rebuild_(?:tensor(?:_v[23])?|qtensor|sparse_tensor|parameter)"
    r"|torch\.serialization\._get_layout|(?:builtins|__builtin__)\.(?:set|bytearray|complex)|_codecs\.encode"
)
_TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_STORES = {"PUT", "BINPUT", "LONG_BINPUT"}
_LOADS = {"GET", "BINGET", "LONG_BINGET"}
_PICKLED = re.compile(rb"\x80[\x02-\x05]")
_NUMPY = b"\x93NUMPY"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLD_TORCH = 0x1950A86A20F9469CFC6C  # the first of the five pickles of its older files
_OLD_PICKLES = 5
_MEMBERS = 20_000
_UNTOLD = "something that cannot be told before it is loaded"


def strange_imports(data: bytes) -> tuple[str, ...]:
    """What a file imports that weights do not need; ``data`` are its bytes, as many as MAX_PICKLE and one more.

    Raises ValueError for what is not read to its end.
    """
    return tuple(dict.fromkeys(name for name in _imports(data) if not _TENSORS.fullmatch(name)))


def _imports(data: bytes) -> Iterator[str]:
    if data.startswith(_ZIP):
        yield from _of_archive(data)
    elif data.startswith(_NUMPY):
        yield from _of_array(data)
    elif len(data) > MAX_PICKLE:
        raise ValueError(f"is a pickle of more than the {MAX_PICKLE} bytes that are looked into")
    else:
        yield from _of_pickles(data)


def _of_archive(data: bytes) -> Iterator[str]:
    if len(data) > MAX_PICKLE:
        raise ValueError(f"is an archive of more than the {MAX_PICKLE} bytes that are looked into")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS:
                raise ValueError(f"has {len(members)} members, more than {_MEMBERS}")
            left = MAX_PICKLE
            for member in members:
                with archive.open(member) as stream:
                    content = stream.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise ValueError(f"unpacks to more than {MAX_PICKLE} bytes")
                yield from _of_member(member.filename, content)
    # What zipfile raises on an archive that contradicts itself is not limited to its own error.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"is an archive that cannot be read: {error}") from None


def _of_member(name: str, content: bytes) -> Iterator[str]:
    if name.endswith((".py", ".so", ".pyc")) or content.startswith(_ZIP):
        yield f"the member {name}"
    elif content.startswith(_NUMPY):
        yield from _of_array(content)
    elif name.endswith((".pkl", ".pickle")) or _PICKLED.match(content):
        yield from _of_pickles(content)


def _of_array(data: bytes) -> Iterator[str]:
    """Behind the header of an array of objects stands a pickle; of another array there are numbers."""
    wide = data[6:7] in (b"\x02", b"\x03")
    start = 12 if wide else 10
    end = start + int.from_bytes(data[8:start], "little")
    if b"O" in data[start:end]:  # the letter of its type; the rest of a header has small ones
        yield from _of_pickles(data[end:])


def _of_pickles(data: bytes) -> Iterator[str]:
    """The pickles that stand one after the other; behind those of torch's older files there are numbers."""
    stream = io.BytesIO(data)
    many, old = 0, False
    while stream.tell() < len(data) and not (old and many == _OLD_PICKLES):
        first, names = _of_pickle(stream)
        old = old or (many == 0 and first == _OLD_TORCH)
        yield from names
        many += 1
    if not many:
        raise ValueError("is empty")


def _of_pickle(stream: io.BytesIO) -> tuple[object, list[str]]:
    """The first value of one pickle, and what it imports."""
    names, recent = [], ["", ""]
    memory: dict[int, str] = {}
    first = None
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if first is None and opcode.name != "PROTO":
                first = argument
            if opcode.name in ("GLOBAL", "INST"):
                names.append(str(argument).replace(" ", ".", 1))
            elif opcode.name == "STACK_GLOBAL":
                names.append(".".join(recent[-2:]) if all(recent[-2:]) else _UNTOLD)
            elif opcode.name.startswith("EXT"):
                names.append(_UNTOLD)
            _remember(opcode.name, argument, recent, memory)
    except Exception as error:  # bytes of strangers break its parser in every way
        raise ValueError(f"is a pickle that is not read to its end: {str(error)[:200]}") from None
    return first, names


def _remember(name: str, argument: object, recent: list[str], memory: dict[int, str]) -> None:
    """Keep the last texts that were put on the stack; what else is put there hides them."""
    if name in _TEXTS:
        recent.append(str(argument))
    elif name in _LOADS and isinstance(argument, int):
        recent.append(memory.get(argument, ""))
    elif name == "MEMOIZE":
        memory[len(memory)] = recent[-1]
    elif name in _STORES and isinstance(argument, int):
        memory[argument] = recent[-1]
    elif name != "FRAME":
        recent.append("")
    del recent[:-2]
