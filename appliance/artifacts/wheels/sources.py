"""Wheels for hosts and for images that are built here: resolved, fetched, checked.

Every file is accepted by digest; on top of that each wheel's archive is checked before it
is carried (``formats.wheel``).  Wheels of our own source trees are made here, again when
they are missing, and have to come out the same.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from appliance.artifacts.base import Context, lock_source, yanked_warning
from appliance.artifacts.wheels import directories as wheel_directories
from appliance.artifacts.wheels.upstream import attested, not_asked
from appliance.errors import BadInput, Stale
from appliance.formats.wheel import check_wheel
from appliance.model.addresses import is_fetchable
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.documents.upstream import UpstreamFinding
from appliance.model.documents.wheel_set import WheelSet, read_projects
from appliance.tools import flit, uv
from appliance.tools.download import Request, download
from appliance.tools.http import Gone, sizes


@dataclass(frozen=True)
class ResolvedWheels:
    """The wheels of a set by file name, what speaks against them, and what their publishers have signed."""

    files: tuple[LockedFile, ...] = ()
    warnings: tuple[str, ...] = ()
    upstream: tuple[UpstreamFinding, ...] = ()
    evidence: tuple[LockedFile, ...] = ()


def resolve_wheels(wheels: WheelSet, context: Context, artifact: str) -> ResolvedWheels:
    """The wheels of the set.  ``artifact`` is ``kind/name``, for messages.

    Wheels of ``projects`` are made and kept in the sink; their entries have no URL.
    Raises BadInput: what ``tools.uv``, ``tools.flit`` and ``tools.http`` raise,
    and ``wheel-missing`` when a release has none for the target.
    """
    with context.sink.work("wheels") as work:
        built = tuple(
            flit.build_wheel((context.base / project).resolve(), work / f"project-{number}")
            for number, project in enumerate(wheels.projects)
        )
        held = wheel_directories.stand_ins(wheels, context, work / "stand-ins")
        question = uv.Resolution(
            artifact=artifact,
            wheels=wheels,
            stand_ins={package: stand_in.folder for package, stand_in in held.items()},
            built=built,
            held=_releases(context.held),
        )
        packages = uv.resolve(question, work)
        chosen = {package.name: _chosen(package, question) for package in packages}
        fetched = _offered([wheel for package, wheel in chosen.items() if package not in held], context)
        kept = [held[package].lock(wheel.filename, context) for package, wheel in chosen.items() if package in held]
        made = [_made(path, wheels, context) for path in built]
    files = [*fetched, *kept, *made]
    signed = attested(fetched, wheels, artifact, context)
    signed += not_asked(kept, "taken from a directory of the builder's host: the index was not asked")
    signed += not_asked(made, "made here, of a source tree of the definition")
    total = sum(file.size for file in files)
    context.progress.step(f"{artifact}: {len(files)} wheels, {total / 1e6:.1f} MB")
    warnings = [
        yanked_warning(f"{package.name}=={package.version}", package.yanked)
        for package in packages
        if package.yanked is not None
    ]
    if not files:
        warnings.append("it holds no wheel: markers or 'exclude' leave out everything that is required")
    signed = sorted(signed, key=lambda one: one.finding.about)
    return ResolvedWheels(
        files=tuple(sorted(files, key=lambda file: file.path)),
        warnings=tuple(warnings),
        upstream=tuple(one.finding for one in signed),
        evidence=tuple(one.evidence for one in signed if one.evidence),
    )


def _releases(held: LockedArtifact | None) -> dict[str, str]:
    """Version by name of the wheels of an index that an entry of a lock holds, or was made from."""
    found: dict[str, str] = {}
    for file in (*held.files, *held.inputs) if held else ():
        with suppress(InvalidWheelFilename):  # what a lock says is checked where it is fetched
            if file.url is not None:
                name, version, _, _ = parse_wheel_filename(file.path.rpartition("/")[2])
                found[name] = str(version)
    return found


def fetch_wheels(files: Sequence[LockedFile], source: Mapping[str, str], context: Context, artifact: str) -> None:
    """Bring ``files`` into the sink and check them.

    ``source`` holds what ``write_record`` recorded.  Raises Stale when an index no longer
    has a file or an own source tree has changed; NotTrusted for other bytes
    (``content-mismatch``) and for a wheel that is not one (``wheel-malformed``).
    """
    missing = {content.sha256 for content in context.sink.missing(files)}
    # Also when the cache has them: a source tree that has moved on must not go unnoticed.
    check_projects(files, source, context, artifact)
    wanted = [file for file in files if file.url is not None and file.sha256 in missing]
    wheel_directories.take(wanted, context)
    requests = [Request(content=file, url=file.url or "", name=file.path) for file in wanted]
    try:
        download(requests, context.sink, context.progress, artifact)
    except Gone as gone:
        raise Stale("the index no longer has a wheel of the lock", artifact=artifact, where=gone.where) from None
    for file in files:
        with context.sink.path(file).open("rb") as wheel:
            check_wheel(wheel, file.path)


def check_projects(files: Sequence[LockedFile], source: Mapping[str, str], context: Context, artifact: str) -> None:
    """Make the wheels of own source trees again, into the sink.  Raises Stale when one comes out otherwise."""
    own = [file for file in files if file.url is None]
    if not own:
        return
    try:
        projects = read_projects(source)
    except ValueError as error:
        raise lock_source(artifact, error) from None
    with context.sink.work("project") as work:
        made = {
            context.sink.adopt(flit.build_wheel((context.base / project).resolve(), work / str(number))).sha256
            for number, project in enumerate(projects)
        }
    for file in own:
        if file.sha256 not in made:
            raise Stale(f"the source tree of {file.path} has changed since it was locked", artifact=artifact)


def _offered(wheels: Sequence[uv.OfferedWheel], context: Context) -> list[LockedFile]:
    for wheel in wheels:
        if not is_fetchable(wheel.url):
            raise BadInput("wheel-address", "the index names an address that is not https", where=wheel.url)
    told = sizes((wheel.url for wheel in wheels if wheel.size is None), context.progress.step)
    return [
        LockedFile(
            path=wheel.filename,
            sha256=wheel.sha256,
            size=told[wheel.url] if wheel.size is None else wheel.size,
            url=wheel.url,
        )
        for wheel in wheels
    ]


def _chosen(package: uv.ResolvedPackage, question: uv.Resolution) -> uv.OfferedWheel:
    offered = {wheel.filename: wheel for wheel in package.wheels}
    filename = question.wheels.choose(offered)
    if filename is None:
        raise BadInput(
            "wheel-missing",
            f"{package.name} {package.version} has no wheel for the target",
            where=question.artifact,
            expected=f"Python {question.wheels.python}, {question.wheels.platform}",
            found=", ".join(sorted(offered)),
        )
    return offered[filename]


def _made(path: Path, wheels: WheelSet, context: Context) -> LockedFile:
    filename = path.name
    if not wheels.choose([filename]):
        raise BadInput("wheel-missing", "the wheel of this source tree does not fit the target", where=filename)
    content = context.sink.adopt(path)
    return LockedFile(path=filename, sha256=content.sha256, size=content.size)
