"""What a bundle says of a container image."""

from typing import ClassVar

from appliance.artifacts.details import Details


class ImageDetails(Details):
    """``manifest_digest`` is that of the manifest in the bundle, ``upstream_digest`` what the registry calls it."""

    kind: ClassVar[str] = "images"
    manifest_digest: str
    platform: str | None = None
    upstream_digest: str | None = None
