"""What makes a file a wheel, and what makes it something that two readers read differently."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.artifacts.wheelfile import check_wheel, write_metadata_only
from appliance.errors import NotTrusted
from tests.support.wheels import ZIP_TIME, members, pack

NAME = "our_tool-1.0-py3-none-any.whl"
INFO = "our_tool-1.0.dist-info"


def contents() -> dict[str, str | bytes]:
    return {**members("our-tool", "1.0")}


def with_member(name: str, *, listed: bool = True) -> bytes:
    changed = contents()
    changed[name] = "x = 1\n"
    if listed:
        changed[f"{INFO}/RECORD"] = f"{changed[f'{INFO}/RECORD']!s}{name},,\n"
    return pack(changed)


def without(name: str) -> bytes:
    return pack({key: value for key, value in contents().items() if key != name})


def replaced(name: str, old: str, new: str) -> bytes:
    changed = contents()
    changed[name] = str(changed[name]).replace(old, new)
    return pack(changed)


def patched(old: bytes, new: bytes, *, last: bool = False) -> bytes:
    """A wheel in which one occurrence of ``old`` is overwritten: the first is a local header's."""
    data = pack(contents())
    position = data.rindex(old) if last else data.index(old)
    return data[:position] + new + data[position + len(new) :]


def link() -> bytes:
    data = bytearray(pack(contents()))
    entry = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, entry + 38, 0o120777 << 16)
    return bytes(data)


def second_directory() -> bytes:
    """Another archive in front: who reads from the start sees that one."""
    return pack({"hidden.py": "x = 2\n"}) + pack(contents())


def hidden_member() -> bytes:
    """A local header that no directory entry names, before the directory."""
    data = pack(contents())
    start = data.index(b"PK\x01\x02")
    hidden = pack({"hidden.py": "x = 2\n"})
    hidden = hidden[: hidden.index(b"PK\x01\x02")]
    end = bytearray(data[start:])
    struct.pack_into("<I", end, len(end) - 6, start + len(hidden))
    return data[:start] + hidden + bytes(end)


def second_name() -> bytes:
    """Info-ZIP's extra field for another name: version 1, checksum of the first, the name."""
    plain = b"our_tool.py"
    extra = b"\x01" + struct.pack("<I", zlib.crc32(plain)) + b"escape.py"
    member = zipfile.ZipInfo("our_tool.py", ZIP_TIME)
    member.extra = struct.pack("<2H", 0x7075, len(extra)) + extra
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in contents().items():
            archive.writestr(member if name == "our_tool.py" else zipfile.ZipInfo(name, ZIP_TIME), text)
    return buffer.getvalue()


def two_dist_infos() -> bytes:
    """Either would do alone: 1.0 and 1.0.0 are one version."""
    both = {**members("our-tool", "1.0"), **members("our-tool", "1.0.0")}
    record = "".join(f"{path},,\n" for path in both)
    return pack({path: record if path.endswith("RECORD") else text for path, text in both.items()})


def check(data: bytes, folder: Path, filename: str = NAME) -> None:
    path = folder / "stored under its digest"
    path.write_bytes(data)
    check_wheel(path, filename)


@pytest.mark.parametrize(
    "data",
    [
        pack(contents()),
        pack({"our_tool/": "", **contents()}),
        pack({**contents(), f"{INFO}/": ""}),
        replaced(f"{INFO}/METADATA", "our-tool", "Our.Tool"),
    ],
    ids=["plain", "directory first", "directory last", "another spelling"],
)
def test_a_proper_wheel_passes(data: bytes, tmp_path: Path) -> None:
    check(data, tmp_path)


MALFORMED = {
    "no zip": b"PK\x03\x04 but nothing more",
    "empty": b"",
    "cut": pack(contents())[:-30],
    "bytes after the end": pack(contents()) + b"\n",
    "another archive in front": second_directory(),
    "hidden member": hidden_member(),
    "parent directory": with_member("../escape.py"),
    "parent in the middle": with_member("our_tool/../../escape.py"),
    "absolute": with_member("/etc/escape.py"),
    "drive": with_member("c:/escape.py"),
    "backslash": with_member("our_tool\\escape.py"),
    "control character": with_member("our_tool/a\nb.py"),
    "double slash": with_member("our_tool//b.py"),
    "link": link(),
    "member twice": pack([*contents().items(), ("our_tool.py", "x = 2\n")]),
    "file and directory": with_member("our_tool.py/escape.py"),
    "local name differs": patched(b"our_tool.py", b"our_toll.py"),
    "directory name differs": patched(b"our_tool.py", b"our_toll.py", last=True),
    "local method differs": patched(b"\x08\x00", b"\x00\x00"),
    "no RECORD": without(f"{INFO}/RECORD"),
    "no METADATA": without(f"{INFO}/METADATA"),
    "no WHEEL": without(f"{INFO}/WHEEL"),
    "unlisted file": with_member("extra.py", listed=False),
    "listed and absent": without("our_tool.py"),
    "another name": replaced(f"{INFO}/METADATA", "our-tool", "other-tool"),
    "another version": replaced(f"{INFO}/METADATA", "Version: 1.0", "Version: 1.1"),
    "two names": replaced(f"{INFO}/METADATA", "Name: our-tool", "Name: our-tool\nName: our-tool"),
    "no version": replaced(f"{INFO}/METADATA", "Version: 1.0", "X: y"),
    "two dist-infos": two_dist_infos(),
    "second name": second_name(),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_wheel_is_refused_by_name(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(NotTrusted) as caught:
        check(data, tmp_path)
    assert caught.value.reference == "wheel-malformed"
    assert caught.value.where == NAME


@pytest.mark.parametrize("filename", ["our_tool-1.1-py3-none-any.whl", "tool-1.0-py3-none-any.whl", "our_tool.whl"])
def test_the_file_name_has_to_say_what_is_inside(filename: str, tmp_path: Path) -> None:
    with pytest.raises(NotTrusted, match="no proper wheel"):
        check(pack(contents()), tmp_path, filename)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data, position: data[:position],
        lambda data, position: data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :],
    ],
    ids=["cut", "flipped"],
)
def test_no_damage_leads_to_another_error(spoil: Callable[[bytes, int], bytes], tmp_path: Path) -> None:
    data = pack(contents())
    refused = 0
    for position in range(0, len(data), 9):
        try:
            check(spoil(data, position), tmp_path)
        except NotTrusted:
            refused += 1
    assert refused > len(data) // 18


def test_the_metadata_alone_is_what_resolvers_get(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.whl", tmp_path / "part.whl"
    whole.write_bytes(with_member("large.bin"))
    write_metadata_only(whole, part)
    assert b"Name: our-tool" in part.read_bytes()
    assert b"large.bin" not in part.read_bytes().replace(b"large.bin,,", b"")
