"""The list of SHA-384 that the profile CNSA 2.0 adds to a bundle."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import nullcontext

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import SHA384_LIST
from appliance.model.files import Content
from appliance.model.progress import Progress
from appliance.model.taps import Sha384
from appliance.store.cache import Cache
from appliance.store.hashing import Hashing
from appliance.trust.sums import format_sums


def sha384_list(files: Mapping[str, Content], cache: Cache, progress: Progress) -> tuple[str, bytes]:
    """Path and bytes of the list over ``files``, which are in the cache.

    SHA-256 comes from the same read, so a file that changed in the cache is noticed: raises
    NotTrusted (``cache-corrupt``).
    """

    def open_file(path: str) -> int:
        return os.open(cache.path(files[path]), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    tap = Sha384()
    sizes = {path: content.size for path, content in files.items()}
    with progress.task("Listing SHA-384", sum(sizes.values())) as task:
        for path, found in Hashing(lambda: nullcontext(open_file), task.advance, tap).digests(sizes):
            if found != files[path].sha256:
                raise NotTrusted(
                    "cache-corrupt",
                    "a file of the cache has changed",
                    where=str(cache.path(files[path])),
                    expected=files[path].sha256,
                    found=found,
                    hint="remove the file and build again",
                )
    data = format_sums(tap.found)
    return f"{SHA384_LIST}.{hashlib.sha384(data).hexdigest()}", data
