"""Bring files to a wanted state, and say which of them were not in it.

A file appears whole or not at all: it is written beside its name, synced and renamed.
With ``check`` nothing is written, and the answer is what would have been.  Who may call
whom with which files is the callers' business.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PUBLIC_FILE = 0o644
PUBLIC_DIRECTORY = 0o755


@dataclass
class Converge:
    """Wanted states, brought about one by one; ``changed`` lists the paths that differed."""

    check: bool = False
    changed: list[str] = field(default_factory=list)

    def directory(self, path: Path, mode: int = PUBLIC_DIRECTORY) -> None:
        """Make ``path`` with exactly ``mode``, and parents that are missing with it."""
        if path.is_dir():
            if path.stat().st_mode & 0o7777 != mode:
                self._differs(path)
                if not self.check:
                    path.chmod(mode)
            return
        if path.parent != path and not path.parent.is_dir():
            self.directory(path.parent)
        self._differs(path)
        if not self.check:
            path.mkdir(mode=0o700)
            path.chmod(mode)  # whatever the umask is

    def file(self, path: Path, data: bytes, mode: int = PUBLIC_FILE) -> None:
        """Make ``path`` hold ``data`` with exactly ``mode``."""
        same = path.is_file() and not path.is_symlink() and path.read_bytes() == data
        if same and path.stat().st_mode & 0o7777 == mode:
            return
        self._differs(path)
        if self.check:
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as temporary:
                temporary.write(data)
                temporary.flush()
                os.fsync(temporary.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def hard_link(self, path: Path, source: Path) -> None:
        """Make ``path`` another name of the file ``source``; both are on one file system."""
        if path.exists() and path.samefile(source):
            return
        self._differs(path)
        if self.check:
            return
        temporary = path.with_name(f".{path.name}.linking")
        temporary.unlink(missing_ok=True)
        temporary.hardlink_to(source)
        temporary.replace(path)

    def tree(self, top: Path, files: Mapping[str, bytes], links: Mapping[str, Path] | None = None) -> None:
        """Make ``top`` hold exactly ``files`` and hard ``links``, named by their paths below it."""
        links = links or {}
        wanted = {top / name for name in (*files, *links)}
        folders = {top, *(parent for path in wanted for parent in path.parents if parent.is_relative_to(top))}
        for folder in sorted(folders):
            self.directory(folder)
        for name, data in files.items():
            self.file(top / name, data)
        for name, source in links.items():
            self.hard_link(top / name, source)
        for path in sorted(top.rglob("*"), reverse=True) if top.is_dir() else ():
            if path not in wanted and path not in folders:
                self._remove(path)

    def _remove(self, path: Path) -> None:
        self._differs(path)
        if self.check:
            return
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()

    def _differs(self, path: Path) -> None:
        self.changed.append(str(path))
