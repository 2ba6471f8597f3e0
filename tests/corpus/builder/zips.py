"""Wheels that two programs read differently, byte by byte: no library writes such zip files."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from tests.support.wheels import ZIP_TIME, members, pack

_INFO = "our_tool-1.0.dist-info"
_MODULE = "our_tool.py"
_CENTRAL = b"PK\x01\x02"


def good_wheel() -> bytes:
    """A wheel that every installer takes."""
    return pack(_contents())


def _contents() -> dict[str, str | bytes]:
    return {**members("our-tool", "1.0")}


def _member(data: bytes, argument: str) -> bytes:
    """One member more, which RECORD lists."""
    contents = _contents()
    contents[argument] = "x = 1\n"
    contents[f"{_INFO}/RECORD"] = f"{contents[f'{_INFO}/RECORD']!s}{argument},,\n"
    return pack(contents)


def _unlisted(data: bytes, argument: str) -> bytes:
    return pack({**_contents(), argument: "x = 1\n"})


def _twice(data: bytes, argument: str) -> bytes:
    return pack([*_contents().items(), (argument, "x = 2\n")])


def _without(data: bytes, argument: str) -> bytes:
    return pack({name: content for name, content in _contents().items() if name != argument})


def _in_member(data: bytes, argument: dict[str, dict[str, str]]) -> bytes:
    contents = _contents()
    for name, replaced in argument.items():
        for old, new in replaced.items():
            assert old in str(contents[name])
            contents[name] = str(contents[name]).replace(old, new)
    return pack(contents)


def _overwrite(find: Callable[[bytes, bytes], int]) -> Callable[[bytes, Any], bytes]:
    """The first place is in a local header, the last in the directory."""

    def verb(data: bytes, argument: dict[str, str]) -> bytes:
        for old, new in argument.items():
            position = find(data, old.encode("latin-1"))
            data = data[:position] + new.encode("latin-1") + data[position + len(new) :]
        return data

    return verb


def _link(data: bytes, argument: bool) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<I", changed, changed.index(_CENTRAL) + 38, 0o120777 << 16)
    return bytes(changed)


def _archive_in_front(data: bytes, argument: bool) -> bytes:
    """Who reads from the start sees that one."""
    return pack({"hidden.py": "x = 2\n"}) + data


def _hidden_member(data: bytes, argument: bool) -> bytes:
    """A local header that no directory entry names, before the directory."""
    start = data.index(_CENTRAL)
    hidden = pack({"hidden.py": "x = 2\n"})
    hidden = hidden[: hidden.index(_CENTRAL)]
    end = bytearray(data[start:])
    struct.pack_into("<I", end, len(end) - 6, start + len(hidden))
    return data[:start] + hidden + bytes(end)


def _second_end(data: bytes, argument: bool) -> bytes:
    """A comment that is an end record of an empty archive: some programs take the last, others the first."""
    end = data[-22:-2] + struct.pack("<H", 22)
    return data[:-22] + end + b"PK\x05\x06" + bytes(18)


def _second_name(data: bytes, argument: bool) -> bytes:
    """Info-ZIP's extra field for another name: version 1, checksum of the first, the name."""
    extra = b"\x01" + struct.pack("<I", zlib.crc32(_MODULE.encode())) + b"escape.py"
    member = zipfile.ZipInfo(_MODULE, ZIP_TIME)
    member.extra = struct.pack("<2H", 0x7075, len(extra)) + extra
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in _contents().items():
            archive.writestr(member if name == _MODULE else zipfile.ZipInfo(name, ZIP_TIME), text)
    return buffer.getvalue()


def _two_dist_infos(data: bytes, argument: bool) -> bytes:
    """Either would do alone: 1.0 and 1.0.0 are one version."""
    both = {**members("our-tool", "1.0"), **members("our-tool", "1.0.0")}
    record = "".join(f"{path},,\n" for path in both)
    return pack({path: record if path.endswith("RECORD") else text for path, text in both.items()})


VERBS: dict[str, Callable[[bytes, Any], bytes]] = {
    "member": _member,
    "unlisted member": _unlisted,
    "member twice": _twice,
    "without": _without,
    "in member": _in_member,
    "in local header": _overwrite(lambda data, old: data.index(old)),
    "in directory": _overwrite(lambda data, old: data.rindex(old)),
    "link": _link,
    "archive in front": _archive_in_front,
    "hidden member": _hidden_member,
    "second end": _second_end,
    "second name": _second_name,
    "two dist-infos": _two_dist_infos,
}
