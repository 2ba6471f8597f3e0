"""What the gateway's nginx answers by itself: one form of JSON, whatever a client sends, and no failure of the site."""

import json
from collections.abc import Iterator

import pytest

from tests.support.gateway import answer_to
from tests.support.gateway_world import World, running_world

pytestmark = pytest.mark.integration

REST = b"\r\nHost: gateway\r\n\r\n"
LINES = {
    "get /v1/models HTTP/1.1": 400,
    " GET /v1/models HTTP/1.1": 400,
    "GET  HTTP/1.1": 400,
    "GET": 400,
    "G\0T /v1/models HTTP/1.1": 400,
    "GET /v1/models HTTP/1.1 HTTP/1.1": 400,
    "GET http:// HTTP/1.1": 400,
    "GET /%zz HTTP/1.1": 400,
    "GET /%00 HTTP/1.1": 400,
    "GET /../v1/models HTTP/1.1": 400,
    "OPTIONS * HTTP/1.1": 400,
    "CONNECT gateway:443 HTTP/1.1": 400,
    "PRI * HTTP/2.0": 400,
    "GET /v1/models HTTP/2.0": 400,
    "GET /v1/models HTTP/11": 400,
    "\x16\x03\x01": 400,
    f"GET /{'a' * 9000} HTTP/1.1": 414,
    "TRACE /v1/models HTTP/1.1": 405,
    "GET /refused HTTP/1.1": 404,
    "GET /failed HTTP/1.1": 404,
    "GET /listed HTTP/1.1": 404,
    "GET /health/tiny-chat HTTP/1.1": 404,
    "GET /upstream/tiny-chat/v1/completions HTTP/1.1": 404,
}
HEADERS = {
    "": 400,
    "Host: a\r\nHost: b": 400,
    "Host: /": 400,
    "Host: a\r\nNo colon": 400,
    f"Host: a\r\nLong: {'a' * 9000}": 400,
    "Host: a\r\nTransfer-Encoding: gzip": 400,
    "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3": 400,
    "Host: a\r\nContent-Length: 3\r\nContent-Length: 3": 400,
    "Host: a\r\nContent-Length: -1": 400,
    "Host: a\r\nContent-Length: 99999999999": 413,
    "Host: a\r\nIf-Match: b": 412,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("answers")) as world:
        yield world


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_nobody_should_send_is_refused_in_json(world: World, line: str) -> None:
    status = LINES[line]
    assert refusal(world, "alice", line.encode("latin-1") + REST) == status
    # What can be read at all is refused for want of a certificate.
    assert refusal(world, None, line.encode("latin-1") + REST) == (403 if status == 404 else status)


@pytest.mark.parametrize("headers", HEADERS)
def test_headers_that_nobody_should_send_are_refused_in_json(world: World, headers: str) -> None:
    data = f"GET /v1/models HTTP/1.1\r\n{headers}\r\n\r\n".encode()
    assert refusal(world, "alice", data) == HEADERS[headers]
    assert refusal(world, None, data) in (HEADERS[headers], 403)


def test_who_speaks_no_tls_is_told(world: World) -> None:
    with world.gateway.plain() as plain:
        answer = answer_to(plain, b"GET /v1/models HTTP/1.1" + REST)
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["message"] == "this port speaks TLS"


def refusal(world: World, client: str | None, data: bytes) -> int:
    """The status with which ``data`` is refused, in the gateway's form; it reaches no model."""
    before = world.count()
    answer = world.gateway.send(client, data)
    assert answer.headers["content-type"] == "application/json"
    error = json.loads(answer.body)["error"]
    assert (error["type"], error["code"], error["message"] != "") == ("gateway", str(answer.status), True)
    assert error["request_id"] == answer.headers["x-request-id"]
    assert world.count() == before
    return answer.status
