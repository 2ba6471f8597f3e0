"""What becomes of TCP connections that were there before packet filters were.

As a program: ``two_ends.py RULES RULES ADDRESS...``, the rules of the client's end and of
the server's, then the client's two addresses and the server's, IPv4 before IPv6.  Makes a
network namespace for the server beside the one it is started in, connects to port 22
there, loads the rules on both ends, and lets the server speak first.  Prints for each
address whether that arrived, and whether an echo after it did.

Needs root, ip and nft, and Python 3.12.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

PATIENCE = 5.0  # seconds, in which TCP tries several times
PORT = 22
_NAMESPACE = "/proc/self/ns/net"


def main(client_rules: str, server_rules: str, *addresses: str) -> None:
    client = os.open(_NAMESPACE, os.O_RDONLY)
    os.unshare(os.CLONE_NEWNET)  # type: ignore[attr-defined, unused-ignore]  # Python 3.12
    server = os.open(_NAMESPACE, os.O_RDONLY)
    _ip(client, "link", "add", "near", "type", "veth", "peer", "far", "netns", f"/proc/{os.getpid()}/fd/{server}")
    _ip(client, "link", "set", "near", "up")
    _ip(server, "link", "set", "far", "up")
    for link, namespace, own in (("near", client, addresses[:2]), ("far", server, addresses[2:])):
        _ip(namespace, "address", "add", f"{own[0]}/24", "dev", link)
        _ip(namespace, "address", "add", f"{own[1]}/64", "dev", link, "nodad")
    connections = _connections(client, server, addresses[2:])
    for namespace, rules in ((client, client_rules), (server, server_rules)):
        _run(namespace, ["nft", "--file", rules])
    for address, (near, far) in zip(addresses[2:], connections, strict=True):
        print(f"{address}: {_speak(near, far)}")


def _connections(client: int, server: int, addresses: Sequence[str]) -> list[tuple[socket.socket, socket.socket]]:
    _enter(server)
    listener = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
    _enter(client)
    found = []
    for address in addresses:
        near = socket.create_connection((address, PORT), PATIENCE)
        far, _ = listener.accept()
        far.settimeout(PATIENCE)
        found.append((near, far))
    return found


def _speak(near: socket.socket, far: socket.socket) -> str:
    try:
        far.send(b"answer")
        heard = near.recv(64)
        near.send(b"echo")
        return f"{heard.decode()}, then {far.recv(64).decode()}"
    except TimeoutError:
        return "nothing"


def _enter(namespace: int) -> None:
    os.setns(namespace)  # type: ignore[attr-defined, unused-ignore]  # Python 3.12


def _ip(namespace: int, *words: str) -> None:
    _run(namespace, ["ip", *words])


def _run(namespace: int, argv: Sequence[str]) -> None:
    _enter(namespace)
    subprocess.run(argv, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
