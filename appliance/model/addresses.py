"""Addresses that bytes or their digests may come from: HTTPS, or HTTP on this host."""

import re
from urllib.parse import urlsplit

PYPI = "https://pypi.org/simple"

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_URL_TEXT = re.compile(r"[!-~]+")  # printable ASCII


def check_server(value: str) -> str:
    """The address of a hub or an index, without a slash at its end.

    Digests come from there when a lock is made, so it has to be HTTPS unless it is this
    machine; a password in it would end in the lock.  Raises ValueError.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{value!r} is not an address: write https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"an address may not hold a user or a password: https://{parts.hostname}{parts.path}")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError(f"{value!r} is not encrypted on its way: write https://")
    return value.rstrip("/")


def is_fetchable(url: str) -> bool:
    """Whether wheels may come from there: https, or http on this host."""
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return bool(secure and parts.hostname and _URL_TEXT.fullmatch(url))
