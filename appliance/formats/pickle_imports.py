"""What a file would import when it is loaded as a pickle; nothing of it is loaded.

Pickles (https://docs.python.org/3/library/pickle.html), alone, in the zip archives of torch.save, in its older files,
and behind the headers of NumPy's arrays of objects
(https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).  A list of what is bad would always lack
something; so ``strange_imports`` names everything that is not on a short list of what weights are made of.  That is a
part of what ``torch.load(weights_only=True)`` takes (https://docs.pytorch.org/docs/stable/notes/serialization.html).
What is not read to its end is refused: a loader runs the beginning before it finds that the end is wrong.
"""

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

from appliance.formats.pickle_opcodes import read_pickle
from appliance.model.limits import MAX_PICKLE

_TENSORS = re.compile(
    r"collections\.(?:OrderedDict|Counter)|torch\.(?:Size|Tensor|device|[A-Z][A-Za-z0-9]{1,20}Storage)"
    r"|torch\.(?:b?float|u?int|complex|q?u?int)[0-9]{1,3}(?:_e[0-9]m[0-9](?:fn)?(?:uz)?)?|torch\.(?:bool|half|long|double)"
    r"|torch\.storage\.(?:Typed|Untyped)Storage|torch\.nn\.parameter\.Parameter"
    r"|torch\._utils\._rebuild_(?:tensor(?:_v[23])?|qtensor|sparse_tensor|parameter)"
    r"|torch\.serialization\._get_layout|(?:builtins|__builtin__)\.(?:set|bytearray|complex)|_codecs\.encode"
)
_PICKLED = re.compile(rb"\x80[\x02-\x05]")
_NUMPY = b"\x93NUMPY"
_WIDTHS = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}  # bytes of a header's length, by version of the format
# NumPy takes many spellings of the type of objects.  So a header of numbers and texts is told by how NumPy writes it.
_NUMBER = rb"'[<>|=][biufcSUV][0-9]{1,9}'"
_FIELD = rb"\('[A-Za-z0-9_]{1,64}', " + _NUMBER + rb"(?:, \([0-9, ]{1,99}\))?\)"
_NUMBERS = re.compile(
    rb"\{'descr': (?:" + _NUMBER + rb"|\[" + _FIELD + rb"(?:, " + _FIELD + rb")*,?\])"
    rb", 'fortran_order': (?:False|True), 'shape': \([0-9, ]{0,999}\),? ?\} *\n"
)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZIP_END = b"PK\x05\x06"
ZIP_TAIL = 22 + 65_535  # bytes at a file's end in which zipfile looks for the end of an archive, with its comment
_OLD_TORCH = 0x1950A86A20F9469CFC6C  # the first of the five pickles of its older files
_OLD_PICKLES = 5
_MEMBERS = 20_000


def strange_imports(data: bytes, *, sure: bool = True) -> tuple[str, ...]:
    """What a file imports that weights do not need; ``data`` are its bytes, as many as MAX_PICKLE and one more.

    ``sure`` is whether it says that it is a pickle, by its name or first bytes.  Of another one counts what a loader
    would import before it finds that it is none.  Raises ValueError for what is not read to its end, and for archives
    that two loaders read otherwise.
    """
    sure = sure or bool(_PICKLED.match(data))
    return tuple(dict.fromkeys(name for name in _imports(data, sure=sure) if not _TENSORS.fullmatch(name)))


def ends_as_archive(tail: bytes) -> bool:
    """Whether zipfile would look for an archive in a file with these last ZIP_TAIL bytes, whatever its first are."""
    return _ZIP_END in tail[-ZIP_TAIL:]


def _imports(data: bytes, *, sure: bool) -> Iterator[str]:
    if _is_tar(data):
        # torch.load tries this first, so that a name in it could be what is read as pickles below.
        raise ValueError("is a tar archive, which may hold pickles: what it holds is not looked into")
    if data.startswith(_ZIP) or ends_as_archive(data):
        yield from _of_archive(data)
    elif data.startswith(_NUMPY):
        yield from _of_array(data)
    elif not sure:
        yield from _of_anything(data)
    elif len(data) > MAX_PICKLE:
        raise ValueError(f"is a pickle of more than the {MAX_PICKLE} bytes that are looked into")
    else:
        yield from _of_pickles(data)


def _is_tar(data: bytes) -> bool:
    if data[257:262] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(data[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _of_archive(data: bytes) -> Iterator[str]:
    if len(data) > MAX_PICKLE:
        raise ValueError(f"is an archive of more than the {MAX_PICKLE} bytes that are looked into")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS:
                raise ValueError(f"has {len(members)} members, more than {_MEMBERS}")
            # zipfile adds what stands in front to every place that is told; others do not, and read something else.
            if members and min(member.header_offset for member in members) != 0:
                raise ValueError("is an archive with bytes in front of it, which not every loader reads alike")
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
    code = name.endswith((".py", ".so", ".pyc"))
    if code or _is_tar(content) or content.startswith(_ZIP) or ends_as_archive(content):
        yield f"the member {name}"
    elif content.startswith(_NUMPY):
        yield from _of_array(content)
    elif name.endswith((".pkl", ".pickle")) or _PICKLED.match(content):
        yield from _of_pickles(content)
    else:
        yield from _of_anything(content)


def _of_array(data: bytes) -> Iterator[str]:
    """Behind the header of an array of objects stands a pickle; of another array there are numbers."""
    width = _WIDTHS.get(data[6:8])
    if width is None:
        raise ValueError("is an array of NumPy in a version that is not known here")
    start = 8 + width
    end = start + int.from_bytes(data[8:start], "little")
    if not _NUMBERS.fullmatch(data[start:end]):
        yield from _of_pickles(data[end:])


def _of_pickles(data: bytes) -> Iterator[str]:
    """The pickles that stand one after the other; behind those of torch's older files there are numbers."""
    stream = io.BytesIO(data)
    many, old = 0, False
    while stream.tell() < len(data) and not (old and many == _OLD_PICKLES):
        first, names, _ = read_pickle(stream, sure=True)
        old = old or (many == 0 and first == _OLD_TORCH)
        yield from names
        many += 1
    if not many:
        raise ValueError("is empty")
    yield from _of_anything(data[stream.tell() :])


def _of_anything(data: bytes) -> Iterator[str]:
    """What loaders would import of bytes that may be pickles, one after the other, or something else."""
    stream = io.BytesIO(data)
    ended = True
    while ended and stream.tell() < len(data):
        _, names, ended = read_pickle(stream, sure=False)
        yield from names
    if stream.tell() >= len(data) > MAX_PICKLE:
        raise ValueError(f"may be a pickle of more than the {MAX_PICKLE} bytes that are looked into")
