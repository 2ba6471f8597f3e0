"""What passed a site's bridge, recorded by tcpdump.

Only Ethernet and IP headers are read here, and the ports behind them.
"""

import ipaddress
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.site.command import in_cgroup
from tests.site.plan import BRIDGE

_PATIENCE = 30.0  # seconds
_TAIL = 1 << 20  # bytes of the file in which the last packet is looked for
_LITTLE_ENDIAN = b"\xd4\xc3\xb2\xa1"  # pcap with microseconds, as every machine that this runs on writes it
_IPV4, _IPV6, _MARK = 0x0800, 0x86DD, 0x88B5  # the last is free for local use
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}
_WITH_PORTS = ("tcp", "udp")
_EXTENSIONS = (0, 43, 60)  # IPv6 headers that may precede the protocol's: hop-by-hop, routing, options
# To nobody's address, so no host sees more than a frame for someone else.
_SEND_MARK = f"""
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
    link.bind(("{BRIDGE}", 0))
    link.send(bytes.fromhex("020000000001" "020000000002" "{_MARK:04x}") + sys.argv[1].encode())
"""


@dataclass(frozen=True)
class Packet:
    """One IP packet; ``protocol`` is tcp, udp, icmp, icmp6 or a number, ``port`` the destination's or 0."""

    source: str
    destination: str
    protocol: str
    port: int

    @property
    def is_neighbourly(self) -> bool:
        """Whether it cannot leave the wire: to a multicast or link-local address."""
        address = ipaddress.ip_address(self.destination)
        return address.is_multicast or address.is_link_local


@contextmanager
def captured(supervisor: int, folder: Path) -> Iterator[list[Packet]]:
    """Record all IP packets on the bridge; the list is filled when the block ends."""
    packets: list[Packet] = []
    file = folder / f"capture-{time.monotonic_ns()}.pcap"
    enter = ["nsenter", f"--net=/proc/{supervisor}/ns/net"]
    record = [
        *("tcpdump", f"--interface={BRIDGE}", "--snapshot-length=128", "--packet-buffered", "--immediate-mode"),
        *("--buffer-size=65536", "--relinquish-privileges=root", "-w", str(file)),
    ]
    cgroup = Path(f"/proc/{supervisor}/root/sys/fs/cgroup/tests")
    cgroup.mkdir(exist_ok=True)
    with subprocess.Popen(
        in_cgroup(cgroup, [*enter, *record]), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as tcpdump:
        try:
            assert tcpdump.stderr is not None
            said = tcpdump.stderr.readline()
            while said and "listening on" not in said:
                said = tcpdump.stderr.readline()
            assert said, "tcpdump did not start"
            yield packets
            mark = os.urandom(16).hex()
            subprocess.run([*enter, sys.executable, "-c", _SEND_MARK, mark], check=True)
            _wait_for(mark.encode(), file)
        finally:
            tcpdump.terminate()
        said = tcpdump.stderr.read()
        assert "\n0 packets dropped by kernel" in said, said
    packets += read_packets(file.read_bytes())


def _wait_for(mark: bytes, file: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while mark not in _end_of(file):
        assert time.monotonic() < deadline, "tcpdump did not see the last packet"
        time.sleep(0.02)


def _end_of(file: Path) -> bytes:
    with file.open("rb") as capture:
        capture.seek(max(0, file.stat().st_size - _TAIL))
        return capture.read()


def read_packets(capture: bytes) -> Iterator[Packet]:
    """The IP packets of a capture file (pcap with Ethernet frames)."""
    assert capture.startswith(_LITTLE_ENDIAN), "not a capture file that is known here"
    position = 24
    while position + 16 <= len(capture):
        (length,) = struct.unpack_from("<I", capture, position + 8)
        frame = capture[position + 16 : position + 16 + length]
        (kind,) = struct.unpack_from("!H", frame, 12)
        if kind == _IPV4:
            yield _ipv4(frame[14:])
        elif kind == _IPV6:
            yield _ipv6(frame[14:])
        position += 16 + length


def _ipv4(packet: bytes) -> Packet:
    (fragment,) = struct.unpack_from("!H", packet, 6)
    payload = packet[(packet[0] & 0x0F) * 4 :]
    if fragment & 0x1FFF:
        payload = b""  # a later fragment has no ports
    source, destination = (socket.inet_ntop(socket.AF_INET, packet[at : at + 4]) for at in (12, 16))
    return _packet(source, destination, packet[9], payload)


def _ipv6(packet: bytes) -> Packet:
    source, destination = (socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24))
    number, payload = packet[6], packet[40:]
    while number in _EXTENSIONS and len(payload) >= 8:
        number, payload = payload[0], payload[8 + payload[1] * 8 :]
    return _packet(source, destination, number, payload)


def _packet(source: str, destination: str, number: int, payload: bytes) -> Packet:
    protocol = _PROTOCOLS.get(number, str(number))
    port = 0
    if protocol in _WITH_PORTS and len(payload) >= 4:
        (port,) = struct.unpack_from("!H", payload, 2)
    return Packet(source, destination, protocol, port)
