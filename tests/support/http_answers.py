"""HTTP/1.1 answers read as strictly as their standard has them, and everything that one connection was answered."""

import contextlib
import re
import socket
from dataclasses import dataclass

_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]+")
_HEADER = re.compile(rb"([A-Za-z0-9-]+): ([ -~]*)")
_IDLE = 10.0  # seconds after which a server is taken to wait for more


class Malformed(Exception):
    """This is no answer."""


@dataclass(frozen=True)
class Reply:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Talk:
    """What came back on a connection: whole answers, what is left, and whether the server has ended it."""

    replies: tuple[Reply, ...]
    rest: bytes
    closed: bool


def talk(link: socket.socket, data: bytes) -> Talk:
    """Send ``data``, and read until an answer is the last one, the server closes, or it waits for more."""
    link.settimeout(_IDLE)
    received = b""
    replies: tuple[Reply, ...] = ()
    closed = False
    with contextlib.suppress(OSError):  # it does not read all that is sent
        link.sendall(data)
    while not closed and not any(reply.headers.get("connection") == "close" for reply in replies):
        try:
            part = link.recv(1 << 20)
        except TimeoutError:
            break
        except OSError:
            part = b""
        closed = not part
        more, used = read(received + part)
        replies += more
        received = (received + part)[used:]
    if received.startswith(b"HTTP/") and received.endswith(b"\r\n\r\n"):  # the last one is of a HEAD
        more, _ = read(received + b"HTTP/1.1 ")
        replies, received = replies + more, b""
    return Talk(replies, received, closed)


def read(data: bytes) -> tuple[tuple[Reply, ...], int]:
    """The whole answers at the beginning of ``data``, and how many bytes they take.  Raises Malformed."""
    replies = []
    place = 0
    while (end := data.find(b"\r\n\r\n", place)) >= 0 and data.startswith(b"HTTP/", place):
        line, *rest = data[place:end].split(b"\r\n")
        status = _LINE.fullmatch(line)
        headers = [_HEADER.fullmatch(header) for header in rest]
        if status is None or None in headers:
            raise Malformed(data[place : end + 4])
        named = {header[1].decode().lower(): header[2].decode() for header in headers if header}
        if len(named) != len(headers):
            raise Malformed(data[place : end + 4])
        body = _body(named, data, end + 4, interim=status[1] == b"100")
        if body is None:
            break
        replies.append(Reply(int(status[1]), named, body[0]))
        place = body[1]
    return tuple(replies), place


def _body(headers: dict[str, str], data: bytes, begin: int, *, interim: bool) -> tuple[bytes, int] | None:
    """The body and where it ends; None when it has not all come."""
    if interim:
        return b"", begin
    if headers.get("transfer-encoding") == "chunked":
        return _chunked(data, begin)
    if "content-length" not in headers:
        raise Malformed(repr(headers).encode())
    if data.startswith(b"HTTP/1.1 ", begin):  # of a HEAD
        return b"", begin
    end = begin + int(headers["content-length"])
    return None if end > len(data) else (data[begin:end], end)


def _chunked(data: bytes, begin: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while (end := data.find(b"\r\n", begin)) >= 0:
        size = int(data[begin:end], 16)
        begin = end + 2 + size + 2
        if begin > len(data):
            return None
        if data[begin - 2 : begin] != b"\r\n":
            raise Malformed(data[end:begin])
        if size == 0:
            return b"".join(parts), begin
        parts.append(data[end + 2 : begin - 2])
    return None
