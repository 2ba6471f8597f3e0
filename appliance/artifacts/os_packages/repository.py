"""An apt repository in one directory, of packages that were fetched and checked."""

from collections.abc import Sequence

from appliance.errors import NotTrusted
from appliance.formats.deb import DebError, read_control
from appliance.formats.deb_repository import (
    Control,
    IndexedDeb,
    packages_index,
    parse_control,
    release_index,
)
from appliance.model.documents.lock import LockedFile
from appliance.model.files import Content
from appliance.model.sink import Sink


def read_deb(file: LockedFile, sink: Sink) -> Control:
    """The control stanza of a fetched package.

    Raises NotTrusted (``deb-mismatch``) when it is no .deb, or not the one that its name
    promises.
    """
    try:
        with sink.path(content_of(file)).open("rb") as stream:
            control = parse_control(read_control(stream))
    except (DebError, ValueError) as error:
        raise NotTrusted("deb-mismatch", f"this is not a Debian package: {error}", where=file.path) from None
    if control.file_name != file.path:
        raise NotTrusted(
            "deb-mismatch",
            "the package is not the one that its file name says",
            where=file.url or file.path,
            expected=file.path,
            found=control.file_name,
        )
    return control


def flat_repository(
    files: Sequence[LockedFile], sink: Sink, *, label: str = "appliance", suite: str = "stable"
) -> tuple[bytes, bytes]:
    """``Packages`` and ``Release`` of a directory that holds all fetched ``files``.

    For a line ``deb [trusted=yes] file:///DIRECTORY ./``.  The same files give the same
    bytes everywhere.
    """
    debs = [IndexedDeb(read_deb(file, sink), content_of(file)) for file in files]
    packages = packages_index(debs)
    architectures = {deb.control.architecture for deb in debs}
    return packages, release_index(packages, label=label, suite=suite, architectures=architectures)


def content_of(file: LockedFile) -> Content:
    """The bytes of a locked file."""
    return Content(sha256=file.sha256, size=file.size)
