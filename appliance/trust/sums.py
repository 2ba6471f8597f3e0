"""SHA256SUMS: coreutils' text format, in one form only.

A line is 64 lower-case hexadecimal digits, two spaces, the path, a newline; lines are
sorted by the path's bytes (LC_ALL=C).  Backslash escapes never occur because the paths
that would need them are refused.  A list of SHA-384 is the same with 96 digits.
"""

import hashlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Literal

from appliance.model.documents.bundle import ROOTS, SIGNATURES, STATEMENT, SUMS
from appliance.model.limits import MAX_FILES, MAX_SHA384_LIST, MAX_SUMS
from appliance.model.names import collision_key, path_problem

# What SHA256SUMS cannot list: itself, and what is added after it was signed.
UNLISTED = (SUMS, STATEMENT, SIGNATURES, ROOTS)
_RESERVED = {collision_key(name) for name in UNLISTED}
_HEXADECIMAL = b"0123456789abcdef"


def format_sums(digests: Mapping[str, str]) -> bytes:
    """Write the digests (path to digest).  Raises ValueError for a path that may not be."""
    _check_paths(digests)
    ordered = sorted(digests, key=lambda path: path.encode())
    return b"".join(b"%b  %b\n" % (digests[path].encode(), path.encode()) for path in ordered)


def parse_sums(data: bytes, *, digits: Literal[64, 96] = 64) -> dict[str, str]:
    """Read a list: path to digest of so many hexadecimal digits, in the file's order.  Raises ValueError."""
    limit = MAX_SUMS if digits == 64 else MAX_SHA384_LIST
    if len(data) > limit:
        raise ValueError(f"is larger than {limit} bytes")
    if not data.endswith(b"\n"):
        raise ValueError("does not end with a newline")
    if data.count(b"\n") > MAX_FILES:
        raise ValueError(f"lists more than {MAX_FILES} files")
    digests: dict[str, str] = {}
    last = b""
    for number, line in enumerate(BytesIO(data), start=1):
        digest, separator, raw = line[:digits], line[digits : digits + 2], line[digits + 2 : -1]
        if separator != b"  " or raw <= last:
            reason = "is not '<digest>  <path>'" if separator != b"  " else "is not sorted, or a path appears twice"
            raise ValueError(f"line {number} {reason}")
        if digest.translate(None, _HEXADECIMAL):
            text = digest.decode("ascii", "replace")
            raise ValueError(f"line {number}: {text!r} is not a digest: {digits} lower-case hexadecimal digits")
        try:
            digests[raw.decode()] = digest.decode()
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        last = raw
    _check_paths(digests)
    return digests


def _check_paths(paths: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    known = {""}
    for path in paths:
        if problem := path_problem(path):
            raise ValueError(f"path {path!r} {problem}")
        key = collision_key(path)
        if (other := seen.setdefault(path if key == path else key, path)) != path:
            raise ValueError(f"paths {other!r} and {path!r} are one file on some file systems")
        if key.partition("/")[0] in _RESERVED:
            raise ValueError(f"path {path!r} is where signed lists do not reach")
        folder = path.rpartition("/")[0]
        while folder not in known:
            known.add(folder)
            if (other := folders.setdefault(collision_key(folder), folder)) != folder:
                raise ValueError(f"directories {other!r} and {folder!r} are one on some file systems")
            folder = folder.rpartition("/")[0]
    for key, folder in folders.items():
        if key in seen:
            raise ValueError(f"{folder!r} is a file and a directory")


def digest_of(data: bytes) -> dict[str, str]:
    """The statement's digests of SHA256SUMS: ``sha256`` and ``sha384``."""
    return {"sha256": hashlib.sha256(data).hexdigest(), "sha384": hashlib.sha384(data).hexdigest()}
