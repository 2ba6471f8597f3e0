"""Thousands of requests that are nearly right, through the real nginx; what its models receive is the witness."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from tests.conftest import SUMMARY
from tests.support.gateway import Gateway, gateway_root, make_gateway, running
from tests.support.http_answers import Talk, talk
from tests.support.mutated_requests import CHAT, COMPLETIONS, EMBEDDINGS, mutated
from tests.support.processes import below
from tests.support.recording_model import RecordingModel, recording_model

pytestmark = pytest.mark.integration

SEED = 9
REQUESTS = 5000
AT_ONCE = 16
EVENTS = ("ended", "accepted")
CLIENTS = ("alice", "alice", "bob", "bob", "carol", "mallory", "nobody")
RIGHTS = {"alice": {(CHAT, "tiny-chat"), (COMPLETIONS, "tiny-chat")}, "bob": {(EMBEDDINGS, "mini-lm.v2")}}
LAST = b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
FREE = {"gateway_requests_per_second": 1_000_000, "gateway_burst": 1_000_000, "gateway_concurrency": 10_000}


@dataclass
class Fuzzed:
    """What was sent and answered on each connection, and what the models and the gateway have written down."""

    gateway: Gateway
    talks: list[tuple[str, bytes, Talk]]
    models: dict[str, RecordingModel]
    audit: dict[str, dict[str, Any]]
    accepted: set[str]
    processes: tuple[set[int], set[int]]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    folder = tmp_path_factory.mktemp("fuzzed")
    gateway = make_gateway(folder, **FREE)
    sockets = folder / "run/appliance/vllm"
    with (
        recording_model(sockets / "tiny-chat") as chat,
        recording_model(sockets / "mini-lm.v2") as embedding,
        running(gateway, gateway_root()),
    ):
        for name in ("tiny-chat", "mini-lm.v2"):
            gateway.ready(name)
        before = _processes(gateway)
        talks = _fuzz(gateway, Random(SEED))  # noqa: S311 - not for secrets
        last = gateway.ask("alice", CHAT, {"model": "tiny-chat"})
        assert last.status == 200
        gateway.audit(last.headers["x-request-id"])
        # Whatever was sent, each line is JSON in printable ASCII.
        written = (gateway.logs / "audit.log").read_bytes()
        assert re.fullmatch(rb"[ -~\n]+", written)
        # An empty one comes of a line that a worker saw half written by another.
        lines = [json.loads(line) for line in written.splitlines() if line]
        after = _processes(gateway)
        models = {"tiny-chat": chat, "mini-lm.v2": embedding}
        ended, accepted = ({line["id"]: line for line in lines if line["event"] == event} for event in EVENTS)
        yield Fuzzed(gateway, talks, models, ended, set(accepted), (before, after))


def _fuzz(gateway: Gateway, random: Random) -> list[tuple[str, bytes, Talk]]:
    """Connections with one request or several, and a good one at the end."""
    contexts = {name: gateway.context(None if name == "nobody" else name) for name in set(CLIENTS)}

    def one(given: tuple[str, bytes]) -> tuple[str, bytes, Talk]:
        client, data = given
        with gateway.handshake(contexts[client]) as link:
            return client, data, talk(link, data + LAST)

    connections = []
    number = 0
    while number < REQUESTS:
        client = random.choice(CLIENTS)
        count = min(random.choice((1, 1, 1, 1, 2, 4)), REQUESTS - number)
        connections.append((client, b"".join(mutated(random, client, number + place) for place in range(count))))
        number += count
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, connections))


def _processes(gateway: Gateway) -> set[int]:
    return {process.number for process in below(gateway.nginx.pid)}


def test_no_request_without_right_reaches_a_model(
    fuzzed: Fuzzed, record_property: Callable[[str, object], None]
) -> None:
    reached = Counter[str]()
    for model, recorded in fuzzed.models.items():
        assert recorded.strange == []
        for request in recorded.received[: -1 if model == "tiny-chat" else None]:  # the last one is ours
            line = fuzzed.audit[request.id]
            assert request.id in fuzzed.accepted
            assert (request.path, model) in RIGHTS[line["client"]], request
            assert (line["path"], line["model"], line["status"]) == (request.path, model, 200), request
            # The gateway may be wrong about who it was, the body is not: a tag that is whole names its sender.
            assert set(re.findall(rb'"(alice|bob|carol|mallory|nobody)-\d+"', request.body)) <= {
                line["client"].encode()
            }, request
            reached[line["client"]] += 1
    assert min(reached["alice"], reached["bob"]) > REQUESTS / 100, "too few are good enough to reach a model at all"
    forwarded = [line for line in fuzzed.audit.values() if line["upstream_status"]]
    assert len(forwarded) == sum(len(model.received) for model in fuzzed.models.values())
    statuses = Counter(reply.status for _, _, answered in fuzzed.talks for reply in answered.replies)
    record_property(SUMMARY, f"{REQUESTS} mutated requests, seed {SEED}: reached {dict(reached)}, answers {statuses}")


def test_every_answer_is_well_formed_and_no_client_makes_the_site_fail(fuzzed: Fuzzed) -> None:
    for client, data, answered in fuzzed.talks:
        assert answered.replies or not answered.closed or answered.rest, (client, data)
        if answered.rest:  # HTTP/0.9 has bodies alone
            assert json.loads(answered.rest), (client, data, answered.rest)
        for reply in answered.replies:
            assert reply.status in {100, 200, 400, 403, 404, 405, 412, 413, 414}, (client, data, reply)
            if reply.status >= 400 and reply.body:
                error = json.loads(reply.body)["error"]
                assert (error["type"], error["code"]) == ("gateway", str(reply.status)), (client, data, reply)


def test_the_gateway_lives_on_and_has_written_down_what_it_answered(fuzzed: Fuzzed) -> None:
    before, after = fuzzed.processes
    assert before <= after
    log = fuzzed.gateway.journal
    assert re.fullmatch(rb"[ -~\n]*", log)
    assert not re.search(rb"\[(alert|crit|emerg)\]|js exception|exited on signal", log), log
    answered = [reply for _, _, talk in fuzzed.talks for reply in talk.replies if reply.status != 100]
    lines = [fuzzed.audit.get(reply.headers["x-request-id"]) for reply in answered]
    assert all(line is None or line["status"] == reply.status for line, reply in zip(lines, answered, strict=True))
    # More are counted: some answers have no head with an id, or nobody waited for them.
    assert lines.count(None) <= sum(line["unlogged"] for line in fuzzed.audit.values()) < REQUESTS
