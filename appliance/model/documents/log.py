"""A site's log: one canonical JSON object a line, each naming the SHA-256 of the line before.

Who changes, removes or adds a line in the middle breaks the chain; who cuts lines off the
end does not, so heads are exported and kept elsewhere (``appliance log head``).  Only the
chain is judged here.  What an event's details mean is ``model/documents/events.py``'s: lines that a
later version wrote still count.  Format: docs/auditing.md.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from appliance.model.base import Strict
from appliance.model.jsonform import canonical_json, parse_canonical
from appliance.model.limits import MAX_LOG_LINE
from appliance.model.names import Sha256
from appliance.model.times import Time
from appliance.model.value_problem import first_problem

LOG_SCHEMA: Literal["appliance.log/v1"] = "appliance.log/v1"
Event = Literal["import", "install", "override", "rebuild", "remove", "root", "switch", "verify"]


class Head(Strict):
    """How far a log goes: the number of its last line, and that line's SHA-256 with its newline.

    Before the first line they are 0 and 64 zeros.
    """

    seq: int = Field(ge=0)
    sha256: Sha256


NO_HEAD = Head(seq=0, sha256="0" * 64)


class LogEntry(Strict):
    """One line.  ``previous`` is the SHA-256 of the line before, ``time`` this machine's clock then."""

    schema_: Literal["appliance.log/v1"] = Field(alias="schema")
    seq: int = Field(ge=1)
    time: Time
    event: str = Field(pattern=r"\A[a-z][a-z-]{0,30}\z")
    previous: Sha256
    details: dict[str, JsonValue]


@dataclass(frozen=True)
class Line:
    """An entry, and how far the log goes with it; ``end`` counts the log's bytes up to there."""

    entry: LogEntry
    head: Head
    end: int


def format_line(head: Head, event: Event, details: dict[str, JsonValue], *, time: str) -> bytes:
    """The line that follows ``head``, with its newline.  Raises ValueError beyond ``MAX_LOG_LINE``."""
    entry = LogEntry(
        schema_=LOG_SCHEMA, seq=head.seq + 1, time=time, event=event, previous=head.sha256, details=details
    )
    line = canonical_json(entry.model_dump(mode="json", by_alias=True)) + b"\n"
    if len(line) > MAX_LOG_LINE:
        raise ValueError(f"is longer than {MAX_LOG_LINE} bytes")
    return line


def read_line(line: bytes) -> tuple[LogEntry, Head]:
    """Read a line, newline included, and say what head it makes.  Raises ValueError."""
    if len(line) > MAX_LOG_LINE:
        raise ValueError(f"is longer than {MAX_LOG_LINE} bytes")
    if not line.endswith(b"\n"):
        raise ValueError("does not end with a newline")
    parse_canonical(line[:-1], limit=MAX_LOG_LINE)
    try:
        entry = LogEntry.model_validate_json(line[:-1])
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    return entry, Head(seq=entry.seq, sha256=hashlib.sha256(line).hexdigest())


def follow(head: Head, line: bytes) -> tuple[LogEntry, Head]:
    """Read the line that has to follow ``head``.  Raises ValueError when it does not."""
    entry, reached = read_line(line)
    if entry.seq != head.seq + 1:
        raise ValueError(f"has the number {entry.seq}, not {head.seq + 1}")
    if entry.previous != head.sha256:
        raise ValueError(f"follows a line with the SHA-256 {entry.previous}, but the line before has {head.sha256}")
    return entry, reached


def ascii_text(text: str, limit: int = 1000) -> str:
    """Any text as a log and a receipt can hold it: printable ASCII, the rest as JSON escapes it."""
    escaped = json.dumps(text)[1:-1].replace("\x7f", "\\u007f")
    return escaped if len(escaped) <= limit else f"{escaped[: limit - 3]}..."
