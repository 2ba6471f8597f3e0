"""The gateway's nginx with a real configuration: what it lets through, what it refuses, and what it writes down."""

import contextlib
import json
import ssl
from collections.abc import Iterator

import pytest

from tests.support.gateway import fingerprint
from tests.support.gateway_world import World, running_world

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
EMBED = "/v1/embeddings"
PROMPT = "what nobody else may read"
ASK = {"model": "tiny-chat", "messages": [{"role": "user", "content": PROMPT}]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("a gateway")) as world:
        yield world


def test_a_request_reaches_the_model_that_its_body_names(world: World) -> None:
    answer = world.gateway.ask("alice", CHAT, ASK)
    assert (answer.status, answer.body) == (200, b'{"answer":"secret answer"}')
    arrived = world.chat.arrived[-1]
    assert (arrived.method, arrived.target, arrived.body) == ("POST", CHAT, ASK)

    answer = world.gateway.ask("bob", f"{EMBED}?trace=1", {"model": "mini-lm.v2", "input": "x"})
    assert answer.status == 200
    assert world.embedding.arrived[-1].target == EMBED


def test_of_the_clients_headers_nothing_goes_on(world: World) -> None:
    sent = [("X-Request-Id", "chosen"), ("X-Role", "admin"), ("Authorization", "Bearer x"), ("X-Forwarded-For", "::1")]
    answer = world.gateway.ask("alice", CHAT, ASK, headers=sent)
    headers = world.chat.arrived[-1].headers
    assert headers.keys() == {"host", "content-type", "content-length", "x-request-id"}
    assert headers["x-request-id"] == answer.headers["x-request-id"] != "chosen"


def test_a_streamed_answer_arrives_while_it_is_made(world: World) -> None:
    connection = world.gateway.connect("alice")
    connection.request("POST", CHAT, json.dumps({**ASK, "stream": True}))
    answer = connection.getresponse()
    assert answer.readline() == b"data: first\n"  # the model waits until this was read
    world.chat.go_on.set()
    assert b"[DONE]" in answer.read()
    connection.close()


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (None, "no client certificate"),
        ("mallory", "client certificate refused: FAILED:certificate revoked"),
        ("eve", "client certificate refused: FAILED:"),
        ("server", "client certificate refused: FAILED:"),
        ("carol", "this certificate has no role that may do this"),
        ("bob", "this certificate has no role that may do this"),
    ],
)
def test_who_may_not_is_refused_and_written_down(world: World, client: str | None, reason: str) -> None:
    before = world.count()
    answer = world.gateway.ask(client, CHAT, ASK)
    assert answer.status == 403
    assert json.loads(answer.body)["error"]["message"].startswith(reason)
    line = world.gateway.audit(answer.headers["x-request-id"])
    assert line["status"] == 403
    assert line["refusal"].startswith(reason)
    if client is not None:
        assert line["fingerprint"] == fingerprint(world.gateway.clients[client]).replace(":", "").lower()
        assert line["subject"].startswith("CN=")
    assert world.count() == before


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/metrics",
        "/health",
        "/version",
        "/tokenize",
        "/invocations",
        "/v1/responses",
        "/v1/models/",
        "/v1/models/tiny-chat",
        "//v1/models",
        "/v1//models",
        "/v1/%6dodels",
        "/v1%2fmodels",
        "/metrics/../v1/models",
        "/v1/models/../../metrics",
        "/v1/./models",
        "/V1/models",
        "http://gateway/metrics",
        "/upstream/tiny-chat/v1/chat/completions",
        "/upstream/tiny-chat/metrics",
    ],
)
def test_only_the_paths_that_are_listed_exist_in_one_spelling(world: World, target: str) -> None:
    before = world.count()
    for method, body in (("GET", None), ("POST", ASK)):
        answer = world.gateway.ask("alice", target, body, method=method)
        assert answer.status == 404, answer
    assert world.count() == before


@pytest.mark.parametrize(
    ("target", "body", "status", "reason"),
    [
        (CHAT, b"no json", 400, "the body is not a JSON document"),
        (CHAT, b'{"model":"tiny-chat","deep":' + b"[" * 31 + b"]" * 31 + b"}", 400, "has more than 31 levels"),
        (CHAT, b"null", 400, "model: missing"),
        (CHAT, {"model": ["tiny-chat"]}, 400, "model: missing"),
        (CHAT, {"model": "TINY-CHAT"}, 404, "model: not served here"),
        (CHAT, {"model": "__proto__"}, 404, "model: not served here"),
        (CHAT, {"model": "tiny-chat/../mini-lm.v2"}, 404, "model: not served here"),
        (CHAT, {"model": "mini-lm.v2"}, 404, "model: not served here"),
        (CHAT, {**ASK, "padding": "x" * 1024 * 1024}, 413, "the body is larger than 1 MiB"),
        (EMBED, {"model": "mini-lm.v2", "input": "x"}, 403, "this certificate has no role"),
    ],
)
def test_bodies_that_no_model_gets(world: World, target: str, body: object, status: int, reason: str) -> None:
    before = world.count()
    answer = world.gateway.ask("alice", target, body)
    assert answer.status == status
    assert reason in json.loads(answer.body)["error"]["message"]
    assert world.count() == before
    line = world.gateway.audit(answer.headers["x-request-id"])
    assert (line["method"], line["model"]) == ("POST", "")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(world: World, method: str) -> None:
    before = world.count()
    assert world.gateway.ask("alice", CHAT, ASK, method=method).status == 405
    assert world.count() == before


def test_two_lengths_of_one_body_are_refused(world: World) -> None:
    before = world.count()
    answer = world.gateway.ask("alice", CHAT, ASK, headers=[("Transfer-Encoding", "chunked")])
    assert answer.status == 400
    assert world.count() == before


def test_clients_see_the_models_that_they_may_use(world: World) -> None:
    def models(client: str) -> list[str]:
        answer = world.gateway.ask(client, "/v1/models")
        return [model["id"] for model in json.loads(answer.body)["data"]]

    assert models("alice") == ["tiny-chat"]
    assert models("bob") == ["mini-lm.v2"]
    assert world.gateway.ask("carol", "/v1/models").status == 403


def test_one_client_cannot_take_all_places(world: World) -> None:
    world.chat.go_on.clear()
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(contextlib.closing(world.gateway.connect("dave")))
            connection.request("POST", CHAT, json.dumps({**ASK, "stream": True}))
            assert connection.getresponse().readline() == b"data: first\n"
        answer = world.gateway.ask("dave", CHAT, ASK)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert world.gateway.ask("alice", CHAT, ASK).status == 200  # others do not notice
        world.chat.go_on.set()


def test_one_client_cannot_ask_without_pause(world: World) -> None:
    connection = world.gateway.connect("bob")
    statuses = []
    for _ in range(200):
        connection.request("GET", "/v1/models")
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert set(statuses) == {200, 429}


def test_an_audit_line_says_who_what_and_how_long_and_not_what_was_said(world: World) -> None:
    answer = world.gateway.ask("alice", f"{CHAT}?{PROMPT.split(maxsplit=1)[0]}=1", ASK)
    line = world.gateway.audit(answer.headers["x-request-id"])
    assert (line["client"], line["method"], line["path"], line["model"]) == ("alice", "POST", CHAT, "tiny-chat")
    assert (line["status"], line["refusal"], line["upstream_status"], line["tls"]) == (200, "", "200", "TLSv1.3")
    assert line["subject"] == "CN=alice,OU=client,O=site"
    assert line["bytes_in"] > len(json.dumps(ASK))
    assert line["seconds"] >= 0
    for text in (world.gateway.log("audit.log").encode(), world.gateway.journal):
        assert b"nobody else" not in text
        assert b"secret answer" not in text


def test_a_model_that_is_down_is_told_from_a_refusal(world: World) -> None:
    place = world.gateway.folder / "run/appliance/vllm/tiny-chat/api.sock"
    place.rename(place.with_name("away"))
    answer = world.gateway.ask("alice", CHAT, ASK)
    place.with_name("away").rename(place)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "the model is not ready" in json.loads(answer.body)["error"]["message"]
    line = world.gateway.audit(answer.headers["x-request-id"])
    assert (line["status"], line["method"], line["model"]) == (503, "POST", "tiny-chat")
    assert line["refusal"].startswith("the model is not ready")


def test_nobody_is_sent_to_a_model_that_is_not_ready(world: World) -> None:
    before = world.count()
    world.gateway.ready("tiny-chat", now=False)
    answer = world.gateway.ask("alice", CHAT, ASK)
    listed = world.gateway.ask("alice", "/v1/models")
    other = world.gateway.ask("bob", EMBED, {"model": "mini-lm.v2", "input": "x"})
    world.gateway.ready("tiny-chat")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert json.loads(answer.body)["error"]["message"].startswith("the model is not ready")
    assert b'"tiny-chat"' in listed.body
    assert other.status == 200
    assert world.count() == before + 1
    line = world.gateway.audit(answer.headers["x-request-id"])
    assert (line["status"], line["model"], line["upstream_status"]) == (503, "tiny-chat", "")


@pytest.mark.parametrize(
    ("status", "state", "seen", "reason"),
    [
        (500, "goes down", 503, "the model is not ready"),
        (500, "engine is dead", 503, "the model is not ready"),
        (500, "", 500, "the model failed"),
        (503, "", 503, "the model's queue is full"),
    ],
)
def test_failures_of_a_model_are_told_in_the_gateways_form(
    world: World, status: int, state: str, seen: int, reason: str
) -> None:
    world.chat.status = status
    world.chat.healthy = state != "engine is dead"
    if state == "goes down":
        world.chat.before_answer = lambda: world.gateway.ready("tiny-chat", now=False)
    answer = world.gateway.ask("alice", CHAT, ASK)
    world.chat.status = 200
    world.chat.before_answer = None
    world.chat.healthy = True
    world.gateway.ready("tiny-chat")
    assert answer.status == seen
    assert json.loads(answer.body)["error"]["message"].startswith(reason)
    assert ("retry-after" in answer.headers) == (seen == 503)
    line = world.gateway.audit(answer.headers["x-request-id"])
    assert (line["status"], line["upstream_status"], line["refusal"][: len(reason)]) == (seen, str(status), reason)


def test_what_a_model_refuses_is_its_own_affair(world: World) -> None:
    world.chat.status = 400
    answer = world.gateway.ask("alice", CHAT, ASK)
    world.chat.status = 200
    assert (answer.status, answer.body) == (400, b'{"answer":"secret answer"}')
    assert world.gateway.audit(answer.headers["x-request-id"])["refusal"] == ""


def test_a_model_that_ends_before_it_answers_is_not_ready(world: World) -> None:
    world.chat.hangs_up = True
    answer = world.gateway.ask("alice", CHAT, ASK)
    world.chat.hangs_up = False
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert json.loads(answer.body)["error"]["code"] == "503"


def test_tls_is_13_and_sessions_are_not_resumed(world: World) -> None:
    context = world.gateway.context("alice")
    with world.gateway.handshake(context) as first:
        first.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert first.recv(1000).startswith(b"HTTP/1.1 200")
        assert first.version() == "TLSv1.3"
        session = first.session
    with world.gateway.handshake(context, session) as second:
        assert not second.session_reused
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="protocol version"):
        world.gateway.handshake(context)


def test_a_new_revocation_list_counts_after_a_reload(world: World) -> None:
    assert world.gateway.ask("dave", "/v1/models").status == 200
    world.gateway.revoke("mallory", "dave")
    assert world.gateway.reload().returncode == 0
    answer = world.gateway.ask("dave", "/v1/models")
    assert answer.status == 403
