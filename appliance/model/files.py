"""A file as everything here knows it: where it lies, its SHA-256 and its size."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from appliance.model.base import Strict
from appliance.model.limits import MAX_JSON_INTEGER
from appliance.model.names import BundlePath, Sha256


class Content(Strict):
    """Bytes, known by digest and size (bytes)."""

    sha256: Sha256
    size: int = Field(ge=0, le=MAX_JSON_INTEGER)


class BundleFile(Content):
    """A file of a bundle; ``path`` is relative to the bundle."""

    path: BundlePath


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A name that was found below a directory; ``size`` in bytes."""

    kind: Literal["file", "directory", "link", "special"]
    size: int
