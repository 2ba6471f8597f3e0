"""How a file's size is found out where the index does not tell it."""

from collections.abc import Callable

import httpx2
import pytest

from appliance.errors import BadInput
from appliance.tools import http

URL = "https://wheels.example/a-1-py3-none-any.whl"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Has requests answered in turn; the list it returns tells their methods."""
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.0)

    def answer(*answers: httpx2.Response | Exception) -> list[str]:
        left, methods = list(answers), []

        def handle(request: httpx2.Request) -> httpx2.Response:
            methods.append(request.method)
            following = left.pop(0)
            if isinstance(following, Exception):
                raise following
            return following

        monkeypatch.setattr(http, "client", lambda: httpx2.Client(transport=httpx2.MockTransport(handle)))
        return methods

    return answer


def told(status: int, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers={key.replace("_", "-"): value for key, value in headers.items()})


def test_no_body_is_asked_for(answering: Callable[..., list[str]]) -> None:
    methods = answering(told(200, content_length="123"))
    assert http.sizes([URL, URL], print) == {URL: 123}
    assert methods == ["HEAD"]


def test_a_server_without_head_is_asked_for_one_byte(answering: Callable[..., list[str]]) -> None:
    methods = answering(told(405), told(206, content_range="bytes 0-0/123", content_length="1"))
    assert http.sizes([URL], print) == {URL: 123}
    assert methods == ["HEAD", "GET"]


@pytest.mark.parametrize("first", [told(503, content_length="0"), httpx2.ConnectError("refused")], ids=["503", "line"])
def test_a_passing_trouble_is_waited_out(
    first: httpx2.Response | Exception, answering: Callable[..., list[str]]
) -> None:
    answering(first, told(200, content_length="123"))
    assert http.sizes([URL], print) == {URL: 123}


@pytest.mark.parametrize(
    ("answers", "reference"),
    [
        ([told(404, content_length="9")], "source-gone"),
        ([httpx2.ConnectError("refused")] * 5, "source-unreachable"),
        ([told(200), told(200)], "source-refused"),
    ],
    ids=["not there", "unreachable", "not told"],
)
def test_what_is_not_told_is_an_error(
    answers: list[httpx2.Response | Exception], reference: str, answering: Callable[..., list[str]]
) -> None:
    answering(*answers)
    with pytest.raises(BadInput) as caught:
        http.sizes([URL], print)
    assert (caught.value.reference, caught.value.where) == (reference, URL)


def test_every_wait_that_a_person_would_notice_is_said(answering: Callable[..., list[str]]) -> None:
    answering(told(429, Retry_After="1", content_length="0"), told(200, content_length="123"))
    said: list[str] = []
    assert http.sizes([URL], said.append) == {URL: 123}
    assert said == [f"the source answered HTTP 429: asking again in 1 s, 4 more times: {URL}"]
