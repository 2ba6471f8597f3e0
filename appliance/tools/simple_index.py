"""A Python package index, asked for one wheel.

Says which wheel an index has for a requirement: address, SHA-256 and size; and where it has
attestations.  It fetches no wheel and resolves no dependencies.
"""

from collections.abc import Callable
from typing import TypeVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.errors import BadInput
from appliance.formats.package_index import WheelLink, choose, parse_page, parse_provenances
from appliance.model.addresses import check_server
from appliance.model.documents.lock import LockedFile
from appliance.model.files import Content
from appliance.model.limits import MAX_INDEX_PAGE
from appliance.tools.http import Gone, Tell, get, sizes

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

_Answer = TypeVar("_Answer")


def links_of(index: str, name: str, tell: Tell) -> tuple[WheelLink, ...]:
    """All wheels that ``index`` has of a distribution.  Raises BadInput as ``find_wheel`` does."""
    return _read_page(index, name, tell, lambda page, url: parse_page(page, url, name))


def provenances_of(index: str, name: str, tell: Tell) -> dict[str, str]:
    """Where ``index`` has attestations of files of a distribution, by file name.  Raises BadInput as ``find_wheel``."""
    return _read_page(index, name, tell, lambda page, url: parse_provenances(page))


def _read_page(index: str, name: str, tell: Tell, parse: Callable[[bytes, str], _Answer]) -> _Answer:
    page_url = f"{index}/{canonicalize_name(name)}/"
    try:
        page = get(page_url, tell, limit=MAX_INDEX_PAGE, headers={"Accept": _ACCEPT})
    except Gone:
        raise BadInput("wheel-not-found", f"the index has no {name}", where=page_url) from None
    try:
        return parse(page, page_url)
    except (ValueError, RecursionError) as error:
        raise BadInput("index-unreadable", f"the answer is not a page of an index: {error}", where=page_url) from None


def find_wheel(index: str, requirement: str, tell: Tell) -> tuple[LockedFile, str | None]:
    """The wheel that ``index`` has for ``requirement``, and why it was taken back if it was.

    The path of the wheel is the file's name.

    Raises BadInput: ``wheel-not-found``, ``index-unreadable`` and what ``download`` raises.
    """
    wanted = Requirement(requirement)
    try:
        link = choose(wanted, links_of(index, wanted.name, tell))
        check_server(link.url)
    except ValueError as error:
        raise BadInput("wheel-not-found", str(error), where=f"{index}/{canonicalize_name(wanted.name)}/") from None
    content = Content(sha256=link.sha256, size=link.size or sizes([link.url], tell)[link.url])
    wheel = LockedFile(path=link.filename, url=link.url, sha256=content.sha256, size=content.size)
    return wheel, link.yanked
