"""What goes wrong, for people; the exit codes are those of every command."""

import sys

FAILED = 1
BAD_INPUT = 2
NOT_TRUSTED = 3
INTERRUPTED = 130


class Problem(Exception):
    """Ends the run with ``exit_code``.  Without ``what``, the program that ended has told it."""

    def __init__(self, exit_code: int, what: str = "", *, where: object = "", hint: str = "") -> None:
        super().__init__(what)
        self.exit_code = exit_code
        self.what = what
        self.where = str(where)
        self.hint = hint

    def tell(self) -> None:
        """Say it on standard error."""
        for label, text in (("error: ", self.what), ("  where:    ", self.where), ("  do:       ", self.hint)):
            if text:
                sys.stderr.write(f"{label}{text}\n")


def step(text: str) -> None:
    """Tell what begins now."""
    sys.stderr.write(f"> {text}\n")
    sys.stderr.flush()
