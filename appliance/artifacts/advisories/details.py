"""What a bundle says of a snapshot of advisories."""

from typing import ClassVar

from appliance.artifacts.details import Details
from appliance.model.times import Day, Time


class AdvisoriesDetails(Details):
    """``path`` is its directory in the bundle, ``taken`` the newest moment that the files of its sources tell of.

    ``vex_until`` is the last day of the security team's statements, if there are any.
    """

    kind: ClassVar[str] = "advisories"
    path: str
    taken: Time
    vex_until: Day | None = None
