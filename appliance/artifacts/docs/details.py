"""What a bundle says of a set of documents."""

from typing import ClassVar

from appliance.artifacts.details import Details


class DocsDetails(Details):
    """``path`` is their directory in the bundle."""

    kind: ClassVar[str] = "docs"
    path: str
