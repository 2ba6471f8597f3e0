"""A number that goes up and never down, which a site's state can be tied to."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """A counter's value; ``binding`` once a state was written that only this value makes good."""

    value: int
    binding: bool


class Counter(Protocol):
    """Such as a TPM's; every method raises BadInput (``tpm-unusable``)."""

    def read(self) -> Reading | None:
        """The value, or None where the counter was never started."""

    def start(self) -> int:
        """Make the counter; returns its first value, which cannot be known before."""

    def increment(self) -> int:
        """Raise it by one; returns the new value."""

    def bind(self) -> None:
        """From now on only a state that names the value is good."""
