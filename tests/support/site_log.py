"""A site with a history, and everything that somebody could do to its log."""

import subprocess
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import pytest

from appliance.errors import NotTrusted
from appliance.model.progress import Silent
from appliance.steps.import_bundle import import_bundle
from appliance.steps.switch import switch
from appliance.store.site import Site
from tests.support.bundles import Recipe
from tests.support.sites import version

LOG_SCRIPT = Path(str(resources.files("appliance").joinpath("check-log.sh")))

Edit = Callable[[list[bytes]], list[bytes]]
# What the lines become, newlines included; each breaks the chain.
DAMAGES: Mapping[str, Edit] = {
    "a changed byte": lambda lines: [lines[0].replace(b"accepted", b"acceptes"), *lines[1:]],
    "a changed byte in the middle": lambda lines: [*lines[:2], lines[2].replace(b"tiny", b"tinx"), *lines[3:]],
    "a line less at the start": lambda lines: lines[1:],
    "a line less in the middle": lambda lines: [*lines[:2], *lines[3:]],
    "lines swapped": lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
    "a line twice": lambda lines: [*lines[:2], *lines[1:]],
    "an empty line": lambda lines: [*lines[:2], b"\n", *lines[2:]],
    "white space": lambda lines: [*lines[:-1], lines[-1].replace(b":", b": ", 1)],
    "a key twice": lambda lines: [*lines[:-1], lines[-1].replace(b'{"details"', b'{"details":{},"details"')],
    "one more key": lambda lines: [*lines[:-1], lines[-1].replace(b'"schema"', b'"scheme":1,"schema"')],
    "another schema": lambda lines: [*lines[:-1], lines[-1].replace(b"log/v1", b"log/v2")],
    "a fraction": lambda lines: [*lines[:-1], lines[-1].replace(b'"name"', b'"half":0.5,"name"')],
    "a number with an exponent": lambda lines: [*lines[:-1], lines[-1].replace(b'"name"', b'"big":1e3,"name"')],
    "not ASCII": lambda lines: [*lines[:-1], lines[-1].replace(b"tiny", "tin\u00ff".encode())],
    "not UTF-8": lambda lines: [*lines[:-1], lines[-1].replace(b"tiny", b"tin\xff")],
    "an escaped letter": lambda lines: [*lines[:-1], lines[-1].replace(b"tiny", b"\\u0074iny")],
    "two entries in a line": lambda lines: [lines[0][:-1] + lines[1], *lines[2:]],
    "no JSON": lambda lines: [*lines, b"}\n"],
    "an array": lambda lines: [*lines, b"[]\n"],
}


def site_with_history(folder: Path) -> Site:
    """Two imports, a refusal and a way back: seven lines, three receipts."""
    site = Site(folder / "a site")
    first, second = Recipe().write(folder / "1"), version("2.0.0").write(folder / "2")
    for written in (first, second):
        import_bundle(written.path, written.trusted, site, Silent())
    (second.path / "extra").write_bytes(b"")
    with pytest.raises(NotTrusted):
        import_bundle(second.path, second.trusted, site, Silent())
    switch(site, "tiny", "1.0.0", Silent())
    return site


def receipts(site: Site) -> list[Path]:
    """All receipts, the oldest first."""
    return sorted((site.root / "receipts").glob("*.sigstore.json"))


def check_log(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run check-log.sh by the system's POSIX shell."""
    return subprocess.run(
        ["sh", LOG_SCRIPT, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=False,
    )
