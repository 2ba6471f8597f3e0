"""Filters that hold an inventory's variables against what the roles describe.

``roles`` is the directory of all roles; ``meta/argument_specs.yml`` of each is read.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

# What several roles take their own defaults from.
_SHARED = ("appliance_bundle", "appliance_depot_host", "appliance_models", "appliance_root")
_STRUCTURED = {"list": "list", "dict": "dictionary"}
# As alike as two long names with a letter or two wrong.
_ALIKE = 0.9


def roles_with_variables(roles: str) -> list[str]:
    """Names of roles that describe variables, sorted."""
    return [path.name for path in sorted(Path(roles).iterdir()) if path.is_dir() and _options(path)]


def argument_specification(roles: str, role: str) -> dict[str, Any]:
    """What ``role`` demands of its variables.

    Without defaults: these are the role's own, and may be templates.
    """
    return {
        name: {key: value for key, value in option.items() if key != "default"}
        for name, option in _options(Path(roles, role)).items()
    }


def unknown_variables(names: Iterable[str], roles: str) -> list[str]:
    """Complaints about variables that look like ones of our roles and are none."""
    with_variables = roles_with_variables(roles)
    known = {name for role in with_variables for name in _options(Path(roles, role))} | set(_SHARED)
    prefixes = tuple(f"{name}_" for name in ("appliance", *with_variables))
    strange = sorted(name for name in set(names) - known if not name.startswith("_"))  # those are roles' own
    return list(_complaints(strange, known, prefixes))


def textual_variables(values: Mapping[str, Any], roles: str) -> list[str]:
    """Complaints about text where a list or a dictionary has to be, which Ansible's own check would take for one."""
    forms = {"appliance_models": "list"} | {
        name: option["type"]
        for role in roles_with_variables(roles)
        for name, option in _options(Path(roles, role)).items()
    }
    return [
        f"{name} as {values[name]!r}, which must be a {_STRUCTURED[form]}"
        for name, form in sorted(forms.items())
        if form in _STRUCTURED and name in values and isinstance(values[name], str)
    ]


def _complaints(strange: list[str], known: set[str], prefixes: tuple[str, ...]) -> Iterator[str]:
    for name in strange:
        alike = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
        if alike:
            yield f"{name}, which no role knows; {alike[0]} is perhaps meant"
        elif name.startswith(prefixes):
            yield f"{name}, which no role knows"


@cache
def _options(role: Path) -> dict[str, Any]:
    specification = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    options: dict[str, Any] = specification.get("options", {})
    return options


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Filters by the names that roles use."""
        return {
            "argument_specification": argument_specification,
            "roles_with_variables": roles_with_variables,
            "textual_variables": textual_variables,
            "unknown_variables": unknown_variables,
        }
