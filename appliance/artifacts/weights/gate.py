"""The content gate at work: names before anything is fetched, bytes when they are there.

What passes is said in ``content_gate``; here it is applied to the files of one
artifact, and a refusal is made into one error that names every refused file.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from appliance.artifacts.paths import check_paths
from appliance.artifacts.weights.content_gate import danger, name_refusal, refusal
from appliance.errors import BadInput
from appliance.model.documents.lock import LockedFile
from appliance.model.sink import Sink

_ALLOW = "; or, after a review, allow a file by name with the reason: allow: {PATH: why}"


@dataclass(frozen=True)
class Gate:
    """The gate for the artifact ``where`` (``weights/name``).

    ``allow`` maps files to the reason why they pass although they are refused; ``leave_out`` tells
    a person how to do without a file.  ``by_name`` is the rule for names, of an adapter a stricter one.
    """

    where: str
    allow: Mapping[str, str]
    leave_out: str
    by_name: Callable[[str], str] = name_refusal
    may_allow: bool = True

    def check_names(self, paths: Sequence[str], others: Mapping[str, str] | None = None) -> None:
        """Refuse names that are unsafe or of a refused type.  Raises BadInput.

        ``others`` are entries that are no files, with the reason; nothing can allow them.
        """
        others = others or {}
        check_paths([*paths, *others], self.where, self.leave_out)
        for path in self.allow:
            if path not in paths:
                near = difflib.get_close_matches(path, paths, n=1)
                raise BadInput(
                    "weights-allow-unknown",
                    f"allow names {path}, which is not among the files",
                    where=self.where,
                    hint=f"did you mean {near[0]!r}?" if near else "remove it",
                )
        refused = {path: reason for path in paths if path not in self.allow and (reason := self.by_name(path))}
        self.refuse({**others, **refused}, can_be_allowed=bool(refused))

    def check_bytes(self, files: Sequence[LockedFile], sink: Sink, *, complete: bool) -> None:
        """Refuse files by what they hold.  Raises BadInput.

        ``complete`` says that ``sink`` holds all of them; otherwise those that are not
        there yet are left for later.
        """
        paths = {file.path for file in files}
        refused, dangers = {}, {}
        for file in files:
            if not complete and not sink.holds(file):
                continue
            with sink.path(file).open("rb") as stream:

                def read(offset: int, length: int, stream: BinaryIO = stream) -> bytes:
                    stream.seek(offset)
                    return stream.read(length)

                reason = refusal(file.path, file.size, read, paths)
                if file.path in self.allow and (worse := danger(file.path, file.size, read)):
                    dangers[file.path] = worse
            if reason and file.path not in self.allow:
                refused[file.path] = reason
            elif not reason and file.path in self.allow:
                raise BadInput(
                    "weights-allow-needless",
                    f"allow names {file.path}, which passes without it",
                    where=self.where,
                    hint="remove it: an exception that is not needed hides the next one",
                )
        self.refuse(dangers)
        self.refuse(refused, can_be_allowed=True)

    def refuse(self, refused: Mapping[str, str], *, can_be_allowed: bool = False) -> None:
        """Raise BadInput (``weights-refused``) with the reason of each path, if there is one."""
        if not refused:
            return
        problems = tuple(BadInput("weights-refused", f"{path} {reason}") for path, reason in sorted(refused.items()))
        more = f" (and {len(problems) - 1} more files are refused)" if len(problems) > 1 else ""
        raise BadInput(
            "weights-refused",
            f"{problems[0].what}{more}",
            where=self.where,
            hint=self.leave_out + (_ALLOW if can_be_allowed and self.may_allow else ""),
            problems=problems,
        )
