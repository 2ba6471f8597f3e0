"""Chat templates, rendered as a server would: by ``template_renderer``, in a process of its own.

A template is a program of strangers.  Jinja's sandbox keeps it from Python's internals, but neither from loops that
never end nor from texts without a measure; so the process has limits of time and memory, cannot write a file or
start another process, and gets an environment without secrets.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from appliance.errors import Failed
from appliance.model.base import Strict
from appliance.model.limits import MAX_RENDERED
from appliance.tools.run import run

CPU_SECONDS = 5
MEMORY = 512 * 1024 * 1024  # bytes of addresses, Python and Jinja with them
# Started by its path and never imported: most runs have no template and need no Jinja.
_PROGRAM = Path(__file__).with_name("template_renderer.py")
_WALL_SECONDS = 60.0  # a busy host gives a process little of its CPU time


class LeavesSandbox(ValueError):
    """The template reaches for what the sandbox does not give; a server ends it there, as we did."""


class Rendering(Strict):
    """``texts`` has what came of each conversation, and ``failed`` beside it why nothing came of one, empty where all
    is well.  ``words`` are the texts of the template itself; ``clock`` and ``chance`` say what else it asks for.
    """

    texts: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    clock: bool = False
    chance: bool = False
    unsafe: str = Field(default="", max_length=400)
    leaves: bool = False

    @property
    def parts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """``texts`` and ``failed``, each with an entry for every conversation."""
        return self.texts, self.failed


def render(
    template: str, tokens: Mapping[str, str], conversations: Sequence[Mapping[str, Any]], work: Path
) -> Rendering:
    """Render ``conversations``, with ``tokens`` as the special tokens; ``work`` is a scratch directory.

    Raises ValueError for a template that must not be used: it does not end or takes too much; and LeavesSandbox.
    """
    request = work / "request.json"
    limits = {"cpu": CPU_SECONDS, "memory": MEMORY, "characters": MAX_RENDERED}
    told = {"template": template, "tokens": tokens, "conversations": conversations, "limits": limits}
    request.write_text(json.dumps(told), encoding="utf-8")
    try:
        answer = run([sys.executable, "-I", _PROGRAM, request], cwd=work, timeout=_WALL_SECONDS, called="the renderer")
    except Failed as error:
        what = error.what.strip().splitlines()[-1].rstrip(":")[:200]
        raise ValueError(f"is not rendered within {CPU_SECONDS} s and {MEMORY} bytes of memory: {what}") from None
    finally:
        request.unlink()
    try:
        rendering = Rendering.model_validate_json(answer)
    except ValidationError:
        raise ValueError("makes its renderer say something that is no answer") from None
    if rendering.unsafe:
        raise (LeavesSandbox if rendering.leaves else ValueError)(rendering.unsafe)
    if not len(rendering.texts) == len(rendering.failed) == len(conversations):
        raise ValueError("makes its renderer leave out conversations")
    return rendering
