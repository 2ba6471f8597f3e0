"""What a package index does not say of its files: their sizes.

The simple index in HTML (PEP 503) has digests and no sizes, the one in JSON (PEP 700)
has both.  A size only bounds what is accepted; the digest decides.
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx2

from appliance.errors import BadInput
from appliance.tools.download import PARALLEL, client

_ATTEMPTS = 4
_FIRST_DELAY = 0.5  # seconds; three times as long each time
_WORTH_RETRYING = {429, 500, 502, 503, 504}


def sizes(urls: Iterable[str]) -> dict[str, int]:
    """The size in bytes of the file at each URL.  Raises BadInput (``source-*``)."""
    wanted = sorted(set(urls))
    with client() as session, ThreadPoolExecutor(PARALLEL) as pool:
        return dict(zip(wanted, pool.map(lambda url: _size(session, url), wanted), strict=True))


def _size(session: httpx2.Client, url: str) -> int:
    delay = _FIRST_DELAY
    for left in range(_ATTEMPTS - 1, -1, -1):
        try:
            response = session.head(url)
            if response.status_code in (403, 405, 501) or "Content-Length" not in response.headers:
                with session.stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
                    pass  # only its headers are of interest
        except httpx2.TransportError as problem:
            error = BadInput("source-unreachable", f"the file cannot be reached: {problem}", where=url)
        else:
            if (size := _told(response)) is not None:
                return size
            error = BadInput("source-refused", f"no size was told (HTTP {response.status_code})", where=url)
            if response.status_code not in _WORTH_RETRYING:
                raise error
        if left == 0:
            raise error
        time.sleep(delay)
        delay *= 3
    raise AssertionError("unreachable")


def _told(response: httpx2.Response) -> int | None:
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code == 206 and total.isdigit():
        return int(total)
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and length.isdigit() else None
