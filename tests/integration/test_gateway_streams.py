"""A client that may no longer ask gets no more of an answer that is on its way; others notice nothing."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.gateway_world import World, running_world
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
ASK = {"model": "tiny-chat", "messages": []}
STATED = 10  # seconds, as docs/site/gateway.md says
PAUSE = 1.5  # seconds, more than gateway.js lets pass between two looks


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("streams")) as world:
        yield world


def revoke(world: World) -> None:
    world.gateway.revoke("mallory", "dave")


def revoke_in_lines_of_another_system(world: World) -> None:
    world.gateway.revoke("mallory", "dave")
    lists = world.gateway.folder / "etc/appliance/tls/crl.pem"
    lists.write_bytes(lists.read_bytes().replace(b"\n", b"\r\n"))


def revoke_many(world: World) -> None:
    """A long list, with the client at its end; that of the other authority has the same numbers as good ones."""
    numbers = {name: pair.certificate.serial_number for name, pair in world.gateway.clients.items()}
    world.gateway.revoke_numbers([*range(1, 5000), 2**158, numbers["dave"]], [numbers["alice"]])


def take_out(world: World) -> None:
    world.gateway.take_out("dave")


def take_the_role(world: World) -> None:
    world.gateway.take_out("dave", end=" 1;")


@pytest.mark.parametrize(
    ("change", "reload"),
    [
        (revoke, True),
        (revoke, False),
        (revoke_in_lines_of_another_system, False),
        (revoke_many, False),
        (take_out, True),
        (take_the_role, False),
    ],
)
def test_a_stream_is_cut_when_its_client_is(world: World, change: Callable[[World], None], *, reload: bool) -> None:
    with stream(world, "dave") as cut, stream(world, "alice") as kept:
        change(world)
        began = time.monotonic()
        if reload:
            assert world.gateway.reload().returncode == 0
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            read_until(began + STATED, cut)
        assert time.monotonic() - began < STATED
        line = world.gateway.audit(cut.headers["X-Request-Id"])
        assert (line["status"], line["client"]) == (200, "dave")
        assert line["refusal"] == "this client was revoked, or may no longer ask"
        wait_for(lambda: world.chat.cut == 1)  # the model is told, and stops
        assert world.gateway.ask("dave", CHAT, ASK).status == 403
        world.chat.go_on.set()
        assert kept.read().endswith(b"data: [DONE]\n\n")
    assert len(world.chat.arrived) == 2
    assert world.gateway.ask("alice", CHAT, ASK).status == 200


def test_an_answer_that_was_long_in_coming_is_not_for_a_client_revoked_meanwhile(world: World) -> None:
    world.chat.hangs = True
    with contextlib.closing(world.gateway.connect("dave")) as connection:
        connection.request("POST", CHAT, json.dumps(ASK))
        wait_for(lambda: bool(world.chat.arrived))
        revoke(world)
        time.sleep(PAUSE)  # nothing tells when a look has become too old
        world.chat.go_on.set()
        with pytest.raises((http.client.IncompleteRead, http.client.RemoteDisconnected, ConnectionResetError)):
            connection.getresponse().read()
    line = world.gateway.audit(world.chat.arrived[0].headers["x-request-id"])
    assert line["refusal"] == "this client was revoked, or may no longer ask"


def test_a_revocation_list_that_cannot_be_read_tells_nothing_new(world: World) -> None:
    with stream(world, "alice") as kept:
        (world.gateway.folder / "etc/appliance/tls/crl.pem").write_text("-----BEGIN X509 CRL-----\nMIIB\n-----END")
        wait_for(lambda: b"who may ask is not known" in world.gateway.journal)
        world.chat.go_on.set()
        assert kept.read().endswith(b"data: [DONE]\n\n")


@contextlib.contextmanager
def stream(world: World, client: str) -> Iterator[http.client.HTTPResponse]:
    """An answer that has begun."""
    with contextlib.closing(world.gateway.connect(client)) as connection:
        connection.request("POST", CHAT, json.dumps({**ASK, "stream": True}))
        answer = connection.getresponse()
        assert answer.readline() == b"data: first\n"
        yield answer


def read_until(deadline: float, answer: http.client.HTTPResponse) -> None:
    """Part by part: an answer that is not cut has no end."""
    while time.monotonic() < deadline:
        answer.read1()
