"""Asks a model for embeddings through its socket and through what stands before it, in turns, and says what each took.

    asking.py SOCKET MODEL CERTIFICATES NAME=PLACE ... [--connections N ...] [--requests N] [--rounds N]

SOCKET is the path of the model's socket, which is asked without TLS; each PLACE is HOST:PORT,
or the path of a socket, and is asked with TLS.  CERTIFICATES is a directory with client.pem,
client.key and ca.pem.  Connections stay open, as those of the clients' libraries do.  Prints
JSON: for each number of connections and each way the median and 99th percentile in ms, and
requests a second; each is the median of all rounds.  Rounds are short and go in turns: what a
model takes wanders by more than what is measured here, and so it wanders for all ways alike.

Runs wherever the model does: the standard library alone.
"""

import argparse
import json
import re
import socket
import ssl
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="asking.py")
    parser.add_argument("socket")
    parser.add_argument("model")
    parser.add_argument("certificates", type=Path)
    parser.add_argument("places", nargs="+", metavar="NAME=PLACE")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--requests", type=int, default=80, help="of each round, over all connections")
    parser.add_argument("--rounds", type=int, default=25)
    given = parser.parse_args()
    context = ssl.create_default_context(cafile=given.certificates / "ca.pem")
    context.load_cert_chain(given.certificates / "client.pem", given.certificates / "client.key")
    ways: dict[str, Callable[[], socket.socket]] = {"socket": partial(connect, given.socket)}
    for way, _, place in (named.partition("=") for named in given.places):
        ways[way] = partial(connect_with_tls, place, context)
    body = json.dumps({"model": given.model, "input": "The cat sits on the mat."}).encode()
    request = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += b"X-Request-Id: %s\r\nContent-Length: %d\r\n\r\n%s" % (b"0" * 32, len(body), body)
    told = []
    for connections in given.connections:
        rounds: dict[str, list[tuple[float, list[float]]]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, open_link in ways.items():
                links = [open_link() for _ in range(connections)]
                rounds[way].append(ask_all(links, request, given.requests // connections))
        told += [{"connections": connections, "way": way, **figures(found)} for way, found in rounds.items()]
    json.dump(told, sys.stdout)
    return 0


def connect(place: str) -> socket.socket:
    """A connection to a socket's path, or to HOST:PORT."""
    if place.startswith("/"):
        link = socket.socket(socket.AF_UNIX)
        link.connect(place)
        return link
    host, _, port = place.rpartition(":")
    link = socket.create_connection((host, int(port)))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def connect_with_tls(place: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """The same with TLS; what listens on a socket's path is called ``gateway``."""
    name = "gateway" if place.startswith("/") else place.rpartition(":")[0]
    return context.wrap_socket(connect(place), server_hostname=name)


def ask_all(links: Sequence[socket.socket], request: bytes, count: int) -> tuple[float, list[float]]:
    """Seconds that ``count`` requests on each of the connections took, all of them and each; they are closed then."""
    took: list[float] = []
    for link in links:
        ask(link, request)  # what is made on first use is not measured

    def work(link: socket.socket) -> None:
        with link:
            for _ in range(count):
                began = time.perf_counter()
                ask(link, request)
                took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work, args=(link,)) for link in links]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if len(took) < count * len(links):
        sys.exit("a connection broke")
    return seconds, took


def ask(link: socket.socket, request: bytes) -> None:
    """One request and its whole answer, which has to be 200."""
    link.sendall(request)
    answer = b""
    end = 0
    while not end or len(answer) < end:
        part = link.recv(1 << 18)
        answer += part
        head = answer.find(b"\r\n\r\n")
        if not part or (head >= 0 and not answer.startswith(b"HTTP/1.1 200 ")):
            sys.exit(f"no answer: {answer[:300]!r}")
        if head >= 0 and not end:
            length = _LENGTH.search(answer, 0, head + 2)
            if length is None:
                sys.exit(f"an answer without a length: {answer[:300]!r}")
            end = head + 4 + int(length[1])


def figures(rounds: Sequence[tuple[float, list[float]]]) -> dict[str, float]:
    """What the rounds say, by their medians: milliseconds, and requests a second."""
    tail = [statistics.quantiles(took, n=100)[98] for _, took in rounds]
    return {
        "p50": 1000 * statistics.median(statistics.median(took) for _, took in rounds),
        "p99": 1000 * statistics.median(tail),
        "rate": statistics.median(len(took) / seconds for seconds, took in rounds),
    }


if __name__ == "__main__":
    sys.exit(main())
