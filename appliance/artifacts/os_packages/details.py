"""What a bundle says of a set of OS packages."""

from typing import ClassVar

from appliance.artifacts.details import Details


class OsPackagesDetails(Details):
    """``repository`` is the directory of the apt repository in the bundle."""

    kind: ClassVar[str] = "os-packages"
    repository: str
    suite: str
