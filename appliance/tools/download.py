"""Files over HTTP, into a sink: parallel, resumed, hashed while they pass.

One place for every kind, so retries, resumption and messages are the same for weights,
wheels and OS packages.  Proxies and CA certificates come from the usual environment
variables; certificates are always checked.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx2

from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.files import Content
from appliance.model.progress import Progress, Task
from appliance.model.sink import Receiver, Sink

CHUNK = 1024 * 1024
PARALLEL = 8
ATTEMPTS = 5
_MAX_WAIT = 60.0  # seconds between two attempts, also when a server asks for longer
_TIMEOUT = httpx2.Timeout(60.0, connect=20.0)
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class Gone(BadInput):
    """A source answers that it has no such file (404 or 410)."""


@dataclass(frozen=True)
class Request:
    """One file to fetch.  ``headers`` may hold a token and are never logged; they are
    not sent on to another host by a redirect.
    """

    content: Content
    url: str
    name: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def download(requests: Iterable[Request], sink: Sink, progress: Progress, label: str) -> None:
    """Fetch everything that ``sink`` does not hold yet.

    Raises Gone, BadInput (``source-unreachable``, ``source-refused``) or NotTrusted of
    the first file that fails; what has arrived stays for the next run.
    """
    wanted = {request.content.sha256: request for request in requests}
    missing = {content.sha256 for content in sink.missing(request.content for request in wanted.values())}
    todo = sorted((wanted[digest] for digest in missing), key=lambda request: (-request.content.size, request.url))
    if not todo:
        return
    stop = threading.Event()
    total = sum(request.content.size for request in todo)
    with client() as session, progress.task(label, total) as task, ThreadPoolExecutor(PARALLEL) as pool:
        futures = [pool.submit(_Download(request, sink, session, task, stop).run) for request in todo]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Ctrl-C and a failed file end the others at their next block.
            stop.set()
            for future in futures:
                future.cancel()
        errors = [error for future in done if (error := future.exception()) is not None]
        if errors:
            raise errors[0]


def client() -> httpx2.Client:
    """An HTTP client with our limits; redirects are followed."""
    return httpx2.Client(
        timeout=_TIMEOUT, follow_redirects=True, headers={"User-Agent": "appliance", "Accept-Encoding": "identity"}
    )


def get(url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> bytes:
    """A small document.  ``limit`` in bytes.  Retries like ``download``; same errors."""

    def once() -> bytes:
        with client() as session, session.stream("GET", url, headers=dict(headers or {})) as response:
            _check(response, url)
            body = bytearray()
            for chunk in response.iter_bytes(CHUNK):
                body += chunk
                if len(body) > limit:
                    raise BadInput("source-oversized", f"the answer is larger than {limit} bytes", where=url)
            return bytes(body)

    return _retrying(once, url, threading.Event())


class _Retry(Exception):
    """Worth another attempt, after ``delay`` seconds if the server said so."""

    def __init__(self, error: ApplianceError, delay: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.delay = delay


class _Stopped(Exception):
    """Another file has failed or the user has interrupted."""


class _Download:
    def __init__(self, request: Request, sink: Sink, session: httpx2.Client, task: Task, stop: threading.Event) -> None:
        self.request = request
        self.sink = sink
        self.session = session
        self.task = task
        self.stop = stop
        self.shown = 0

    def run(self) -> None:
        _retrying(self.once, self.request.url, self.stop)

    def once(self) -> None:
        resumed = 0
        try:
            with self.sink.receive(self.request.content) as receiver:
                resumed = receiver.offset
                self.show(receiver)
                if receiver.offset < self.request.content.size or self.request.content.size == 0:
                    self.transfer(receiver)
        except NotTrusted as error:
            error.where = f"{self.request.name} from {self.request.url}"
            if resumed:  # the beginning may be what was wrong: once more, without it
                raise _Retry(error, 0.0) from None
            raise
        except BadInput as error:
            if error.reference != "download-incomplete":
                raise
            error.where = f"{self.request.name} from {self.request.url}"
            raise _Retry(error) from None

    def transfer(self, receiver: Receiver) -> None:
        headers = dict(self.request.headers)
        if receiver.offset:
            headers["Range"] = f"bytes={receiver.offset}-"
        with self.session.stream("GET", self.request.url, headers=headers) as response:
            if response.status_code == 416:
                receiver.restart()
                raise _Retry(_refused(response, self.request.url))
            _check(response, self.request.url)
            if receiver.offset and not _continues(response, receiver.offset):
                receiver.restart()
                if response.status_code == 206:
                    raise _Retry(_refused(response, self.request.url))
            _check_size(response, self.request.content)
            for chunk in response.iter_raw(CHUNK):
                if self.stop.is_set():
                    raise _Stopped
                receiver.write(chunk)
                self.show(receiver)

    def show(self, receiver: Receiver) -> None:
        self.task.advance(receiver.offset - self.shown)
        self.shown = receiver.offset


_Result = TypeVar("_Result")


def _retrying(attempt: Callable[[], _Result], url: str, stop: threading.Event) -> _Result:
    delay = 0.5
    for left in range(ATTEMPTS - 1, -1, -1):
        try:
            return attempt()
        except _Retry as retry:
            error, asked = retry.error, retry.delay
        except httpx2.TransportError as problem:
            error, asked = _unreachable(problem, url), None
        if left == 0:
            raise error
        if stop.wait(min(asked if asked is not None else delay, _MAX_WAIT)):
            raise _Stopped
        delay *= 3
    raise AssertionError("unreachable")


def _continues(response: httpx2.Response, offset: int) -> bool:
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _check_size(response: httpx2.Response, content: Content) -> None:
    """Tell another file from a cut line: a shorter file would be asked for again and again."""
    if "Content-Encoding" in response.headers:
        return
    whole = response.headers.get("Content-Range", "").rpartition("/")[2]
    announced = whole if response.status_code == 206 else response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) != content.size:
        raise NotTrusted(
            "content-mismatch",
            "the source has another file than the lock names",
            expected=f"{content.size} bytes",
            found=f"{announced} bytes",
        )


def _check(response: httpx2.Response, url: str) -> None:
    if response.status_code in (200, 206):
        return
    if response.status_code in (404, 410):
        raise Gone("source-gone", f"the source has no such file (HTTP {response.status_code})", where=url)
    error = _refused(response, url)
    if response.status_code in _RETRIED:
        raise _Retry(error, _retry_after(response))
    raise error


def _refused(response: httpx2.Response, url: str) -> BadInput:
    hints = {
        401: "log in: the source asks for a token or a password",
        403: "the source knows you and refuses: ask for access",
        429: "the source limits requests: wait, or use a token",
    }
    return BadInput(
        "source-refused",
        f"the source answered HTTP {response.status_code}",
        where=url,
        hint=hints.get(response.status_code, "try again later; what has arrived is kept"),
    )


def _unreachable(problem: httpx2.TransportError, url: str) -> BadInput:
    return BadInput(
        "source-unreachable",
        f"the source cannot be reached: {problem or type(problem).__name__}",
        where=url,
        hint="check network, proxy (https_proxy) and certificates (SSL_CERT_FILE); what has arrived is kept",
    )


def _retry_after(response: httpx2.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
