"""Bring files to a wanted state, and say which of them were not in it.

A file appears whole or not at all: it is written beside its name, synced and renamed.
With ``check`` nothing is written, and the answer is what would have been.  Who may call
whom with which files is the callers' business.

Programs of the depot import this; on a host it is a program of its own, to which the
action ``files`` says on standard input what is wanted.  So it needs Python alone.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PUBLIC_FILE = 0o644
PUBLIC_DIRECTORY = 0o755
_LONGEST_DIFF = 100_000  # bytes


@dataclass
class Converge:
    """Wanted states, brought about one by one; ``changed`` lists the paths that differed.

    With ``show``, ``differences`` has what Ansible shows of each, but for what is ``secret``.
    An owner is ``user:group``; None leaves a file to whoever runs this.
    """

    check: bool = False
    show: bool = False
    changed: list[str] = field(default_factory=list)
    differences: list[dict[str, str]] = field(default_factory=list)

    def directory(self, path: Path, mode: int = PUBLIC_DIRECTORY, owner: str | None = None) -> None:
        """Make ``path`` with exactly ``mode``, and parents that are missing with it."""
        if path.is_dir():
            if not _has(path, mode, owner):
                self._differs(path, _rights(path), f"{mode:04o} {owner or ''}")
                if not self.check:
                    _give(path, mode, owner)
            return
        if path.parent != path and not path.parent.is_dir():
            self.directory(path.parent, owner=owner)
        self._differs(path, "absent", "directory")
        if not self.check:
            path.mkdir(mode=0o700)
            _give(path, mode, owner)  # whatever the umask is

    def file(
        self,
        path: Path,
        data: bytes,
        mode: int = PUBLIC_FILE,
        owner: str | None = None,
        *,
        validate: str = "",
        secret: bool = False,
    ) -> None:
        """Make ``path`` hold ``data`` with exactly ``mode``.

        ``validate`` is a command in which ``%s`` stands for the file that is about to take
        its place; ValueError has what it says when it refuses.
        """
        same = path.is_file() and not path.is_symlink() and path.read_bytes() == data
        if same and _has(path, mode, owner):
            return
        if same:
            self._differs(path, _rights(path), f"{mode:04o} {owner or ''}")
        else:
            before = path.read_bytes() if path.is_file() and not secret else b""
            self._differs(path, _text(before), "" if secret else _text(data))
        if self.check:
            return
        # Whoever reads all files of a directory leaves out those that begin with a dot, or end like this.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix="~")
        try:
            with os.fdopen(handle, "wb") as temporary:
                temporary.write(data)
                temporary.flush()
                os.fsync(temporary.fileno())
            if validate:
                _validate(validate, path, name)
            _give(Path(name), mode, owner)
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

    def symbolic_link(self, path: Path, target: str) -> None:
        """Make ``path`` a link to ``target``, which may be there or not."""
        if path.is_symlink() and str(path.readlink()) == target:
            return
        if path.exists() and not path.is_symlink():
            raise FileExistsError(f"{path} exists and is not a link: it is not ours")
        self._differs(path, "", f"link to {target}")
        if self.check:
            return
        temporary = path.with_name(f".{path.name}.linking~")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(path)

    def absent(self, path: Path) -> None:
        """Remove ``path`` if it is there, a directory with all that is in it."""
        if not path.exists() and not path.is_symlink():
            return
        self._differs(path, "present", "absent")
        if self.check:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

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
                self.absent(path)

    def _differs(self, path: Path, before: str = "", after: str = "") -> None:
        self.changed.append(str(path))
        if self.show and (before or after):
            shown = {"before_header": str(path), "after_header": str(path)}
            self.differences.append(shown | {"before": f"{before}\n", "after": f"{after}\n"})


def _has(path: Path, mode: int, owner: str | None) -> bool:
    if path.stat().st_mode & 0o7777 != mode:
        return False
    return owner is None or f"{path.owner()}:{path.group()}" == owner


def _give(path: Path, mode: int, owner: str | None) -> None:
    if owner is not None:
        shutil.chown(path, *owner.split(":"))
    path.chmod(mode)  # after the owner, whose change takes bits away


def _rights(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:04o} {path.owner()}:{path.group()}"


def _text(data: bytes) -> str:
    return data.decode(errors="replace") if len(data) <= _LONGEST_DIFF else f"{len(data)} bytes"


def _validate(command: str, path: Path, name: str) -> None:
    words = [word.replace("%s", name) for word in shlex.split(command)]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).replace(name, str(path)).strip()
        raise ValueError(f"{path} was not replaced: {words[0]} refuses its new content\n{said}")


def bring(converge: Converge, wanted: Mapping[str, Any]) -> None:
    """Bring about one entry of the action ``files``."""
    path, owner = Path(wanted["path"]), wanted["owner"]
    match wanted["kind"]:
        case "directory":
            converge.directory(path, int(wanted["mode"], 8), owner)
        case "link":
            converge.symbolic_link(path, wanted["content"])
        case "absent":
            converge.absent(path)
        case _:
            converge.file(
                path,
                wanted["content"].encode(),
                int(wanted["mode"], 8),
                owner,
                validate=wanted["validate"],
                secret=wanted["secret"],
            )


def main() -> int:
    """What is wanted comes on standard input, what was changed goes to standard output."""
    given = json.load(sys.stdin)
    converge = Converge(check=given["check"], show=given["diff"])
    try:
        for wanted in given["wanted"]:
            bring(converge, wanted)
    except (OSError, LookupError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"changed": converge.changed, "diff": converge.differences}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
