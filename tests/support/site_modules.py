"""The programs of the site's package, which is a distribution of its own beside ours."""

import importlib
import sys
from types import ModuleType

from tests.support.project import REPOSITORY

ANSIBLE = REPOSITORY / "ansible"


def site_module(name: str) -> ModuleType:
    """``appliance_site.<name>``, from the working tree."""
    if str(ANSIBLE) not in sys.path:
        sys.path.insert(0, str(ANSIBLE))
    return importlib.import_module(f"appliance_site.{name}")
