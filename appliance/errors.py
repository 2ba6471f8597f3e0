"""Every exception the appliance raises on purpose.

Each says what failed, where, what was expected and found where that helps, and what
to do next.  ``reference`` is a stable kebab-case name: scripts and documents may rely
on it, so a reference is never reused for something else.  The command line turns these
into messages and exit codes in one place; nothing else catches them to hide them.
"""

from typing import ClassVar


class ApplianceError(Exception):
    """Base of all errors that a person can act on.

    ``where`` is a file, with line and key where known; ``hint`` an instruction;
    ``problems`` are the single findings when there are several of a kind.  ``value`` is what
    is wrong of an artifact's section of the definition, so that its line can be found.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        reference: str,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        found: str = "",
        hint: str = "",
        problems: "tuple[ApplianceError, ...]" = (),
        value: str = "",
    ) -> None:
        super().__init__(what)
        self.reference = reference
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.hint = hint
        self.problems = problems
        self.value = value

    def as_dict(self) -> dict[str, object]:
        """The fields for programs; empty ones are left out."""
        fields: dict[str, object] = {
            "reference": self.reference,
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "hint": self.hint,
            "problems": [problem.as_dict() for problem in self.problems],
        }
        return {key: value for key, value in fields.items() if value}

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"in {self.where}")
        if self.expected or self.found:
            parts.append(f"expected {self.expected or 'nothing'}, found {self.found or 'nothing'}")
        return "; ".join(parts)


class Failed(ApplianceError):
    """Exit 1: an outside program or our own code did not do its work."""

    exit_code = 1


class BadInput(ApplianceError):
    """Exit 2: something this run was given, or depends on, has to change first.

    That is usage, definitions, keys and output directories, and also a full disk, an
    unreachable source or another build of the same bundle.
    """

    exit_code = 2


class Stale(BadInput):
    """Exit 2: a lock names something that its source no longer offers, or lacks something.

    ``artifact`` is ``kind/name``, as ``appliance lock --only`` takes it; without one a plain
    ``appliance lock`` finds what has changed.  ``definition`` is its path, as a shell takes it.
    """

    def __init__(self, what: str, *, artifact: str = "", where: str = "", definition: str = "DEFINITION") -> None:
        super().__init__(
            "lock-stale",
            what,
            where=where or artifact,
            hint=f"renew it: appliance lock {definition}{artifact and f' --only {artifact}'}",
        )
        self.artifact = artifact

    def at(self, definition: str) -> "Stale":
        """The same, where the definition is known."""
        return Stale(self.what, artifact=self.artifact, where=self.where, definition=definition)


class NotTrusted(ApplianceError):
    """Exit 3: bytes, signatures or keys are not what they have to be."""

    exit_code = 3
