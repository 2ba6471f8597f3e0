"""The program that renders one hostile chat template; ``chat_template`` starts it, alone and within limits.

    python -I template_renderer.py REQUEST.json

It runs in a process of its own and imports nothing of ours.  Before it touches the template it gives up what it does
not need: CPU time, memory, files that it could write and, unless it is root, processes that it could start.  The
environment is that of transformers (``ImmutableSandboxedEnvironment``, blocks trimmed, ``loopcontrols``,
``generation``, ``tojson``, ``raise_exception``, ``strftime_now``:
https://huggingface.co/docs/transformers/chat_templating_writing), which vLLM uses too.  The clock stands still and dice
fall alike, so that the same template gives the same text.

REQUEST.json: ``template``; ``tokens``, the special tokens by their role; ``conversations``, a list of what a template
is given; ``limits`` (``cpu`` in seconds, ``memory`` in bytes, ``characters`` of all texts).
Standard output: ``texts``, what came of each conversation; ``failed``, why nothing came of it, or empty, which no text
can say; ``words``, texts that stand in the template and are no error messages; ``clock``, whether it asks what day it
is; ``chance``, whether it may throw dice; or ``unsafe``, why it must not be used, with
``leaves`` where it has only tried to leave the sandbox.
Exit codes: 0 there is an answer, others: there is none.
"""

import json
import random
import resource
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_TODAY = datetime(2000, 1, 2, 3, 4, 5, tzinfo=UTC)
_LONGEST_WORDS = 2000  # characters of one text of the template that are told


class _Generation(Extension):
    """``{% generation %}``: marks what a model says, for training; here it is what it encloses."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _TooMuch(Exception):
    """The template wrote more than it may."""


def main(path: str) -> None:
    """Render what ``path`` asks for."""
    request = json.loads(Path(path).read_bytes())
    limits = request["limits"]
    _give_up(limits["cpu"], limits["memory"])
    try:
        answer = _answer(request, limits["characters"])
    except jinja2.exceptions.SecurityError as error:
        answer = {"unsafe": f"reaches for what the sandbox does not give: {error}"[:300], "leaves": True}
    except _TooMuch:
        answer = {"unsafe": f"writes more than {limits['characters']} characters"}
    except OverflowError:
        answer = {"unsafe": "counts further than the sandbox lets it"}
    except MemoryError:
        answer = {"unsafe": f"needs more than {limits['memory']} bytes of memory"}
    except RecursionError:
        answer = {"unsafe": "calls itself without an end"}
    sys.stdout.write(json.dumps(answer))


def _give_up(cpu: int, memory: int) -> None:
    for what, most in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _answer(request: Mapping[str, Any], characters: int) -> dict[str, Any]:
    environment = _environment()
    many = len(request["conversations"])
    try:
        tree = environment.parse(request["template"])
        template = environment.from_string(request["template"])
    except jinja2.TemplateError as error:
        return {"texts": [""] * many, "failed": [_why(error)] * many}
    texts, failed = [], []
    for conversation in request["conversations"]:
        random.seed(0)
        text, problem = _rendered(template, {**request["tokens"], **conversation}, characters)
        characters -= len(text)
        texts.append(text)
        failed.append(problem)
    return {
        "texts": texts,
        "failed": failed,
        "words": list(dict.fromkeys(_words(tree))),
        "clock": "strftime_now" in _names(tree),
        "chance": "lipsum" in _names(tree) or any(map(_may_be_random, tree.find_all(nodes.Filter))),
    }


def _rendered(template: jinja2.Template, given: Mapping[str, Any], most: int) -> tuple[str, str]:
    """What the template writes, and why it writes nothing; one of both is empty."""
    pieces = []
    try:
        for piece in template.generate(given):
            most -= len(piece)
            if most < 0:
                raise _TooMuch
            pieces.append(piece)
    except (_TooMuch, jinja2.exceptions.SecurityError, MemoryError, OverflowError, RecursionError):
        raise
    except Exception as error:  # a template may fail in every way that Python can
        return "", _why(error)
    return "".join(pieces), ""


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _names(tree: nodes.Template, *contexts: str) -> set[str]:
    """Names that the template uses; of the ``contexts`` alone that are given."""
    return {name.name for name in tree.find_all(nodes.Name) if not contexts or name.ctx in contexts}


def _may_be_random(node: nodes.Filter) -> bool:
    """Whether this is the filter ``random``; ``map`` takes its name, which may be put together."""
    if node.name != "map":
        return node.name == "random"
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        return True
    return any(not isinstance(name, nodes.Const) or name.value == "random" for name in node.args[:1])


def _words(tree: nodes.Template) -> Iterable[str]:
    """Texts of the template, but not those that only an error says: nobody's model reads these.

    A template can have something of its own that is called like what raises errors.
    """
    own = _names(tree, "store", "param") | {macro.name for macro in tree.find_all(nodes.Macro)}
    raising = {"raise_exception"} - own
    errors = {
        id(text)
        for call in tree.find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.node.name in raising
        for text in call.find_all(nodes.Const)
    }
    for data in tree.find_all(nodes.TemplateData):
        yield data.data[:_LONGEST_WORDS]
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, str) and id(const) not in errors:
            yield const.value[:_LONGEST_WORDS]


def _environment() -> ImmutableSandboxedEnvironment:
    # What is rendered here is a prompt and no page, and has to be what the server makes of it.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _today
    return environment


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _today(form: str) -> str:
    return _TODAY.strftime(form)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


if __name__ == "__main__":
    main(sys.argv[1])
