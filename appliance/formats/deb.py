"""The control file inside a .deb, read from a handle.

Only the beginning is read: a .deb is an ar archive of ``debian-binary``, a tar archive
of control files and one of data, in this order (deb(5)).  Everything is bounded, because
a reader of foreign archives is a target; what the data holds is dpkg's business.
"""

import io
import lzma
import tarfile
import zlib
from typing import IO

from appliance.model.limits import MAX_DEB_CONTROL, MAX_DEB_MEMBER, MAX_DEB_TAR, MAX_DEB_XZ_MEMORY

_MAGIC = b"!<arch>\n"
_HEADER_SIZE = 60


class DebError(ValueError):
    """What is wrong with a .deb."""


def read_control(stream: IO[bytes]) -> str:
    """The text of the control file.  Raises DebError."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise DebError("it is not an ar archive")
    name, version = _member(stream)
    if name != "debian-binary" or version != b"2.0\n":
        raise DebError("it does not start with debian-binary 2.0")
    name, packed = _member(stream)
    return _control_text(_unpack(name, packed))


def _member(stream: IO[bytes]) -> tuple[str, bytes]:
    """Name and bytes of the next member.

    Header (ar(5)): name 16, time 12, owner 6, group 6, mode 8, size 10, end 2 bytes.
    """
    header = stream.read(_HEADER_SIZE)
    if len(header) != _HEADER_SIZE or header[58:] != b"`\n":
        raise DebError("a member's header is damaged")
    digits = header[48:58].rstrip(b" ")
    if not digits.isdigit() or int(digits) > MAX_DEB_MEMBER:
        raise DebError("a member's size is not a number, or is too large")
    size = int(digits)
    data = stream.read(size + size % 2)  # members start at even offsets
    if len(data) < size:
        raise DebError("it is cut short")
    return header[:16].decode("ascii", "replace").rstrip(" ").removesuffix("/"), data[:size]


def _unpack(name: str, packed: bytes) -> bytes:
    try:
        match name:
            case "control.tar":
                return packed
            case "control.tar.gz":
                gzip = zlib.decompressobj(wbits=31)
                data, whole = gzip.decompress(packed, MAX_DEB_TAR), gzip.eof
            case "control.tar.xz":
                xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DEB_XZ_MEMORY)
                data, whole = xz.decompress(packed, MAX_DEB_TAR), xz.eof
            case _:
                raise DebError(f"its control archive is {name!r}; only gzip, xz and no compression can be read")
    except (lzma.LZMAError, zlib.error):
        raise DebError("its control archive is damaged") from None
    if not whole:
        raise DebError("its control archive is damaged or too large")
    return data


def _control_text(archive: bytes) -> str:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for member in tar:
                if member.name.removeprefix("./") != "control":
                    continue
                file = tar.extractfile(member) if member.isreg() and member.size <= MAX_DEB_CONTROL else None
                if file is None:
                    break
                return file.read().decode("utf-8")
    except (tarfile.TarError, UnicodeDecodeError):
        raise DebError("its control archive is damaged") from None
    raise DebError("it has no control file, or one that is not a small ordinary file")
