"""``appliance switch``: make another bundle that the site holds the current one.

Going back is a switch and not a copy.  The bundle was verified when it came in and is not
read again.
"""

from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.bundle import STATEMENT
from appliance.store.site import Site
from appliance.trust.statement import parse_statement


@dataclass(frozen=True)
class Switched:
    """The bundle that is current now, which version was before, and whether that changed."""

    path: Path
    previous: str | None
    changed: bool


def switch(site: Site, name: str, version: str) -> Switched:
    """Make ``version`` the current one of ``name``.

    Raises BadInput: ``name-unsafe``, ``bundle-not-imported``, ``site-malformed``.
    """
    path = site.path(name, version)
    if path not in site.bundles():
        held = ", ".join(folder.name for folder in site.bundles())
        raise BadInput(
            "bundle-not-imported",
            "the site does not hold this bundle",
            where=str(path),
            expected=f"one of: {held}" if held else "",
            hint="import it first: appliance import DIR --root ROOT.json",
        )
    _check_head(path, name, version)
    previous = site.current_version(name)
    return Switched(path, previous, site.switch(name, version))


def _check_head(path: Path, name: str, version: str) -> None:
    """Names may hold what looks like a version: two bundles can have one directory name."""
    try:
        head = parse_statement((path / STATEMENT).read_bytes()).predicate
    except (OSError, ValueError) as error:
        raise BadInput("site-malformed", f"this is not a bundle: {error}", where=str(path)) from None
    if (head.name, head.version) != (name, version):
        raise BadInput(
            "bundle-not-imported",
            "the site holds another bundle there",
            where=str(path),
            expected=f"{name} {version}",
            found=f"{head.name} {head.version}",
        )
