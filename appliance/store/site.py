"""A site's directory: bundles side by side, and which one of each name is current.

``bundles/<name>-<version>`` is a whole bundle: it has that name from the moment all of it
is verified and on the disk, and is never written to again.  While it is put together it is
``bundles/.<name>-<version>.importing``, which one process at a time may have.
``current/<name>`` is a link to one of them, replaced by a rename.  ``state`` is the
business of store/state.py.

Believes that nobody but the site's operator can write here.  What may come in is for
others to verify; here only names are checked.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.files import Content
from appliance.model.names import check_name, check_version
from appliance.store.disk import make_directories, make_directory, remove_tree
from appliance.store.staging import Staging

DEFAULT_SITE = Path("/srv/appliance")
_IMPORTING = ".{}.importing"


class Site:
    """The directory ``root``; made when the first bundle comes in."""

    def __init__(self, root: Path = DEFAULT_SITE) -> None:
        self.root = root.absolute()
        self._bundles = self.root / "bundles"
        self._current = self.root / "current"
        self.state = self.root / "state"

    def path(self, name: str, version: str) -> Path:
        """Where a bundle lies, or would.  Raises BadInput for an unsafe name or version."""
        try:
            return self._bundles / f"{check_name(name)}-{check_version(version)}"
        except ValueError as error:
            raise BadInput("name-unsafe", str(error)) from None

    def exists(self) -> bool:
        """Whether a bundle has come in, or was on its way."""
        return self._bundles.is_dir()

    def bundles(self) -> tuple[Path, ...]:
        """All whole bundles, sorted."""
        if not self._bundles.is_dir():
            return ()
        return tuple(sorted(path for path in self._bundles.iterdir() if not path.name.startswith(".")))

    def current_version(self, name: str) -> str | None:
        """The version that is current, if any.  Raises BadInput (``site-malformed``)."""
        link = self._link(name)
        if not os.path.lexists(link):
            return None
        target = str(link.readlink()) if link.is_symlink() else "no link"
        version = target.removeprefix(f"../bundles/{name}-")
        try:
            path = self.path(name, version)
        except BadInput:
            raise BadInput(
                "site-malformed",
                "this does not lead to a bundle of the site",
                where=str(link),
                expected=f"a link to ../bundles/{name}-VERSION",
                found=target,
                hint=f"remove it, then: appliance switch {name} VERSION",
            ) from None
        return version if path.is_dir() else None

    def switch(self, name: str, version: str) -> bool:
        """Make a bundle that is there the current one; returns whether it was not before.

        Readers see the old bundle or the new one, and never none.
        """
        target = self.path(name, version)
        if not target.is_dir():
            raise BadInput("bundle-not-imported", "the site does not hold this bundle", where=str(target))
        make_directory(self._current)
        with _locked(self._current, wait=True) as descriptor:
            if self.current_version(name) == version:
                return False
            link = self._link(name)
            beside = link.with_name(f".{name}.switching")
            beside.unlink(missing_ok=True)  # what a killed switch has left
            beside.symlink_to(f"../bundles/{target.name}")
            beside.rename(link)
            os.fsync(descriptor)
        return True

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Have the bundles to oneself; what killed imports have left is cleared.

        Directories that were made for this and are not needed in the end go again.
        Raises BadInput (``import-running``) when another import has them.
        """
        made = make_directories(self._bundles)
        with _locked(self._bundles, wait=False):
            try:
                for remains in self._bundles.glob(_IMPORTING.format("*")):
                    remove_tree(remains)
                yield
            finally:
                for folder in reversed(made):
                    if not any(folder.iterdir()):
                        folder.rmdir()

    @contextmanager
    def staging(self, name: str, version: str, files: Mapping[str, Content]) -> Iterator[Staging]:
        """Where a bundle of ``files`` is put together, inside of ``importing``.

        It becomes the bundle by ``Staging.commit``; otherwise nothing of it stays.
        """
        target = self.path(name, version)
        folder = target.with_name(_IMPORTING.format(target.name))
        folder.mkdir(mode=0o700)
        try:
            yield Staging(folder, target, files)
        finally:
            if folder.exists():
                remove_tree(folder)

    def _link(self, name: str) -> Path:
        try:
            return self._current / check_name(name)
        except ValueError as error:
            raise BadInput("name-unsafe", str(error)) from None


@contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BadInput(
                "import-running", "another import is running", where=str(folder), hint="wait until it has ended"
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)
