"""The site's network: a bridge, a router, and outside beyond it; all without a way to the machine."""

from pathlib import Path

from tests.site.command import run
from tests.site.plan import BRIDGE, NETWORK_V4, NETWORK_V6, OUTSIDE, ROUTER, UPLINK

_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")

_ROUTER_V4 = f"""
link set lo up
link add {BRIDGE} type bridge
link set {BRIDGE} up
link add outside type veth peer name uplink netns {{outside}}
link set outside up
address add {ROUTER.v4}/24 dev {BRIDGE}
address add {UPLINK.v4}/24 dev outside
route add default via {OUTSIDE.v4}
"""
_ROUTER_V6 = f"""
address add {ROUTER.v6}/64 dev {BRIDGE} nodad
address add {UPLINK.v6}/64 dev outside nodad
route add default via {OUTSIDE.v6}
"""

# Every address that is not the site's is outside's own: whatever a host calls, something answers.
# The table "local" is asked first, so what leads back to the site has to stand in it too.
_OUTSIDE_V4 = f"""
link set lo up
link set uplink up
address add {OUTSIDE.v4}/24 dev uplink
route add {UPLINK.v4}/32 dev uplink table local
route add {NETWORK_V4} via {UPLINK.v4} table local
route add local default dev lo table local
"""
_OUTSIDE_V6 = f"""
address add {OUTSIDE.v6}/64 dev uplink nodad
route add fe80::/64 dev uplink table local
route add {UPLINK.v6}/128 dev uplink table local
route add {NETWORK_V6} via {UPLINK.v6} table local
route add local default dev lo table local
"""


def connect(outside: int) -> None:
    """Make the site's network in this network namespace, and outside's in that of the process ``outside``."""
    for switch in _FORWARDING:
        Path(switch).write_text("1")
    run("ip", "-4", "-batch", "-", text=_ROUTER_V4.format(outside=outside))
    run("ip", "-6", "-batch", "-", text=_ROUTER_V6)
    beyond = ("nsenter", f"--net=/proc/{outside}/ns/net", "ip")
    run(*beyond, "-4", "-batch", "-", text=_OUTSIDE_V4)
    run(*beyond, "-6", "-batch", "-", text=_OUTSIDE_V6)
