"""A Python package index, asked for one wheel.

Says which wheel an index has for a requirement: address, SHA-256 and size.  It fetches no
wheel and resolves no dependencies.
"""

import httpx2
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.errors import BadInput
from appliance.model.files import Content
from appliance.model.lock import LockedFile
from appliance.model.simple_index import MAX_PAGE, choose, parse_page
from appliance.model.weights import check_server
from appliance.tools.download import Gone, client, get

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


def find_wheel(index: str, requirement: str) -> LockedFile:
    """The wheel that ``index`` has for ``requirement``; its path is the file's name.

    Raises BadInput: ``wheel-not-found``, ``index-unreadable`` and what ``download`` raises.
    """
    wanted = Requirement(requirement)
    page_url = f"{index}/{canonicalize_name(wanted.name)}/"
    try:
        page = get(page_url, limit=MAX_PAGE, headers={"Accept": _ACCEPT})
    except Gone:
        raise BadInput("wheel-not-found", f"the index has no {wanted.name}", where=page_url) from None
    try:
        links = parse_page(page, page_url, wanted.name)
    except (ValueError, RecursionError) as error:
        raise BadInput("index-unreadable", f"the answer is no page of an index: {error}", where=page_url) from None
    try:
        link = choose(wanted, links)
        check_server(link.url)
    except ValueError as error:
        raise BadInput("wheel-not-found", str(error), where=page_url) from None
    content = Content(sha256=link.sha256, size=link.size or _size(link.url))
    return LockedFile(path=link.filename, url=link.url, sha256=content.sha256, size=content.size)


def _size(url: str) -> int:
    try:
        with client() as session:
            response = session.head(url)
    except httpx2.HTTPError as error:
        what = f"the source cannot be reached: {error or type(error).__name__}"
        raise BadInput("source-unreachable", what, where=url) from None
    length = response.headers.get("Content-Length", "")
    if response.status_code != 200 or not length.isdecimal():
        what = f"the source does not tell the file's size (HTTP {response.status_code})"
        raise BadInput("source-refused", what, where=url)
    return int(length)
