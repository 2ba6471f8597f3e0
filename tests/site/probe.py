"""Tries to reach addresses, from wherever Python runs: on a host or in a container.

As a program it takes PROTOCOL,ADDRESS,PORT words, tries all at once, and prints those
that answered.  It needs nothing but the standard library, so its text can be passed on.
"""

import contextlib
import socket
import struct
import sys
import threading
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


class Probe(NamedTuple):
    """Something to reach; ``protocol`` is tcp, udp (a DNS query) or icmp (ping)."""

    protocol: str
    address: str
    port: int = 0


def reached(run: Callable[[list[str]], str], probes: Iterable[Probe]) -> set[Probe]:
    """Those of ``probes`` that answer where ``run`` runs a command."""
    words = [f"{probe.protocol},{probe.address},{probe.port}" for probe in probes]
    said = run(["python3", "-c", Path(__file__).read_text(), *words])
    return {_probe(line) for line in said.splitlines()}


def _probe(word: str) -> Probe:
    protocol, address, port = word.split(",")
    return Probe(protocol, address, int(port))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _socket(probe: Probe) -> socket.socket:
    """What the probe asks through; a failure here means that nothing can be tried, and is no answer."""
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


def main(words: Sequence[str]) -> None:
    links = [(word, _socket(_probe(word))) for word in words]
    answered: list[str] = []

    def ask(word: str, link: socket.socket) -> None:
        probe = _probe(word)
        link.settimeout(PATIENCE)
        with link, contextlib.suppress(OSError):  # also EPERM, as a firewall of the same host refuses
            link.connect((probe.address, probe.port))
            link.send(_question(probe))
            if link.recv(4096):
                answered.append(word)

    threads = [threading.Thread(target=ask, args=pair) for pair in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for word in answered:
        print(word)


if __name__ == "__main__":
    main(sys.argv[1:])
