"""Whether the bytes of a wheel are one wheel, to every reader.

A zip file says everything twice, and readers differ in which half they believe: what one
tool lists, another may not install.  A wheel that is not the same to all of them is
refused before it is carried.  Nothing is unpacked and no member but three small ones of
the ``.dist-info`` directory is read: the digest in the lock already covers the contents.

Format: PKWARE APPNOTE 6.3.10 for zip, "Binary distribution format" of packaging.python.org
for wheels.
"""

import csv
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from email.parser import HeaderParser
from typing import BinaryIO

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from appliance.errors import NotTrusted
from appliance.model.limits import MAX_WHEEL_TEXT

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_END_RECORD = struct.Struct("<4s4H2IH")
_ENCRYPTED = 0x1
_DESCRIPTOR = 0x8
_UTF8 = 0x800
_OTHER_NAME = 0x7075  # Info-ZIP's "Unicode path" extra field: some readers prefer it
_DESCRIPTOR_SIZES = {12, 16, 20, 24}  # with or without signature, 32 or 64 bit sizes
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_METADATA = ("METADATA", "WHEEL", "RECORD")
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


class _Refused(ValueError):
    pass


# What Python's readers of zip, csv and versions raise for bytes that are none.
_UNREADABLE = (
    *(ValueError, OverflowError, NotImplementedError, RuntimeError, EOFError),
    *(zipfile.BadZipFile, zlib.error, struct.error, csv.Error),
)


def check_wheel(file: BinaryIO, filename: str) -> None:
    """Raise NotTrusted (``wheel-malformed``) unless ``file`` holds the wheel ``filename``."""
    try:
        with zipfile.ZipFile(file) as archive:
            _check_end(file, archive)
            _check_members(archive)
            _check_local_headers(file, archive)
            _check_dist_info(archive, filename)
    except _UNREADABLE as problem:
        raise NotTrusted(
            "wheel-malformed",
            f"the file is not a valid wheel: {problem}",
            where=filename,
            hint="use another version of this distribution, and tell its authors",
        ) from None


def write_metadata_only(checked: BinaryIO, target: BinaryIO) -> None:
    """Write to ``target`` a wheel that has the metadata of one that was checked, and nothing else.

    It is for resolvers: they unpack a local wheel as a whole to read its metadata, which
    for torch means 700 MB.
    """
    with zipfile.ZipFile(checked) as whole, zipfile.ZipFile(target, "w") as part:
        for name in whole.namelist():
            folder, _, rest = name.partition("/")
            if folder.endswith(".dist-info") and rest in _METADATA:
                part.writestr(name, whole.read(name))


def _check_end(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Members, then the directory, then one end record, and the file is over.

    The larger form of the end record (zip64) is refused with all else: readers disagree
    on when it counts, and a wheel of 4 GiB or 65536 members has not been seen.
    """
    members = len(archive.infolist())
    start = file.seek(0, io.SEEK_END) - _END_RECORD.size
    file.seek(start)
    directory = (members, members, start - archive.start_dir, archive.start_dir)
    if members == 0 or _END_RECORD.unpack(file.read()) != (b"PK\x05\x06", 0, 0, *directory, 0):
        raise _Refused("its end record does not describe the whole file")


def _check_members(archive: zipfile.ZipFile) -> None:
    names: set[str] = set()
    parents: set[str] = set()
    for member in archive.infolist():
        name = member.orig_filename
        if problem := _name_problem(name.removesuffix("/")):
            raise _Refused(f"the member name {name!r} {problem}")
        if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
            raise _Refused(f"the member {name!r} is stored in a way that installers cannot read")
        if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise _Refused(f"the member {name!r} is a link or a special file")
        if name in names:
            raise _Refused(f"the member {name!r} appears twice")
        names.add(name)
        parts = name.split("/")[:-1]
        parents.update("/".join(parts[:length]) for length in range(1, len(parts) + 1))
    if both := names & parents:
        raise _Refused(f"the member {min(both)!r} is a file and a directory")


def _name_problem(name: str) -> str:
    """Only what leaves the target or means two things: contents are the authors' affair."""
    if "\\" in name:
        return "has a backslash"
    if any(ord(character) < 0x20 or character == "\x7f" for character in name):
        return "has a control character"
    if name.startswith("/") or name[1:2] == ":":
        return "is absolute"
    if {"", ".", ".."} & set(name.split("/")):
        return "has an empty component, '.' or '..'"
    return ""


def _check_local_headers(file: BinaryIO, archive: zipfile.ZipFile) -> None:
    position = 0
    descriptor = False
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        _check_gap(member.header_offset - position, descriptor, member.orig_filename)
        file.seek(member.header_offset)
        magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL_HEADER.unpack(
            file.read(_LOCAL_HEADER.size)
        )
        name = file.read(name_length).decode("utf-8" if flags & _UTF8 else "cp437")
        if magic != b"PK\x03\x04" or name != member.orig_filename:
            raise _Refused(f"the member {member.orig_filename!r} is called {name!r} in its local header")
        if _OTHER_NAME in (*_extra_ids(member.extra), *_extra_ids(file.read(extra_length))):
            raise _Refused(f"the member {name!r} has a second name")
        descriptor = bool(flags & _DESCRIPTOR)
        sums = {(member.CRC, member.compress_size, member.file_size), (member.CRC, 0xFFFFFFFF, 0xFFFFFFFF)}
        if (flags, method) != (member.flag_bits, member.compress_type) or not (
            descriptor or (crc, packed, size) in sums
        ):
            raise _Refused(f"the local header of the member {name!r} contradicts the directory")
        position = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length + member.compress_size
    _check_gap(archive.start_dir - position, descriptor, "the directory")


def _extra_ids(extra: bytes) -> Iterator[int]:
    while len(extra) >= 4:
        number, length = struct.unpack_from("<2H", extra)
        yield number
        extra = extra[4 + length :]


def _check_gap(gap: int, descriptor: bool, before: str) -> None:
    if gap not in (_DESCRIPTOR_SIZES if descriptor else {0}):
        raise _Refused(f"there are hidden or shared bytes before {before!r}")


def _check_dist_info(archive: zipfile.ZipFile, filename: str) -> None:
    name, version, _, _ = parse_wheel_filename(filename)
    folders = {
        member.split("/", 1)[0] for member in archive.namelist() if member.split("/", 1)[0].endswith(".dist-info")
    }
    if len(folders) != 1:
        raise _Refused(f"it has {len(folders)} .dist-info directories")
    folder = folders.pop()
    folder_name, _, folder_version = folder.removesuffix(".dist-info").partition("-")
    headers = HeaderParser().parsestr(_text(archive, f"{folder}/METADATA"))
    names = [folder_name, *headers.get_all("Name", [])]
    versions = [folder_version, *headers.get_all("Version", [])]
    if (len(names), len(versions)) != (2, 2):
        raise _Refused("METADATA does not give Name and Version exactly once")
    if {canonicalize_name(found) for found in names} != {name} or {Version(found) for found in versions} != {version}:
        raise _Refused(f"inside it is {names[1]} {versions[1]}")
    _text(archive, f"{folder}/WHEEL")
    _check_record(archive, folder)


def _check_record(archive: zipfile.ZipFile, folder: str) -> None:
    record = f"{folder}/RECORD"
    listed = [row[0] for row in csv.reader(io.StringIO(_text(archive, record))) if row]
    files = {name for name in archive.namelist() if not name.endswith("/")}
    unlisted = files - set(listed) - {record, *(f"{folder}/{name}" for name in _SIGNATURES)}
    if unlisted:
        raise _Refused(f"RECORD does not list {min(unlisted)!r}")
    if absent := set(listed) - files:
        raise _Refused(f"RECORD lists {min(absent)!r}, which is not there")


def _text(archive: zipfile.ZipFile, name: str) -> str:
    try:
        member = archive.getinfo(name)
    except KeyError:
        raise _Refused(f"{name} is missing") from None
    if member.file_size > MAX_WHEEL_TEXT:
        raise _Refused(f"{name} is larger than {MAX_WHEEL_TEXT} bytes")
    return archive.read(member).decode("utf-8")
