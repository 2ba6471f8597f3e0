"""What a bundle says of a set of wheels."""

from typing import ClassVar

from appliance.artifacts.details import Details


class WheelsDetails(Details):
    """Whom the wheels are for, and what was left out, as far as the lock says it."""

    kind: ClassVar[str] = "wheels"
    python: str | None = None
    platform: str | None = None
    exclude: str | None = None
