"""What can be done to a finished bundle by somebody who has it in their hands."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus.builder import changes, signing
from tests.corpus.builder.cases import Operation
from tests.corpus.builder.words import to_bytes
from tests.support.bundles import Recipe, Written, encoded, payload_of

_SOCKET = stat.S_IFSOCK | 0o644
_NULL_DEVICE = os.makedev(1, 3)


class CannotBuild(Exception):
    """This machine or user cannot make such a thing."""


def apply(operation: Operation, written: Written, recipe: Recipe) -> None:
    """Do ``operation`` to the bundle, which was made from ``recipe``."""
    path = Path(os.fsdecode(os.path.join(os.fsencode(written.path), to_bytes(operation.place))))  # noqa: PTH118 - bytes
    if operation.verb in _WITH_BUNDLE:
        _WITH_BUNDLE[operation.verb](path, operation.argument, written)
    elif operation.verb in _VERBS:
        try:
            _VERBS[operation.verb](path, operation.argument)
        except PermissionError as error:
            raise CannotBuild(f"{operation.verb} {operation.place}: {error.strerror}") from None
    elif operation.verb == "replay":
        _replay(path, operation.argument, written, recipe)
    else:
        path.write_bytes(changes.change(operation.verb, path.read_bytes(), operation.argument))


def _write(path: Path, argument: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(argument))


def _remove(path: Path, argument: bool) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _instead(make: Callable[[Path, Any], None]) -> Callable[[Path, Any], None]:
    """Make something where a file may be, which then goes."""

    def verb(path: Path, argument: Any) -> None:
        if os.path.lexists(path):
            _remove(path, True)
        make(path, argument)

    return verb


def _swap_case(path: Path, argument: bool) -> None:
    path.rename(path.with_name(path.name.swapcase()))


def _add_to_name(path: Path, argument: str) -> None:
    path.rename(path.with_name(path.name + argument))


def _device(path: Path, argument: bool) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, _NULL_DEVICE)


def _grow(path: Path, argument: int) -> None:
    os.truncate(path, path.stat().st_size + argument)


def _attribute(path: Path, argument: dict[str, Any]) -> None:
    """Extended attributes, which a file system or another user may not have."""
    for name, value in argument.items():
        try:
            os.setxattr(path, name, to_bytes(value))
        except OSError as error:
            raise CannotBuild(f"{name} {path.name}: {error.strerror}") from None


def _crowd(path: Path, argument: int) -> None:
    """So many empty files, called as files there are called."""
    names = {"sigs": "{:064x}.sigstore.json", "trust": "{}.root.json"}
    for number in range(1, argument + 1):
        (path / names.get(path.name, "{}").format(number)).touch()


_VERBS: dict[str, Callable[[Path, Any], None]] = {
    "write": _write,
    "remove": _remove,
    "swap case": _swap_case,
    "add to name": _add_to_name,
    "symlink": _instead(lambda path, argument: path.symlink_to(argument)),
    "directory": _instead(lambda path, argument: path.mkdir(parents=True)),
    "fifo": _instead(lambda path, argument: os.mkfifo(path)),
    "socket": _instead(lambda path, argument: os.mknod(path, _SOCKET)),
    "device": _instead(_device),
    "mode": lambda path, argument: path.chmod(int(argument, 8)),
    "attribute": _attribute,
    "grow": _grow,
    "crowd": _crowd,
}


# With other parts of the bundle ---------------------------------------------------------------


def _rename(path: Path, argument: str, written: Written) -> None:
    path.rename(written.path / argument)


def _copy(path: Path, argument: str, written: Written) -> None:
    shutil.copyfile(written.path / argument, path)


def _hardlink(path: Path, argument: str, written: Written) -> None:
    _instead(lambda path, target: path.hardlink_to(target))(path, written.path / argument)


def _second_name(path: Path, argument: bool, written: Written) -> None:
    """A hard link outside, by which somebody else can change the file later."""
    (written.path.parent / "outside" / path.name).hardlink_to(path)


def _swap(path: Path, argument: str, written: Written) -> None:
    other, between = written.path / argument, written.path.parent / "between"
    path.rename(between)
    other.rename(path)
    between.rename(other)


def _link_out(path: Path, argument: bool, written: Written) -> None:
    """The right bytes, but where somebody else can change them later."""
    outside = written.path.parent / "outside" / path.name
    path.rename(outside)
    path.symlink_to(outside)


def _sign(path: Path, argument: str, written: Written) -> None:
    path.write_bytes(signing.signature_file(argument, (written.path / "statement.json").read_bytes()))


def _trust(path: Path, argument: bool, written: Written) -> None:
    written.trusted.write_bytes(path.read_bytes())


_WITH_BUNDLE: dict[str, Callable[[Path, Any, Written], None]] = {
    "rename": _rename,
    "copy": _copy,
    "hardlink": _hardlink,
    "second name": _second_name,
    "swap": _swap,
    "link out": _link_out,
    "sign": _sign,
    "trust": _trust,
}


def _replay(path: Path, argument: str, written: Written, recipe: Recipe) -> None:
    """The same signers' files over version 2.0.0; ``this statement``: made to hold this bundle's."""
    other = recipe.but(statement=lambda value: value["predicate"].update(version="2.0.0")).documents()
    statement = (written.path / "statement.json").read_bytes()
    for name, data in other.items():
        if name.startswith(f"{path.name}/"):
            assert payload_of(data) != statement
            change = {"dsseEnvelope/payload": encoded(statement)}
            replaced = changes.change("set", data, change) if argument == "this statement" else data
            (written.path / name).write_bytes(replaced)


VERBS = (*_VERBS, *_WITH_BUNDLE, "replay", *changes.VERBS)
