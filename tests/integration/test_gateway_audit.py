"""Audit lines when it matters: a full disk, a killed gateway, clients who would fill the disk or steer a terminal."""

import contextlib
import errno
import itertools
import json
import string
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Answer
from tests.support.gateway_world import World, running_world
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
ASK = {"model": "tiny-chat", "messages": []}
PLAIN = (string.ascii_letters + string.digits + string.punctuation + " \n").encode()
STEERING = "\x1b[2J\x1b]0;title\x07\x9b31m"
FLOOD = 600


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("a gateway"), logs="256k") as world:
        yield world


def lines(world: World) -> list[dict[str, Any]]:
    """What the log has, but for what was torn when the disk was full."""
    found = []
    for text in world.gateway.log("audit.log").splitlines():
        try:
            found.append(json.loads(text))
        except ValueError:
            assert text.startswith('{"time"'), text
    return found


def line(world: World, answer: Answer, event: str = "accepted") -> dict[str, Any]:
    return world.gateway.audit(answer.headers["x-request-id"], event)


@contextmanager
def no_room(world: World) -> Iterator[None]:
    """The log's file system is full to the last byte, which begins a line."""
    fill(world.gateway.logs / "filler", bytes(4096))
    fill(world.gateway.logs / "audit.log", b'{"time"', b"x")
    yield
    (world.gateway.logs / "filler").unlink()


def fill(path: Path, *parts: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        for part in itertools.chain(parts, itertools.repeat(parts[-1])):
            try:
                file.write(part)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return


def test_a_request_has_a_line_before_and_one_after_the_model(world: World) -> None:
    answer = world.gateway.ask("alice", CHAT, ASK)
    before, after = line(world, answer), line(world, answer, "ended")
    assert (before["client"], before["model"], before["path"]) == ("alice", "tiny-chat", CHAT)
    assert {name: after[name] for name in before if name in after and name not in ("time", "event")} == {
        name: before[name] for name in before if name in after and name not in ("time", "event")
    }


def test_while_the_log_is_full_no_model_is_asked_and_all_mends_itself(world: World) -> None:
    asked, said = world.count(), len(world.gateway.journal)
    with no_room(world):
        answers = [world.gateway.ask("alice", CHAT, ASK) for _ in range(20)]
    assert {(answer.status, answer.headers["retry-after"]) for answer in answers} == {(503, "5")}
    assert "the audit log cannot be written" in json.loads(answers[0].body)["error"]["message"]
    assert world.count() == asked
    wait_for(lambda: b"audit.log cannot be written; requests are refused" in world.gateway.journal[said:], 20)
    assert world.gateway.journal[said:].count(b"\n") == 1
    answer = world.gateway.ask("alice", CHAT, ASK)
    assert answer.status == 200
    assert line(world, answer)["unwritten"] == 20
    wait_for(lambda: b"lines are written again; 20 requests have none" in world.gateway.journal[said:], 20)
    assert line(world, world.gateway.ask("alice", CHAT, ASK))["unwritten"] == 0


def test_a_site_may_serve_while_the_log_is_full_and_learns_how_many_lines_are_lost(world: World) -> None:
    world.gateway.configure(gateway_audit_full="serve")
    assert world.gateway.reload().returncode == 0
    asked = world.count()
    with no_room(world):
        assert {world.gateway.ask("alice", CHAT, ASK).status for _ in range(20)} == {200}
    assert world.count() == asked + 20
    assert line(world, world.gateway.ask("alice", CHAT, ASK))["unwritten"] == 20
    world.gateway.configure()
    assert world.gateway.reload().returncode == 0


def flood(world: World, count: int) -> None:
    """Requests without a certificate, with what would steer a terminal that shows them."""
    headers = f"Host: gateway\r\nReferer: {STEERING}\r\nUser-Agent: {STEERING}"
    targets = [CHAT, "/\x9b31m", f"{CHAT}?\x9b31m", "/\x1b[2J"]

    def one(number: int) -> int:
        return world.gateway.send(
            None, f"GET {targets[number % 4]} HTTP/1.1\r\n{headers}\r\n\r\n".encode("latin-1")
        ).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(count))) <= {400, 403}


def test_who_has_no_certificate_cannot_fill_the_disk_or_steer_a_terminal(world: World) -> None:
    before, size, said = len(lines(world)), len(world.gateway.log("audit.log")), len(world.gateway.journal)
    flood(world, FLOOD)
    written = line(world, world.gateway.ask("carol", CHAT, ASK), "ended")
    assert len(world.gateway.log("audit.log")) - size < 40_000
    wait_for(lambda: b"requests are refused too often to have lines" in world.gateway.journal[said:], 20)
    assert len(world.gateway.journal) - said < 1000
    new = lines(world)[before:]
    told = sum(entry["unlogged"] for entry in new if entry["event"] == "ended")
    assert written["event"] == "ended"
    assert len(new) - 1 + told == FLOOD, "each is a line or counted"
    for text in (world.gateway.log("audit.log").encode(), world.gateway.journal):
        assert not text.strip(PLAIN)


def test_a_client_cannot_have_the_journal_steer_a_terminal(world: World) -> None:
    """nginx writes of a request that fails what the client has sent, as it came."""
    place = world.gateway.folder / "run/appliance/vllm/tiny-chat/api.sock"
    place.rename(place.with_name("away"))
    said = len(world.gateway.journal)
    try:
        for target, referer in ((CHAT, STEERING), (f"{CHAT}?\x9b31m", ""), (f"{CHAT}?\xc2\x9b31m", "")):
            head = f"POST {target} HTTP/1.1\r\nHost: gateway\r\nReferer: {referer}\r\nContent-Length: 23\r\n\r\n"
            refused = world.gateway.send("alice", head.encode("latin-1") + b'{"model":  "tiny-chat"}')
            assert refused.status == 503
            assert line(world, refused, "ended")["path"] == CHAT
    finally:
        place.with_name("away").rename(place)
    assert world.gateway.journal[said:] == b""


def test_a_gateway_that_is_killed_leaves_the_line_of_what_a_model_was_given(world: World) -> None:
    """The last one: the gateway is gone."""
    world.chat.go_on.clear()
    with (
        contextlib.closing(world.gateway.connect("alice")) as connection,
        (world.gateway.logs / "audit.log").open() as log,
    ):
        connection.request("POST", CHAT, json.dumps({**ASK, "stream": True}))
        with contextlib.closing(connection.getresponse()) as answer:
            assert answer.readline() == b"data: first\n"
            world.gateway.nginx.kill()
            world.gateway.nginx.wait()
            (text,) = (text for text in log if answer.headers["X-Request-Id"] in text)
    assert json.loads(text)["event"] == "accepted"
    assert world.chat.arrived[-1].headers["x-request-id"] == json.loads(text)["id"]
