"""Models and adapters by name at the gateway: each client gets those that it may use, and learns of no other."""

import contextlib
import http.client
import json
from collections.abc import Iterator

import pytest

from tests.support.gateway_world import World, running_world
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

CHAT = "/v1/chat/completions"
UNKNOWN = "model: not served here, or not on this path"
# alice may use every model of her role, counsel tiny-legal alone, clerk tiny-chat and tiny.medical.
MAY = {
    "alice": {"tiny-chat"},
    "counsel": {"tiny-legal"},
    "clerk": {"tiny-chat", "tiny.medical"},
    "bob": {"mini-lm.v2"},
}


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("a gateway")) as world:
        yield world


def body(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "x"}]}


def test_each_client_gets_what_it_may_use_and_nothing_else(world: World) -> None:
    for client in ("alice", "counsel", "clerk"):
        for model in ("tiny-chat", "tiny-legal", "tiny.medical"):
            before = world.count()
            answer = world.gateway.ask(client, CHAT, body(model))
            line = world.gateway.audit(answer.headers["x-request-id"])
            if model in MAY[client]:
                assert (answer.status, world.count()) == (200, before + 1), (client, model)
                assert world.chat.arrived[-1].body["model"] == model
                assert world.chat.arrived[-1].target == CHAT
            else:
                assert (answer.status, world.count()) == (404, before), (client, model)
                assert json.loads(answer.body)["error"]["message"].startswith(UNKNOWN)
            # Whoever reads the lines sees what was asked for in vain.
            assert (line["client"], line["model"], line["status"]) == (client, model, answer.status)


def test_a_name_that_is_not_for_a_client_looks_like_one_that_is_not_there(world: World) -> None:
    hidden, absent = (world.gateway.ask("alice", CHAT, body(name)) for name in ("tiny-legal", "tiny-absent"))
    texts = [json.loads(answer.body)["error"] for answer in (hidden, absent)]
    for text in texts:
        text.pop("request_id")
    assert texts[0] == texts[1]
    assert hidden.headers.keys() == absent.headers.keys()


def test_what_a_body_demands_is_told_to_those_alone_who_may_use_the_name(world: World) -> None:
    asked = {**body("tiny-legal"), "structured_outputs": {"regex": "(a+)+"}}
    assert [world.gateway.ask(client, CHAT, asked).status for client in ("counsel", "alice")] == [400, 404]
    world.gateway.take_out("counsel", end=' tiny-legal" 1;')
    assert world.gateway.ask("counsel", CHAT, asked).status == 403
    assert world.count() == 0


def test_the_list_has_what_the_client_may_use(world: World) -> None:
    for client, names in MAY.items():
        answer = world.gateway.ask(client, "/v1/models")
        listed = json.loads(answer.body)
        assert listed["object"] == "list"
        assert {model["id"] for model in listed["data"]} == names
        assert {model["object"] for model in listed["data"]} == {"model"}
        assert world.gateway.audit(answer.headers["x-request-id"])["model"] == ""


@pytest.mark.parametrize(
    "text",
    [
        '{"model":"tiny-legal","model":"tiny-chat"}',
        '{"model":"tiny-chat","model":"tiny-legal"}',
        '{"model":"tiny-chat","messages":[],"\\u006dodel":"tiny-legal"}',
        '{"\\u006d\\u006F\\u0064\\u0065\\u006c" : "tiny-legal", "model":"tiny-chat"}',
        '{"model":"tiny-chat","a":{"model":1},"model" \n:"tiny-legal"}',
        '{"model":"tiny-chat","a":"\\\\\\"","model":"tiny-legal"}',
        '{"model":"tiny-chat","model 1":"","model":"tiny-legal"}',
        '{"model":"tiny-chat","a":[' + ",".join(['"model"'] * 10000) + "]}",
    ],
)
def test_a_second_name_in_a_body_is_refused(world: World, text: str) -> None:
    """What reads the body behind the gateway could take the other one, which is an adapter of the same engine."""
    answer = world.gateway.ask("alice", CHAT, text.encode())
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["message"].startswith("model: named more than once")
    assert world.count() == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"model":"tiny-chat","tools":[{"properties":{"model":{"type":"string"}}}]}',
        '{"model":"tiny-chat","messages":[{"content":"\\"model\\": x \\\\"}],"a":{"b":{"model":"tiny-legal"}}}',
        '{"a":[{"model":1},{"model":"}"}],"model":"tiny-chat"}',
        '{"a":"model","model":"tiny-chat","b":"model","c":{"\\u006dode":"äöü \\u00e4 { ["}}',
    ],
)
def test_the_same_word_elsewhere_in_a_body_is_nobodys_affair(world: World, text: str) -> None:
    answer = world.gateway.ask("alice", CHAT, text.encode())
    assert answer.status == 200, answer.body
    assert world.chat.arrived[-1].body == json.loads(text)


@pytest.mark.parametrize("text", ['{"__proto__":{"model":"tiny-legal"}}', '{"a":{"model":"tiny-legal"}}'])
def test_a_model_that_only_the_gateway_would_find_is_none(world: World, text: str) -> None:
    answer = world.gateway.ask("counsel", CHAT, text.encode())
    assert (answer.status, world.count()) == (400, 0)
    assert "model: missing" in json.loads(answer.body)["error"]["message"]


def test_an_adapter_is_ready_when_its_model_is(world: World) -> None:
    world.gateway.ready("tiny-chat", now=False)
    answer = world.gateway.ask("counsel", CHAT, body("tiny-legal"))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    world.gateway.ready("tiny-chat")
    world.chat.status = 500
    assert world.gateway.ask("counsel", CHAT, body("tiny-legal")).status == 500
    world.chat.healthy = False
    assert world.gateway.ask("counsel", CHAT, body("tiny-legal")).status == 503


def test_an_answer_is_cut_when_its_client_loses_the_adapter(world: World) -> None:
    with contextlib.closing(world.gateway.connect("counsel")) as connection:
        connection.request("POST", CHAT, json.dumps({**body("tiny-legal"), "stream": True}))
        answer = connection.getresponse()
        assert answer.readline() == b"data: first\n"
        world.gateway.take_out("counsel", end=' tiny-legal" 1;')
        wait_for(lambda: world.chat.cut == 1, 30)  # the model is told, and stops
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    assert world.gateway.ask("counsel", CHAT, body("tiny-legal")).status == 403


def test_the_counters_tell_adapters_apart(world: World) -> None:
    assert world.gateway.ask("counsel", CHAT, body("tiny-legal")).status == 200
    _, text = world.gateway.counters("watcher")
    assert 'requests_total{client="counsel",model="tiny-legal",status="200"} 1' in text
