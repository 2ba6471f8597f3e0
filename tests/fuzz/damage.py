"""Random damage to a whole bundle on a disk: flips, cuts, insertions, swaps, links, names.

``Victim`` keeps one bundle and spoils it again and again in place, on a file system in
memory: thousands of times in seconds.  A change that leaves everything as it was is told
from one that is accepted.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from appliance.errors import NotTrusted
from tests.fuzz import mutations
from tests.support.bundles import Recipe, Written

_NOTHING = "nothing"
MEMORY = Path("/dev/shm")


@dataclass
class Tally:
    """How often each reference refused, and what was accepted: it must be nothing."""

    refused: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    accepted: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another has counted."""
        self.refused += other.refused
        self.unchanged += other.unchanged
        self.accepted += other.accepted

    def __str__(self) -> str:
        lines = [f"{count:>8}  {reference}" for reference, count in self.refused.most_common()]
        lines.append(f"{self.unchanged:>8}  (no change)")
        return "\n".join([*lines, *(f"ACCEPTED  {what}" for what in self.accepted)])


class Victim:
    """A bundle below ``folder``, whole between two damages; ``paths`` are its files and directories."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.written: Written = recipe.write(folder)
        self.top = self.written.path
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.contents = {
            str(path.relative_to(self.top)): path.read_bytes() for path in sorted(self.top.rglob("*")) if path.is_file()
        }
        self.files = tuple(self.contents)
        self.folders = tuple(sorted({str(Path(path).parent) for path in self.files} - {"."}))
        self._whole = dict(self._snapshot())
        self._touched: set[str] = set()

    def spoil(self, random: Random) -> str:
        """Change one to three things; says which."""
        kinds = random.choices(_KINDS, _WEIGHTS, k=random.choice((1, 1, 1, 2, 3)))
        return ", ".join(kind(self, random) for kind in kinds)

    def verdict(self) -> str:
        """The reference that refuses the bundle, or an empty string."""
        try:
            self.written.verify()
        except NotTrusted as error:
            return error.reference
        return ""

    def is_whole(self) -> bool:
        """Whether it is, byte for byte and name for name, what was signed."""
        return dict(self._snapshot()) == self._whole

    def mend(self) -> None:
        """Undo the damage."""
        for path in sorted(self._touched):  # a directory before what lies in it, which could lie elsewhere now
            _remove(self.top / path)
        for path, data in self.contents.items():
            if any(path == touched or path.startswith(f"{touched}/") for touched in self._touched):
                self._put(path, data)
        self._touched.clear()
        for entry in os.scandir(self.outside):
            _remove(Path(entry.path))

    def touch(self, path: str) -> Path | None:
        """What is about to be changed; None where an earlier change keeps it out of reach."""
        for parent in Path(path).parents:
            if (self.top / parent).is_symlink() or not (self.top / parent).is_dir():
                return None
        self._touched.add(path)
        return self.top / path

    def _put(self, path: str, data: bytes) -> None:
        target = self.top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def _snapshot(self) -> Iterator[tuple[str, tuple[int, bytes]]]:
        for path in self.top.rglob("*"):
            kind = path.lstat().st_mode & ~0o777
            data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            yield str(path.relative_to(self.top)), (kind, data)


def _content(victim: Victim, random: Random) -> str:
    path = random.choice(victim.files)
    target = victim.touch(path)
    if target is None or target.is_symlink() or not target.is_file():
        return _NOTHING
    target.write_bytes(mutations.mutate(victim.contents[path] or b"\n", random))
    return f"other bytes in {path}"


def _swap(victim: Victim, random: Random) -> str:
    one, other = random.sample(victim.files, 2)
    for path, data in ((one, victim.contents[other]), (other, victim.contents[one])):
        if target := victim.touch(path):
            _remove(target)
            target.write_bytes(data)
    return f"{one} and {other} swapped"


def _link(victim: Victim, random: Random) -> str:
    """A link to the right bytes outside, to other bytes, up and down, to nothing, to itself."""
    path = random.choice((*victim.files, *victim.folders))
    target = victim.touch(path)
    if target is None or not target.exists() or target.is_symlink():
        return _NOTHING
    copy = victim.outside / f"{random.getrandbits(64):x}"
    target.rename(copy)
    up = "../" * path.count("/")
    places = (str(copy), str(copy), f"{up}../outside/{copy.name}", up + random.choice(victim.files))
    to = random.choice((*places, "missing", target.name, str(victim.outside), "/dev/zero"))
    target.symlink_to(to)
    return f"{path} is a link to {to}"


def _hard_link(victim: Victim, random: Random) -> str:
    one, other = random.sample(victim.files, 2)
    source, target = victim.touch(other), victim.touch(one)
    if source is None or target is None or source.is_symlink() or not source.is_file():
        return _NOTHING
    _remove(target)
    os.link(source, target)
    return f"{one} is {other}"


def _remove_one(victim: Victim, random: Random) -> str:
    path = random.choice((*victim.files, *victim.folders))
    if target := victim.touch(path):
        _remove(target)
    return f"{path} is missing"


def _rename(victim: Victim, random: Random) -> str:
    path = random.choice((*victim.files, *victim.folders))
    folder, _, name = path.rpartition("/")
    other = _name(mutations.mutate(os.fsencode(name), random))
    source, target = victim.touch(path), victim.touch(f"{folder}/{other}" if folder else other)
    if source is None or target is None or source == target or not os.path.lexists(source):
        return _NOTHING
    _remove(target)
    source.rename(target)
    return f"{path} is called {other!r}"


def _add(victim: Victim, random: Random) -> str:
    name = _name(random.randbytes(random.randint(1, 12)))
    known = ("..hidden", "4.root.json", "3.root.json", "0.root.json", f"{'ab' * 32}.sigstore.json")
    path = "/".join(part for part in (random.choice(("", *victim.folders)), random.choice((*known, name))) if part)
    target = victim.touch(path)
    if target is None or os.path.lexists(target):
        return _NOTHING
    random.choice((_new_file, _new_folder, _new_pipe))(target, random)
    return f"{path!r} is new"


def _retype(victim: Victim, random: Random) -> str:
    path = random.choice((*victim.files, *victim.folders))
    target = victim.touch(path)
    if target is None:
        return _NOTHING
    _remove(target)
    random.choice((_new_file, _new_folder, _new_pipe, _new_socket, _new_setuid))(target, random)
    return f"{path} is something else"


def _name(raw: bytes) -> str:
    """What a file can be called."""
    name = raw.replace(b"/", b"_").replace(b"\0", b"_")[:255]
    return "x" if name in (b"", b".", b"..") else os.fsdecode(name)


def _new_file(path: Path, random: Random) -> None:
    path.write_bytes(random.randbytes(random.choice((0, 1, 300))))


def _new_setuid(path: Path, random: Random) -> None:
    path.write_bytes(random.randbytes(10))
    path.chmod(0o4755)


def _new_folder(path: Path, random: Random) -> None:
    path.mkdir()


def _new_pipe(path: Path, random: Random) -> None:
    os.mkfifo(path)


def _new_socket(path: Path, random: Random) -> None:
    os.mknod(path, 0o140644)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


_KINDS = (_content, _swap, _link, _hard_link, _remove_one, _rename, _add, _retype)
_WEIGHTS = (60, 10, 15, 3, 3, 3, 3, 3)


def spoil_often(victim: Victim, random: Random, times: int) -> Tally:
    """Spoil and verify so many times; in between, the whole bundle has to be accepted."""
    tally = Tally()
    for number in range(times):
        what = victim.spoil(random)
        if reference := victim.verdict():
            tally.refused[reference] += 1
        elif victim.is_whole():
            tally.unchanged += 1
        else:
            tally.accepted.append(what)
        victim.mend()
        if number % 500 == 0:
            assert victim.is_whole(), f"not mended after: {what}"
            assert victim.verdict() == "", f"not accepted after: {what}"
    return tally
