"""skopeo: documents and blobs of container registries.

Works with skopeo 1.9 (Debian 12) and later.  Logins, certificates and mirrors are found
where skopeo finds them for everybody: the file of ``skopeo login`` or REGISTRY_AUTH_FILE,
/etc/containers/certs.d, SSL_CERT_FILE, /etc/containers/registries.conf.  Only paths of
such files pass through here, never what is in them.  TLS is demanded in words, so that a
registry which the host's configuration calls insecure is still refused.
"""

import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError, BadInput, Failed, NotTrusted
from appliance.model.progress import Task
from appliance.tools.run import run

_RETRIES = "2"
_DOCUMENT_TIMEOUT = 300.0  # seconds, with all retries
_POLL = 0.5  # seconds between two looks at how much has arrived
_ENVIRONMENT = ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME")
_SHA256 = "sha256:[0-9a-f]{64}"


class Missing(BadInput):
    """The registry answers that it has no such tag, digest or repository."""


def read_document(reference: str) -> bytes:
    """The index or manifest ``reference`` (``registry/repository:tag`` or ``@digest``), as the registry has it.

    skopeo does not compare these bytes with a digest in ``reference``: the caller does.
    Raises Missing, BadInput and NotTrusted as ``explain`` tells.
    """
    return _inspect(reference, "--raw")


def read_config(reference: str) -> bytes:
    """The configuration of the image ``reference``, as the registry has it.  Errors as ``read_document``."""
    return _inspect(reference, "--config", "--raw")


def copy_to_layout(reference: str, layout: Path, task: Task) -> None:
    """Copy a manifest and its blobs to the OCI image layout ``layout``, each byte as it is.

    Blobs that lie there are not fetched again, and those that are complete stay when the
    rest fails.  ``task`` advances by the bytes that arrive.  Errors as ``read_document``.
    """
    with _watching(layout, task):
        _run(
            reference,
            "skopeo",
            # Who may be trusted is not decided here and not by the host's policy.json:
            # every byte is compared with the digest in the lock.
            "--insecure-policy",
            "copy",
            "--quiet",
            "--preserve-digests",
            # An OCI layout has no place for signatures of this (older) kind, and skopeo stops when it meets one.
            "--remove-signatures",
            "--src-tls-verify=true",
            "--retry-times",
            _RETRIES,
            f"docker://{reference}",
            # Relative, because a colon in the path would end it.
            f"oci:{layout.name}:image",
            cwd=layout.parent,
        )


def login_file() -> str:
    """The file in which skopeo looks for a login first, for messages."""
    if path := os.environ.get("REGISTRY_AUTH_FILE"):
        return path
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    first = Path(runtime, "containers/auth.json") if runtime else Path(f"/run/containers/{os.getuid()}/auth.json")
    return f"{first}, then {Path('~/.docker/config.json').expanduser()}"


def explain(reference: str, error: Failed) -> ApplianceError:
    """What skopeo's words mean; ``error`` itself where they are not known.

    NotTrusted ``content-mismatch``: the registry serves bytes that do not match the digest.
    Missing ``image-missing``.  BadInput ``registry-login``, ``source-refused`` (too many
    requests), ``registry-certificate``, ``source-unreachable``.
    """
    if mismatch := _mismatch(reference, error.what):
        return mismatch
    words = _last_words(error.what)
    for meaning in _MEANINGS:
        if meaning.pattern.search(words.replace(reference, "")):
            hint = meaning.hint.replace("LOGIN_FILE", login_file())
            return meaning.error(meaning.reference, f"{meaning.what}: {words}", where=reference, hint=hint)
    return error


@dataclass(frozen=True)
class _Meaning:
    """``pattern`` in skopeo's last message, and the error that says it to a person."""

    pattern: re.Pattern[str]
    reference: str
    what: str
    hint: str
    error: type[BadInput] = BadInput


def _status(codes: str) -> str:
    """An HTTP status as the different versions of skopeo write it."""
    return rf"(?:StatusCode:|status code from registry|HTTP status:) (?:{codes})"


_MEANINGS = (
    _Meaning(
        re.compile(r"manifest unknown|name unknown|blob unknown|repository name not known|" + _status("404")),
        "image-missing",
        "the registry has no such image",
        "check registry, repository and tag",
        Missing,
    ),
    _Meaning(
        re.compile(r"unauthorized|authentication required|denied|invalid username/password|" + _status("401|403")),
        "registry-login",
        "the registry asks for a login, or the login may not read this image",
        "log in with 'skopeo login', or name the file in REGISTRY_AUTH_FILE; skopeo looked in LOGIN_FILE. "
        "Some registries answer like this when there is no such repository",
    ),
    _Meaning(
        re.compile(r"toomanyrequests|" + _status("429")),
        "source-refused",
        "the registry limits requests",
        "wait, or log in with 'skopeo login'; what has arrived is kept",
    ),
    _Meaning(
        re.compile(r"x509:|certificate|server gave HTTP response"),
        "registry-certificate",
        "the registry has no certificate that is trusted here",
        "put its authority's certificate into /etc/containers/certs.d/REGISTRY/ca.crt, or name it in SSL_CERT_FILE",
    ),
    _Meaning(
        re.compile(
            r"connection re(?:fused|set)|no such host|unreachable|no route|i/o timeout|timed out|\bEOF\b"
            r"|broken pipe|proxyconnect|server misbehaving|" + _status("5..")
        ),
        "source-unreachable",
        "the registry cannot be reached",
        "check network and proxy (https_proxy); what has arrived is kept",
    ),
)

_MISMATCHES = (
    re.compile(rf"expected (?P<expected>{_SHA256}), got (?P<found>{_SHA256})"),
    re.compile(rf"digest (?P<found>{_SHA256}) does not match expected (?P<expected>{_SHA256})"),
    re.compile(rf"does not match provided manifest digest (?P<expected>{_SHA256})(?P<found>)"),
)


def _mismatch(reference: str, words: str) -> NotTrusted | None:
    for pattern in _MISMATCHES:
        if match := pattern.search(words):
            return NotTrusted(
                "content-mismatch",
                "the registry serves bytes that do not match the digest",
                where=reference,
                expected=match["expected"],
                found=match["found"] or "another manifest",
            )
    return None


def _last_words(words: str) -> str:
    """The message that skopeo ended with, without its time stamp."""
    line = words.strip().splitlines()[-1]
    match = re.search(r'level=fatal msg="(.*)"$', line)
    return (match[1].replace('\\"', '"') if match else line)[-500:]


def _inspect(reference: str, *what: str) -> bytes:
    text = _run(
        reference,
        "skopeo",
        "inspect",
        *what,
        "--tls-verify=true",
        "--retry-times",
        _RETRIES,
        f"docker://{reference}",
        timeout=_DOCUMENT_TIMEOUT,
    )
    return text.encode()


def _run(reference: str, *argv: str, cwd: Path | None = None, timeout: float | None = None) -> str:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        return run(argv, cwd=cwd, env=environment, network=True, timeout=timeout)
    except Failed as error:
        raise explain(reference, error) from None


@contextmanager
def _watching(folder: Path, task: Task) -> Iterator[None]:
    """Report how ``folder`` grows, because skopeo's own progress is nothing that a program could read."""
    ended = threading.Event()

    def watch() -> None:
        shown = 0
        last = False
        while not last:
            last = ended.wait(_POLL)
            size = _size(folder)
            task.advance(max(0, size - shown))
            shown = max(shown, size)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _size(folder: Path) -> int:
    """Bytes of the plain files below ``folder``; links to what was there before count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(parent, name).lstat()
            except FileNotFoundError:  # skopeo renames while this looks
                continue
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total
