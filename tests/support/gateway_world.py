"""A running gateway in front of two models that stand-ins play."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.gateway import Gateway, gateway_root, make_gateway, running
from tests.support.vllm_socket import FakeModel, fake_model


@dataclass
class World:
    """A gateway in front of two models."""

    gateway: Gateway
    chat: FakeModel
    embedding: FakeModel

    def count(self) -> int:
        """Requests that reached a model."""
        return len(self.chat.arrived) + len(self.embedding.arrived)


@contextmanager
def running_world(folder: Path, *, logs: str = "") -> Iterator[World]:
    """The gateway of ``make_gateway`` below ``folder``, with both of its models; ``logs`` is as ``running`` has it."""
    root = gateway_root()
    gateway = make_gateway(folder)
    sockets = folder / "run/appliance/vllm"
    with (
        fake_model(sockets / "tiny-chat") as chat,
        fake_model(sockets / "mini-lm.v2") as embedding,
        running(gateway, root, logs=logs),
    ):
        for name in ("tiny-chat", "mini-lm.v2"):
            gateway.ready(name)
        yield World(gateway, chat, embedding)
