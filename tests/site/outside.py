"""Stands for the internet: answers on TCP 80 and 443 and UDP 53, at every address it is called by.

Ping is answered by the kernel.  Every name resolves, to outside itself; so a program that
tries to call home finds one, and the attempt is seen.
"""

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.site.plan import OUTSIDE
from tests.site.probe import Probe

EVERY_WAY_OUT = {
    Probe(protocol, address, port)
    for address in (OUTSIDE.v4, OUTSIDE.v6)
    for protocol, port in (("tcp", 80), ("tcp", 443), ("udp", 53), ("icmp", 0))
}
_TCP_PORTS = (80, 443)
_A, _AAAA = 1, 28
_RESPONSE = 0x8180  # a response to a recursive query, no error
_NAME_OF_QUESTION = 0xC00C


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6  # takes IPv4 as well


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"this is outside\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def answer(query: bytes) -> bytes:
    """The answer to a DNS query (RFC 1035): outside's address, whatever the name."""
    identity, _, questions, _, _, _ = struct.unpack_from("!6H", query)
    end = query.index(b"\0", 12) + 5
    (kind,) = struct.unpack_from("!H", query, end - 4)
    address = {
        _A: socket.inet_pton(socket.AF_INET, OUTSIDE.v4),
        _AAAA: socket.inet_pton(socket.AF_INET6, OUTSIDE.v6),
    }.get(kind)
    header = struct.pack("!6H", identity, _RESPONSE, questions, 1 if address else 0, 0, 0)
    if address is None:
        return header + query[12:end]
    record = struct.pack("!HHHIH", _NAME_OF_QUESTION, kind, 1, 60, len(address)) + address
    return header + query[12:end] + record


def _resolve() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind(("::", 53))
        while True:
            query, called, _, client = server.recvmsg(4096, 256)
            try:
                # The answer comes from the address that was called.
                level, kind, information = called[0]
                packet_info = information[:16] + bytes(4)
                server.sendmsg([answer(query)], [(level, kind, packet_info)], 0, client)
            except (ValueError, struct.error, OSError):
                continue


def main() -> None:
    Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")  # to answer as whoever was called
    for port in _TCP_PORTS:
        threading.Thread(target=_Server(("::", port), _Handler).serve_forever).start()
    threading.Thread(target=_resolve).start()
    print("ready", flush=True)


if __name__ == "__main__":
    main()
