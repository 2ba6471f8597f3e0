"""A client that may no longer ask gets no more of an answer that is on its way; others notice nothing."""

import contextlib
import http.client
import json
import time
from collections.abc import Iterator

import pytest

from tests.support.gateway_world import World, running_world

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
ASK = {"model": "tiny-chat", "messages": []}
STATED = 10  # seconds, as docs/site.md says


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("streams")) as world:
        yield world


@pytest.mark.parametrize("reload", [True, False], ids=["and the gateway reloads", "and nothing reloads"])
@pytest.mark.parametrize("how", ["revoked", "taken out"])
def test_a_stream_is_cut_when_its_client_is(world: World, how: str, *, reload: bool) -> None:
    with stream(world, "dave") as cut, stream(world, "alice") as kept:
        if how == "revoked":
            world.gateway.revoke("mallory", "dave")
        else:
            world.gateway.take_out("dave")
        began = time.monotonic()
        if reload:
            world.gateway.reload()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            cut.read()
        assert time.monotonic() - began < STATED
        line = world.gateway.audit(cut.headers["X-Request-Id"])
        assert (line["status"], line["client"]) == (200, "dave")
        assert line["refusal"] == "this client was revoked, or may not ask any more"
        assert world.chat.cut == 1, "the model is told, and stops"
        answer = world.gateway.ask("dave", CHAT, ASK)
        assert answer.status == 403
        world.chat.go_on.set()
        assert kept.read().endswith(b"data: [DONE]\n\n")
    assert len(world.chat.arrived) == 2


@contextlib.contextmanager
def stream(world: World, client: str) -> Iterator[http.client.HTTPResponse]:
    """An answer that has begun."""
    with contextlib.closing(world.gateway.connect(client)) as connection:
        connection.request("POST", CHAT, json.dumps({**ASK, "stream": True}))
        answer = connection.getresponse()
        assert answer.readline() == b"data: first\n"
        yield answer
