"""The kinds of artifact, one folder each, and the tuple that registers them."""

from appliance.artifacts.base import Context, Kind, Layout
from appliance.artifacts.images.kind import Images
from appliance.artifacts.os_packages.kind import OsPackages
from appliance.artifacts.weights.kind import Weights
from appliance.artifacts.wheels.kind import Wheels

KINDS: tuple[Kind, ...] = (Weights(), Images(), Wheels(), OsPackages())

__all__ = ["KINDS", "Context", "Kind", "Layout"]
