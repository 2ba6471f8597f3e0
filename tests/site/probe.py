"""Tries to reach addresses, from wherever Python runs: on a host or in a container.

As a program it takes PROTOCOL,ADDRESS,PORT words, tries all at once, and prints a line for
each that answered, and for each that cannot be tried there: who has no capability for raw
sockets cannot ping.  It needs nothing but the standard library, so its text can be passed on.
"""

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

PATIENCE = 2.0  # seconds

_ICMP = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
# Echo requests number 1; the checksum is given for IPv4 and made by the kernel for IPv6.
_PING = {
    socket.AF_INET: struct.pack("!BBHHH", 8, 0, 0xF7FE, 1, 0),
    socket.AF_INET6: struct.pack("!BBHHH", 128, 0, 0, 1, 0),
}
# Anything else, such as "destination unreachable" (RFC 792, RFC 4443), is no answer.
_ECHO_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}


class Probe(NamedTuple):
    """Something to reach; ``protocol`` is tcp, udp (a DNS query) or icmp (ping)."""

    protocol: str
    address: str
    port: int = 0


class Tried(NamedTuple):
    """What came of some probes; those that are in neither set did not answer."""

    answered: set[Probe]
    impossible: set[Probe]


def tried(run: Callable[[list[str]], str], probes: Iterable[Probe]) -> Tried:
    """What comes of ``probes`` where ``run`` runs a command."""
    words = [f"{probe.protocol},{probe.address},{probe.port}" for probe in probes]
    said = run(["python3", "-c", Path(__file__).read_text(), *words])
    result = Tried(set(), set())
    for line in said.splitlines():
        what, word = line.split()
        getattr(result, what).add(_probe(word))
    return result


def reached(run: Callable[[list[str]], str], probes: Iterable[Probe]) -> set[Probe]:
    """Those of ``probes`` that answer where ``run`` runs a command, which has to be able to try all of them."""
    result = tried(run, probes)
    assert not result.impossible, f"cannot be tried there: {result.impossible}"
    return result.answered


def _probe(word: str) -> Probe:
    protocol, address, port = word.split(",")
    return Probe(protocol, address, int(port))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _socket(probe: Probe) -> socket.socket:
    """What the probe asks through.  Raises PermissionError for a raw socket without the capability."""
    family = _family(probe.address)
    if probe.protocol == "tcp":
        return socket.socket(family, socket.SOCK_STREAM)
    if probe.protocol == "udp":
        return socket.socket(family, socket.SOCK_DGRAM)
    return socket.socket(family, socket.SOCK_RAW, _ICMP[family])


def _question(probe: Probe) -> bytes:
    if probe.protocol == "tcp":
        return b"GET / HTTP/1.0\r\n\r\n"
    if probe.protocol == "udp":
        return struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + b"\x05probe\x04test\x00" + struct.pack("!2H", 1, 1)
    return _PING[_family(probe.address)]


def _answers(probe: Probe, link: socket.socket) -> bool:
    deadline = time.monotonic() + PATIENCE
    with link, contextlib.suppress(OSError):  # also EPERM, as a firewall of the same host refuses
        link.settimeout(PATIENCE)
        link.connect((probe.address, probe.port))
        link.send(_question(probe))
        while (left := deadline - time.monotonic()) > 0:
            link.settimeout(left)
            said = link.recv(4096)
            if probe.protocol != "icmp":
                return bool(said)
            if _icmp_type(said, link.family) == _ECHO_REPLY[_family(probe.address)]:
                return True
    return False


def _icmp_type(packet: bytes, family: int) -> int:
    """The kernel gives IPv4 packets with their header, and IPv6 ones without."""
    return packet[(packet[0] & 0x0F) * 4] if family == socket.AF_INET else packet[0]


def main(words: Sequence[str]) -> None:
    links: list[tuple[str, socket.socket]] = []
    results: list[str] = []
    for word in words:
        try:
            links.append((word, _socket(_probe(word))))
        except PermissionError:
            results.append(f"impossible {word}")

    def ask(word: str, link: socket.socket) -> None:
        if _answers(_probe(word), link):
            results.append(f"answered {word}")

    threads = [threading.Thread(target=ask, args=pair) for pair in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for line in results:
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
