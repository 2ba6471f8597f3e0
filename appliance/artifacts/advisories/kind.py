"""Advisories: what is known of vulnerabilities on a day, carried as it was published.

A bundle has its snapshot at ``advisories/<name>/``.  Sources sign nothing: what HTTPS brings when a lock is made is
what the lock names by digest.  They publish anew every day and keep nothing, so another host can build the same lock
only with the same files: from its cache, or from a directory beside the definition.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, ClassVar

from pydantic import ValidationError

from appliance.artifacts.advisories.details import AdvisoriesDetails
from appliance.artifacts.advisories.section import AdvisoriesOrigin, AdvisoriesSection, AdvisoriesSources
from appliance.artifacts.advisories.snapshot import (
    OPTIONAL,
    REQUIRED,
    VEX,
    Asked,
    Files,
    UnreadableSnapshot,
    read_snapshot,
)
from appliance.artifacts.base import ArtifactSection, Context, Layout, Resolved, below, lock_source
from appliance.artifacts.describe import file_parts, licences_of, source_facts
from appliance.artifacts.directory import LEAVE_OUT, LocalDirectory
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.files import BundleFile
from appliance.model.limits import MAX_ADVISORIES
from appliance.model.parts import Part, PartType
from appliance.model.sink import Sink
from appliance.model.times import Day
from appliance.tools.download import Request, download
from appliance.tools.http import Gone, get

_MISSING = f"put the files of its sources there, as {', '.join((*REQUIRED, *OPTIONAL))}"
_NO_SOURCE = "ask its source; until it publishes in its form again, use files of another day (directory: NAME)"
_NO_VEX = f"put the statements there, as {VEX}, and nothing else"
_NO_STATEMENTS = "correct the statements: docs/vulnerabilities.md says what of OpenVEX 0.2.0 is read"


class Advisories:
    """Registered in KINDS."""

    name: ClassVar[str] = AdvisoriesDetails.kind
    section: ClassVar[type[ArtifactSection]] = AdvisoriesSection

    def resolve(self, name: str, section: AdvisoriesSection, context: Context) -> Resolved:
        """See ``Kind.resolve``.  A file in another form is refused (``advisories-unreadable``)."""
        artifact = f"{self.name}/{name}"
        if section.directory is not None:
            files = self._local(section.directory, context).lock(partial(_check_names, artifact), context)
        else:
            files = _fetched((section.sources or AdvisoriesSources()).by_file(), context)
        vex = section.vex
        if vex is not None:
            files += self._local(vex.directory, context, _NO_VEX).lock(partial(_check_vex, artifact), context)
        context.progress.step(f"Reading {artifact}")
        try:
            snapshot = read_snapshot(_opened(files, context.sink), Asked(), vex.until if vex else None)
        except UnreadableSnapshot as error:
            what = f"the advisories cannot be read: {error}"
            raise BadInput("advisories-unreadable", what, where=artifact, hint=_hint(error.name, section)) from None
        origin = AdvisoriesOrigin(
            type="directory" if section.directory else "sources",
            taken=snapshot.taken,
            directory=section.directory,
            vex_directory=vex.directory if vex else None,
            vex_until=vex.until if vex else None,
        )
        warnings = (f"records of OSV that cannot be read: {snapshot.unread}",) if snapshot.unread else ()
        return Resolved(source=origin.model_dump(exclude_none=True), files=files, warnings=warnings)

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.check_local``."""
        self._compare(artifact, context, keep=False)

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.fetch``."""
        self._compare(artifact, context, keep=True)
        if _origin(artifact).directory:
            return
        try:
            requests = [Request(file, file.url or "", file.path) for file in artifact.files if file.path != VEX]
            download(requests, context.sink, context.progress, f"Downloading {artifact.id}")
        except (Gone, NotTrusted) as error:
            if not isinstance(error, Gone) and error.reference != "content-mismatch":
                raise
            what = "its source has published other advisories since, and keeps no older ones"
            raise Stale(what, artifact=artifact.id, where=error.where) from None

    def lay_out(
        self, artifacts: Sequence[LockedArtifact], context: Context
    ) -> tuple[tuple[Layout, ...], tuple[BundleFile, ...]]:
        """See ``Kind.lay_out``."""
        return tuple(_lay_out(artifact) for artifact in artifacts), ()

    def describe(self, layout: Layout, context: Context) -> Part:
        """See ``Kind.describe``: the files, by name and digest."""
        folder, taken = f"{self.name}/{layout.artifact.name}", _origin(layout.artifact).taken
        return Part(
            ref=layout.artifact.id,
            type=PartType.SET,
            name=layout.artifact.name,
            version=taken,
            licences=licences_of(layout),
            path=folder,
            facts=source_facts(layout),
            parts=file_parts(layout, folder, taken),
        )

    def _compare(self, artifact: LockedArtifact, context: Context, *, keep: bool) -> None:
        """What of it is on this host, with what was locked."""
        origin = _origin(artifact)
        of_team = [file for file in artifact.files if file.path == VEX]
        for directory, files, hint in (
            (origin.directory, [file for file in artifact.files if file.path != VEX], _MISSING),
            (origin.vex_directory, of_team, _NO_VEX),
        ):
            if directory is not None:
                locked = artifact.model_copy(update={"files": tuple(files)})
                self._local(directory, context, hint).compare(locked, context, keep=keep)

    def _local(self, path: str, context: Context, missing: str = _MISSING) -> LocalDirectory:
        return LocalDirectory(self.name, path, [context.base], missing)


def vex_until(artifact: LockedArtifact) -> Day | None:
    """The last day of the security team's statements; None where it carries none."""
    return _origin(artifact).vex_until


def snapshot_files(artifact: LockedArtifact, sink: Sink) -> Files:
    """What ``read_snapshot`` takes, of fetched advisories."""
    return _opened(artifact.files, sink)


def _hint(name: str, section: AdvisoriesSection) -> str:
    """What to do about the file ``name`` that cannot be read."""
    if name == VEX:
        return _NO_STATEMENTS
    return _MISSING if section.directory else _NO_SOURCE


def _opened(files: Sequence[LockedFile], sink: Sink) -> Files:
    def opened(path: Path) -> IO[bytes]:
        return path.open("rb")

    return {file.path: partial(opened, sink.path(file)) for file in files}


def _fetched(urls: Mapping[str, str], context: Context) -> tuple[LockedFile, ...]:
    files = []
    for name, url in sorted(urls.items()):
        context.progress.step(f"Asking {url}")
        content = context.sink.put(get(url, context.progress.step, limit=MAX_ADVISORIES))
        files.append(LockedFile(path=name, sha256=content.sha256, size=content.size, url=url))
    return tuple(files)


def _check_names(artifact: str, paths: Sequence[str], others: Mapping[str, str]) -> None:
    known = {*REQUIRED, *OPTIONAL}
    for path in (*paths, *others):
        if path not in known or path in others:
            reason = others.get(path, "is no file of a snapshot")
            raise BadInput("advisories-refused", f"{path} {reason}", where=artifact, hint=LEAVE_OUT)
    if missing := [name for name in REQUIRED if name not in paths]:
        raise BadInput("advisories-file-missing", f"there is no {missing[0]}", where=artifact, hint=_MISSING)


def _check_vex(artifact: str, paths: Sequence[str], others: Mapping[str, str]) -> None:
    for path in (*paths, *others):
        if path != VEX or path in others:
            reason = others.get(path, f"is not {VEX}, the one file of a directory with VEX statements")
            raise BadInput("advisories-refused", f"{path} {reason}", where=artifact, hint=LEAVE_OUT)


def _origin(artifact: LockedArtifact) -> AdvisoriesOrigin:
    try:
        return AdvisoriesOrigin.model_validate(artifact.source)
    except ValidationError as error:
        raise lock_source(artifact.id, error) from None


def _lay_out(artifact: LockedArtifact) -> Layout:
    folder, origin = f"{AdvisoriesDetails.kind}/{artifact.name}", _origin(artifact)
    files = below(folder, ((file.path, file) for file in artifact.files))
    return Layout(artifact, files, AdvisoriesDetails(path=folder, taken=origin.taken, vex_until=origin.vex_until))
