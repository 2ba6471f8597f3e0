"""A bundle that is being put together on a site: not yet trusted, not yet visible.

Files come in while they are hashed, or as links to equal files that the site has.  A link
is hashed too before it counts.  Everything has one mode whatever the umask, nothing is
ever overwritten, and the whole becomes a bundle by one rename after all of it is on the
disk.  Whether the bytes are the right ones is for the verifier to say before that.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import BadInput, NotTrusted
from appliance.model.files import Content
from appliance.model.progress import Progress
from appliance.model.taps import Sha384
from appliance.store.disk import FOLDER_MODE, SMALL, make_directories, sync, sync_all
from appliance.store.tree import Tree

FILE_MODE = 0o444
_CANNOT_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOENT)


class Staging:
    """The directory ``path`` for the bundle ``target``, whose listed files are ``files``.

    ``receive`` may be used by several threads, each with files of its own.
    """

    def __init__(self, path: Path, target: Path, files: Mapping[str, Content]) -> None:
        self.path = path
        self._target = target
        self._files = files
        self._linked: frozenset[str] = frozenset()

    @property
    def linked(self) -> frozenset[str]:
        """Paths of the files that are shared with other bundles."""
        return self._linked

    def link(self, sources: Mapping[str, Path], progress: Progress, sha384: Mapping[str, str] | None = None) -> None:
        """Share the site's files that are equal; ``sources`` are candidates by SHA-256.

        What is linked is what is hashed, so a source that was damaged is not shared.  With
        ``sha384``, by path, that has to be equal too.
        """
        tried = [path for path, content in self._files.items() if self._link(path, sources.get(content.sha256))]
        with Tree(self.path, progress) as tree:
            tap = Sha384()
            found = dict(tree.digests(tried, tap if sha384 else None))
        damaged = {path for path in tried if found[path] != self._files[path].sha256}
        if sha384:
            damaged |= {path for path in tried if tap.found[path] != sha384[path]}
        for path in damaged:
            progress.step(f"damaged on this site, not shared: {sources[self._files[path].sha256]}")
            (self.path / path).unlink()
        self._linked = frozenset(tried) - damaged

    def _link(self, path: str, source: Path | None) -> bool:
        if source is None or source.is_symlink() or not source.is_file():
            return False
        self._make_parents(path)
        try:
            os.link(source, self.path / path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            return False
        return True

    def check_room(self) -> None:
        """Raise BadInput (``disk-full``) unless the files that are not shared fit."""
        status = os.statvfs(self.path)
        block = status.f_frsize
        sizes = [content.size for path, content in self._files.items() if path not in self._linked]
        needed = sum(-(-size // block) * block for size in sizes)
        if needed > (free := status.f_bavail * block):
            raise BadInput(
                "disk-full",
                "there is not enough space for the bundle",
                where=str(self._target.parent),
                expected=f"{needed} bytes free",
                found=f"{free} bytes",
                hint="remove a bundle that is no longer needed, or enlarge the file system",
            )

    @contextmanager
    def receive(self, path: str) -> Iterator[Callable[[memoryview], None]]:
        """Take the bytes of a listed file, block by block; a ``model.taps.Tap``."""
        if path in self._linked:
            yield lambda block: None
            return
        left = self._files[path].size
        with (self.path / path).open("xb", buffering=0) as file:

            def take(block: memoryview) -> None:
                nonlocal left
                left -= len(block)
                if left < 0:  # or a medium without end would fill the disk
                    raise NotTrusted("file-mismatch", "the file grew while it was read", where=path)
                self._write(file.fileno(), block)

            yield take
            self._settle(file.fileno(), self._files[path].size)

    def make_folders(self) -> None:
        """Make the directories of all listed files, before threads need them."""
        for path in self._files:
            self._make_parents(path)

    def write(self, path: str, data: bytes) -> None:
        """Add a file that is not listed."""
        self._make_parents(path)
        with (self.path / path).open("xb", buffering=0) as file:
            self._write(file.fileno(), memoryview(data))
            self._settle(file.fileno(), len(data))

    def settle(self) -> None:
        """Bring all of it to the disk: what is left to do can hardly fail."""
        self.path.chmod(FOLDER_MODE)
        with _full_disk_is_bad_input(self._target.parent):
            sync_all(self.path)

    def commit(self) -> Path:
        """Make it a bundle of the site, under its own name."""
        self.path.rename(self._target)
        sync(self._target.parent)
        return self._target

    def _make_parents(self, path: str) -> None:
        make_directories((self.path / path).parent)

    def _write(self, descriptor: int, data: memoryview) -> None:
        with _full_disk_is_bad_input(self._target.parent):
            while data:
                data = data[os.write(descriptor, data) :]

    def _settle(self, descriptor: int, size: int) -> None:
        with _full_disk_is_bad_input(self._target.parent):
            os.fchmod(descriptor, FILE_MODE)
            if size >= SMALL:
                os.fsync(descriptor)  # now, while others are read; the rest by ``settle``


@contextmanager
def _full_disk_is_bad_input(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BadInput(
            "disk-full",
            "the disk is full; nothing of the bundle was kept",
            where=str(where),
            hint="free some space and import it again",
        ) from None
