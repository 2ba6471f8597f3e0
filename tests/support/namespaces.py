"""Whether this user may make namespaces, as images are built in."""

import os

import pytest

from appliance.errors import BadInput
from appliance.tools import namespace


def _may_make_them() -> bool:
    if os.geteuid() == 0:
        return True  # and if not, tests fail: nothing is to be skipped for root
    try:
        namespace.check()
    except BadInput:
        return False
    return True


needs_namespaces = pytest.mark.skipif(
    not _may_make_them(), reason="needs root, or subordinate ids of this user in /etc/subuid"
)
