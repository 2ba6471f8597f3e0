"""How git names a commit and a file: by SHA-1, which a hub tells and nothing here trusts."""

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator

COMMIT_PATTERN = re.compile(r"[0-9a-f]{40}")


def check_commit(value: str) -> str:
    """A git commit: 40 lower-case hexadecimal digits.  Raises ValueError."""
    if not COMMIT_PATTERN.fullmatch(value):
        raise ValueError(f"{value!r} is not a commit (40 lower-case hexadecimal digits)")
    return value


def git_blob_id(data: bytes) -> str:
    """The id that git gives to a file of these bytes (SHA-1)."""
    # SHA-1 is what the hub has for small files; the lock keeps their SHA-256.
    return hashlib.sha1(b"blob %d\x00" % len(data) + data, usedforsecurity=False).hexdigest()


Commit = Annotated[str, AfterValidator(check_commit)]
