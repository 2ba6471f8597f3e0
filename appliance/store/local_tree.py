"""A directory of somebody else's on this host, read into the cache.

It is opened as a bundle is (``tree``): beneath its own descriptor, never through a link,
ordinary files alone.  What is hashed is what was opened, and the same read is what is kept.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import BadInput, NotTrusted
from appliance.model.files import Content, TreeEntry
from appliance.store.disk import SMALL
from appliance.store.tree import Tree

if TYPE_CHECKING:
    from appliance.store.cache import Cache


class LocalTree:
    """See ``model.sink.LocalTree``."""

    def __init__(self, root: Path, tree: Tree, cache: "Cache") -> None:
        self.root = root
        self._tree = tree
        self._cache = cache
        self._listed: Mapping[str, TreeEntry] = {}

    def listing(self) -> Mapping[str, TreeEntry]:
        """Everything below it by path."""
        with self._is_bad_input():
            self._listed = self._tree.listing()
        return self._listed

    def contents(self, paths: Sequence[str], label: str, keep: Collection[str] = ()) -> Iterator[tuple[str, Content]]:
        """Each of the listed files as it is read, in no order."""
        with self._cache.work("copy") as folder, self._is_bad_input():
            copies = {path: folder / str(number) for number, path in enumerate(paths) if path in keep}
            copying = _Copying(copies)
            small = []
            for path, sha256 in self._tree.digests(paths, copying, label):
                content = Content(sha256=sha256, size=copying.sizes[path])
                if content.size != self._listed[path].size:
                    raise NotTrusted("file-type", "its size changed while it was read", where=path)
                if path in copies and content.size < SMALL:
                    small.append((copies[path], content))
                elif path in copies:
                    self._cache.keep(copies[path], content)
                yield path, content
            self._cache.keep_all(small)

    @contextmanager
    def _is_bad_input(self) -> Iterator[None]:
        try:
            yield
        except NotTrusted as error:
            raise BadInput(
                "local-files-unreadable",
                error.what,
                where=str(self.root / error.where),
                hint="run it again when nothing writes there",
            ) from None


class _Copying:
    """A tap that counts the bytes of each file, and writes those of some."""

    def __init__(self, copies: Mapping[str, Path]) -> None:
        self._copies = copies
        self.sizes: dict[str, int] = {}

    @contextmanager
    def __call__(self, path: str) -> Iterator[Callable[[memoryview], None]]:
        """Take one file."""
        self.sizes[path] = 0
        copy = self._copies.get(path)
        descriptor = None if copy is None else os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

        def take(block: memoryview) -> None:
            self.sizes[path] += len(block)
            while descriptor is not None and block:
                block = block[os.write(descriptor, block) :]

        try:
            yield take
            if descriptor is not None and self.sizes[path] >= SMALL:
                os.fsync(descriptor)  # here, while other files are read
        finally:
            if descriptor is not None:
                os.close(descriptor)
