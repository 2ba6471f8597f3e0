"""Say which addresses accept a TCP connection: one line for each that does, all tried at once.

Arguments: seconds to wait in all, then HOST:PORT (IPv6 in brackets) ...  Only numeric
addresses are tried, so that no name is asked for.  Runs on bare hosts: Python alone.
"""

import selectors
import socket
import sys
import time


def main() -> None:
    """Print each of the arguments that answers."""
    deadline = time.monotonic() + float(sys.argv[1])
    waiting = selectors.DefaultSelector()
    for target in sys.argv[2:]:
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        probe.setblocking(False)
        try:
            probe.connect_ex((host, int(port)))
        except OSError:
            continue
        waiting.register(probe, selectors.EVENT_WRITE, (probe, target))
    while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
        for key, _ in waiting.select(left):
            probe, target = key.data
            waiting.unregister(probe)
            if probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                print(target)


main()
