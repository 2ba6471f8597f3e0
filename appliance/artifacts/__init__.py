"""The kinds of artifact, one file each, and the tuple that registers them."""

from appliance.artifacts.base import Context, Kind, Layout
from appliance.artifacts.images import Images
from appliance.artifacts.os_packages import OsPackages
from appliance.artifacts.weights import Weights
from appliance.artifacts.wheels import Wheels

KINDS: tuple[Kind, ...] = (Weights(), Images(), Wheels(), OsPackages())

__all__ = ["KINDS", "Context", "Kind", "Layout"]
