"""What one pickle imports, read from its opcodes.

Format: https://docs.python.org/3/library/pickle.html, as ``pickletools`` of the standard library takes it apart.
"""

import io
import pickletools
import re
from collections.abc import Iterator
from typing import NamedTuple

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_STORES = {"PUT", "BINPUT", "LONG_BINPUT"}
_LOADS = {"GET", "BINGET", "LONG_BINGET"}
_NAMED = {"GLOBAL", "INST"}
_MODULE = re.compile(r"[\w.-]+")  # a name that a module of Python may have
_MOST_REMEMBERED = 4_000_000  # values: one for each 16 of the bytes that are looked into
_UNTOLD = "something that cannot be told before it is loaded"


class Read(NamedTuple):
    """``first`` is the first value of a pickle, ``names`` what it imports, ``ended`` whether it has an end."""

    first: object
    names: tuple[str, ...]
    ended: bool


def read_pickle(stream: io.BytesIO, *, sure: bool) -> Read:
    """Read one pickle of ``stream`` to its end.

    Where it is not ``sure`` that there is one, it is read as far as a loader would get: to the first thing that is of
    no pickle.  Otherwise that raises ValueError.
    """
    names, recent, pushed, marked, ended = [], ["", ""], 0, False, False
    memory: dict[int, str] = {}
    first = None
    try:
        for opcode, argument in _opcodes(stream, sure=sure):
            name = opcode.name
            if not sure and _stops(name, argument, pushed=pushed, marked=marked):
                break
            if pushed == 0 and name != "PROTO":
                first = argument
            pushed += name not in ("PROTO", "FRAME")
            marked = marked or name == "MARK"
            ended = name == "STOP"
            if isinstance(argument, tuple):
                names.append(".".join(argument))
            elif name == "STACK_GLOBAL":
                names.append(".".join(recent[-2:]) if all(recent[-2:]) else _UNTOLD)
            elif name.startswith("EXT"):
                names.append(_UNTOLD)
            _remember(name, argument, recent, memory)
    except Exception as error:  # bytes of strangers break its parser in every way
        raise ValueError(f"is a pickle that is not read to its end: {str(error)[:200]}") from None
    return Read(first, tuple(names), ended)


def _opcodes(stream: io.BytesIO, *, sure: bool) -> Iterator[tuple[pickletools.OpcodeInfo, object]]:
    """Opcodes and their arguments up to the one that ends a pickle.  Raises what pickletools does."""
    frame_end = 0
    while True:
        start = stream.tell()
        code = stream.read(1)
        opcode = _OPCODES.get(code.decode("latin-1"))
        if opcode is None:
            if not sure:
                return
            raise ValueError(f"{code!r} is no opcode" if code else "it has no end")
        try:
            argument = _argument(opcode, stream)
        except Exception:  # of strangers' bytes, every one
            # A loader may read a line that pickletools does not: a number as C writes it, a text of latin-1.
            if sure:
                raise
            if opcode.arg is None or opcode.arg.n != pickletools.UP_TO_NEWLINE:
                return
            argument = None
        # Python drops what is left of a frame when it needs more, and goes on at another place than pickletools.
        if start < frame_end and (stream.tell() > frame_end or opcode.name == "FRAME"):
            raise ValueError("it reaches over the end of a frame")
        if opcode.name == "FRAME" and isinstance(argument, int):
            frame_end = stream.tell() + argument
            if frame_end > len(stream.getbuffer()):
                if sure:
                    raise ValueError("a frame is longer than the file")
                stream.seek(0, io.SEEK_END)
                return
        yield opcode, argument
        if opcode.name == "STOP":
            return


def _argument(opcode: pickletools.OpcodeInfo, stream: io.BytesIO) -> object:
    """The argument of an opcode; of an import, module and name as they stand there."""
    if opcode.name in _NAMED:
        lines = [stream.readline(), stream.readline()]
        if not all(line.endswith(b"\n") for line in lines):
            raise ValueError("a name has no end")
        return tuple(line[:-1].decode("utf-8", "backslashreplace") for line in lines)
    return opcode.arg.reader(stream) if opcode.arg is not None else None


def _stops(name: str, argument: object, *, pushed: int, marked: bool) -> bool:
    """Whether every loader fails here, before it imports anything."""
    if name in _NAMED:
        module = argument[0] if isinstance(argument, tuple) else ""
        return (name == "INST" and not marked) or not _MODULE.fullmatch(module)
    # Nobody has registered numbers.
    return name.startswith("EXT") or (name == "STACK_GLOBAL" and pushed < 2)


def _remember(name: str, argument: object, recent: list[str], memory: dict[int, str]) -> None:
    """Keep the last texts that were put on the stack; what else is put there hides them."""
    if name in _TEXTS:
        recent.append("" if argument is None else str(argument))
    elif name in _LOADS:
        recent.append(memory.get(argument, "") if isinstance(argument, int) else "")
    elif name == "MEMOIZE":
        memory[len(memory)] = recent[-1]
    elif name in _STORES and isinstance(argument, int):
        memory[argument] = recent[-1]
    elif name != "FRAME":
        recent.append("")
    if len(memory) > _MOST_REMEMBERED:
        raise ValueError(f"it remembers more than {_MOST_REMEMBERED} values")
    del recent[:-2]
