"""Where fetched bytes go, as the kinds see it: the cache, without importing it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from appliance.model.files import Content, TreeEntry
from appliance.model.progress import Progress


class Receiver(Protocol):
    """Takes the bytes of one content; hashes while they pass.

    ``offset`` bytes are there already from an interrupted run: send what follows, or
    call ``restart``.
    """

    offset: int

    def write(self, chunk: bytes) -> None:
        """Append.  Raises NotTrusted as soon as there are more bytes than expected."""

    def restart(self) -> None:
        """Drop what is there: the source cannot continue in the middle."""


class LocalTree(Protocol):
    """A directory of somebody else's on this host: never left, no link followed, ordinary files only.

    Raises BadInput (``local-files-unreadable``) for what cannot be read or changes meanwhile.
    """

    root: Path

    def listing(self) -> Mapping[str, TreeEntry]:
        """Everything below it by path, whatever it is; nothing has been opened."""

    def contents(self, paths: Sequence[str], label: str, keep: Collection[str] = ()) -> Iterator[tuple[str, Content]]:
        """Each of the listed files as it is read, in no order; those of ``keep`` are in the sink then.

        ``label`` says to people what is done.
        """


class Sink(Protocol):
    """A content-addressed store that believes nothing but digests.  Thread-safe."""

    def holds(self, content: Content) -> bool:
        """Whether these bytes are there, unchanged since they were hashed."""

    def missing(self, contents: Iterable[Content]) -> list[Content]:
        """Those of ``contents`` that have to be fetched, each once."""

    def receive(self, content: Content) -> AbstractContextManager[Receiver]:
        """Take the bytes of ``content``; on leaving they are complete, equal and kept.

        Raises NotTrusted (reference ``content-mismatch``) if they are other bytes; if
        they are too few, they stay for the next run and BadInput
        (``download-incomplete``) is raised.
        """

    def put(self, data: bytes) -> Content:
        """Keep bytes that were made here."""

    def adopt(self, path: Path) -> Content:
        """Hash and keep a file that a tool wrote inside ``work``; ``path`` is gone after."""

    def copy_in(self, path: Path) -> Content:
        """Hash and keep a copy of somebody else's file."""

    def open_local(self, root: Path, progress: Progress, below: str = ".") -> AbstractContextManager[LocalTree]:
        """Open a directory of this host; ``below`` is a path under ``root`` on which no link lies."""

    def path(self, content: Content) -> Path:
        """The file that holds ``content``; read it, link it, never write it."""

    def work(self, purpose: str) -> AbstractContextManager[Path]:
        """A scratch directory on the cache's file system, removed on leaving."""

    def recall(self, key: str) -> tuple[str, ...]:
        """What ``remember`` stored under ``key`` (a SHA-256), or ``()``."""

    def remember(self, key: str, values: tuple[str, ...]) -> None:
        """Store a result that follows from ``key`` alone, to save making it again."""
