"""A line to a server that breaks in the middle: TCP forwarding that ends after some bytes."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

_PATIENCE = 20.0  # seconds


class CutLine:
    """Forwards 127.0.0.1:``port`` to ``target``; breaks once ``budget`` bytes have come back and ``ready`` is true."""

    def __init__(self, target: int, budget: int, ready: Callable[[], bool]) -> None:
        self._target = target
        self._ready = ready
        self._left = budget
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "CutLine":
        self._spawn(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._cut()
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                self._sockets += [client, server]
            self._spawn(self._forward, client, server, False)
            self._spawn(self._forward, server, client, True)

    def _forward(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(16 * 1024):
                if counted and self._spend(len(data)):
                    self._wait()
                    self._cut()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _wait(self) -> None:
        """Hold this connection, and let the others go on, until it is time to break."""
        deadline = time.monotonic() + _PATIENCE
        while not self._ready() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _spend(self, amount: int) -> bool:
        """Whether this was too much: true once, for the connection that is to be held."""
        with self._lock:
            before, self._left = self._left, self._left - amount
            return self._left < 0 <= before

    def _cut(self) -> None:
        with self._lock:
            for item in (self._listener, *self._sockets):
                with suppress(OSError):
                    item.shutdown(socket.SHUT_RDWR)
                item.close()
