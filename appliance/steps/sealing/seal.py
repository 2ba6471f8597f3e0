"""From fetched artifacts to a bundle directory: listed, linked, described, not yet signed.

The directory is put together beside its final name and renamed when it is whole.  Files
are hard links into the cache, or reflinks, or, on another file system, copies that are
hashed while they are written.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

from appliance.artifacts.base import Context, Kind, Layout
from appliance.artifacts.kinds import KINDS
from appliance.errors import BadInput, Failed, NotTrusted
from appliance.model.documents.bundle import (
    BUNDLE_SCHEMA,
    INDEX,
    LOCK_EVIDENCE,
    LOG_SCRIPT,
    PROVENANCE,
    ROOTS,
    SIGNATURES,
    STATEMENT,
    SUMS,
    UPSTREAM,
    VERIFY_SCRIPT,
    VULNERABILITIES,
    BundleArtifact,
    BundleIndex,
)
from appliance.model.documents.lock import Lock
from appliance.model.documents.vulnerabilities import VulnerabilityReport
from appliance.model.files import BundleFile, Content
from appliance.model.jsonform import pretty_json
from appliance.steps.documents.lock import lock_text, profiles_of
from appliance.steps.sealing.provenance import provenance
from appliance.steps.sealing.sbom import documents
from appliance.steps.sealing.sha384 import sha384_list
from appliance.steps.sealing.upstream import upstream_files, upstream_report
from appliance.steps.sealing.vulnerabilities import known_vulnerabilities, report_text
from appliance.store.cache import CHUNK, SEALED_MODE, Cache
from appliance.store.disk import make_directories, make_directory, remove_tree, sync, sync_all
from appliance.store.whole import write_whole
from appliance.trust.statement import build_statement
from appliance.trust.sums import format_sums

_FICLONE = 0x40049409  # ioctl_ficlonerange(2): share the blocks of another file


@dataclass(frozen=True)
class BundlePlan:
    """Everything that SHA256SUMS will list, and its bytes; ``size`` counts bytes.

    ``known`` is what the bundle's advisories say of its parts, where it has any.
    """

    lock: Lock
    files: Mapping[str, Content]
    sums: bytes
    known: VulnerabilityReport | None = None

    @property
    def size(self) -> int:
        """Bytes of all listed files."""
        return sum(content.size for content in self.files.values())


def plan(lock: Lock, cache: Cache, context: Context) -> BundlePlan:
    """Lay all fetched artifacts out, and write down what is in them.  The same lock gives the same plan everywhere."""
    layouts, shared = _lay_out(lock, context)
    scripts = {VERIFY_SCRIPT: _own(VERIFY_SCRIPT), LOG_SCRIPT: _own(Path(LOG_SCRIPT).name)}
    made = {LOCK_EVIDENCE: lock_text(lock), LOG_SCRIPT: scripts[LOG_SCRIPT], UPSTREAM: upstream_report(lock)}
    parts = [kind.describe(layout, context) for kind, layout in layouts]
    made |= documents(lock, parts, scripts)
    known = known_vulnerabilities(lock, parts, cache)
    if known is not None:
        made[VULNERABILITIES] = report_text(known)
    shared += [_place(path, cache.put(data)) for path, data in made.items()]
    shared += upstream_files(lock)
    artifacts = tuple(_artifact(layout) for _, layout in layouts)
    files: dict[str, Content] = {}
    _add(files, shared)
    _add(files, [file for artifact in artifacts for file in artifact.files])
    _add(files, [_place(VERIFY_SCRIPT, cache.put(scripts[VERIFY_SCRIPT]))])
    shared.append(_place(PROVENANCE, cache.put(provenance(lock, files))))
    _add(files, shared[-1:])
    index = BundleIndex(
        schema_=BUNDLE_SCHEMA,
        name=lock.bundle.name,
        version=lock.bundle.version,
        description=lock.bundle.description,
        serving=profiles_of(lock),
        artifacts=artifacts,
        shared=tuple(sorted(shared, key=lambda file: file.path)),
    )
    _add(files, [_place(INDEX, cache.put(pretty_json(index.model_dump(mode="json", by_alias=True))))])
    if lock.bundle.profile == "cnsa-2.0":
        path, data = sha384_list(files, cache, context.progress)
        files[path] = cache.put(data)
    return BundlePlan(lock, files, format_sums({path: content.sha256 for path, content in files.items()}), known)


def _add(files: dict[str, Content], more: Iterable[BundleFile]) -> None:
    """Add files by path; what artifacts share is there already."""
    for file in more:
        content = Content(sha256=file.sha256, size=file.size)
        if files.setdefault(file.path, content) != content:
            raise Failed("layout-conflict", "two artifacts put different files at one path", where=file.path)


def _lay_out(lock: Lock, context: Context) -> tuple[list[tuple[Kind, Layout]], list[BundleFile]]:
    """Each artifact with its kind, and the files that belong to a kind as a whole."""
    layouts: list[tuple[Kind, Layout]] = []
    shared: list[BundleFile] = []
    for kind in KINDS:
        locked = [artifact for artifact in lock.artifacts if artifact.kind == kind.name]
        if locked:
            of_kind, files = kind.lay_out(locked, context)
            layouts += [(kind, layout) for layout in of_kind]
            shared += files
    return layouts, shared


def _artifact(layout: Layout) -> BundleArtifact:
    return BundleArtifact(
        kind=layout.artifact.kind,
        name=layout.artifact.name,
        licence=layout.artifact.licence,
        source=layout.artifact.source,
        details=layout.details.fields(),
        files=tuple(sorted(layout.files, key=lambda file: file.path)),
    )


def seal(target: Path, planned: BundlePlan, roots: Sequence[bytes], cache: Cache, created: datetime) -> bool:
    """Make ``target`` hold exactly ``planned``.  Returns whether anything was written.

    An equal bundle that is there already stays as it is, with its statement and its
    signatures.  Raises BadInput (``bundle-exists``) for other content or roots at ``target``, and
    (``build-running``) when another build works on the same bundle.
    """
    with _staging(target) as staging:
        if os.path.lexists(target):
            _check_equal(target, planned, cache)
            _check_chain(target, roots)
            return False
        _check_room(staging, planned, cache)
        _link_all(staging, planned.files, cache)
        head = planned.lock.bundle
        statement = build_statement(head, planned.sums, files=len(planned.files), size=planned.size, created=created)
        for folder in (ROOTS, SIGNATURES):
            make_directory(staging / folder)
        for number, root in enumerate(roots, start=1):
            write_whole(staging / ROOTS / f"{number}.root.json", root, mode=0o644)
        write_whole(staging / SUMS, planned.sums, mode=0o644)
        write_whole(staging / STATEMENT, statement, mode=0o644)
        staging.chmod(0o755)
        sync_all(staging)
        staging.rename(target)
        sync(target.parent)
    return True


def _own(script: str) -> bytes:
    return resources.files("appliance").joinpath(script).read_bytes()


def _place(path: str, content: Content) -> BundleFile:
    return BundleFile(path=path, sha256=content.sha256, size=content.size)


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """The directory beside ``target`` where it is put together, locked against others."""
    staging = target.parent / f".{target.name}.building"
    descriptor = _lock(staging, target)
    while not _is_at(descriptor, staging):
        # Between our opening and our locking it was finished, and so renamed, by another build.
        os.close(descriptor)
        descriptor = _lock(staging, target)
    try:
        _empty(staging)  # what a killed build has left
        yield staging
    finally:
        if _is_at(descriptor, staging):
            remove_tree(staging)
        os.close(descriptor)


def _lock(staging: Path, target: Path) -> int:
    """A descriptor of the directory, made when missing, that holds its lock."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir(mode=0o755, exist_ok=True)
        descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise BadInput(
            "not-writable", f"the output directory cannot be used: {error.strerror}", where=str(target.parent)
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)  # and nothing else: the directory is another build's
        raise BadInput(
            "build-running",
            "another build of this bundle is running",
            where=str(target),
            hint="wait until it has ended",
        ) from None
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink()


def _check_room(staging: Path, planned: BundlePlan, cache: Cache) -> None:
    """Links take no room; on another file system everything is copied."""
    free = shutil.disk_usage(staging).free
    if staging.stat().st_dev != cache.root.stat().st_dev and planned.size > free:
        raise BadInput(
            "disk-full",
            "there is not enough space for the bundle, which must be copied from another file system",
            where=str(staging.parent),
            expected=f"{planned.size} bytes free",
            found=f"{free} bytes",
            hint="choose another place with --out, or a cache on the same file system with --cache",
        )


def _link_all(staging: Path, files: Mapping[str, Content], cache: Cache) -> None:
    there: set[str] = set()
    for path, content in files.items():
        target = f"{staging}/{path}"  # a Path takes longer to make than a link
        if (folder := path.rpartition("/")[0]) not in there:
            make_directories(staging / folder)
            there.add(folder)
        source = cache.path(content)
        if not cache.holds(content):
            raise Failed("cache-lost", "a fetched file is gone from the cache", where=path, hint="build again")
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
                raise
            _copy(source, Path(target), content)


def _copy(source: Path, target: Path, content: Content) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError:
            digest = hashlib.sha256()
            while chunk := reading.read(CHUNK):
                digest.update(chunk)
                writing.write(chunk)
            if digest.hexdigest() != content.sha256:
                raise NotTrusted(
                    "cache-corrupt",
                    "a file of the cache has changed",
                    where=str(source),
                    expected=content.sha256,
                    found=digest.hexdigest(),
                    hint="remove the file and build again",
                ) from None
        writing.flush()
        os.fchmod(writing.fileno(), SEALED_MODE)
        os.fsync(writing.fileno())


def _check_equal(target: Path, planned: BundlePlan, cache: Cache) -> None:
    """Raise unless ``target`` is a bundle with exactly the planned files."""
    other = BadInput(
        "bundle-exists",
        "the output exists and holds something else",
        where=str(target),
        hint="remove it, choose another output with --out, or give the definition a new version",
    )
    try:
        same = not target.is_symlink() and (target / SUMS).read_bytes() == planned.sums
    except OSError:
        same = False
    if not same:
        raise other
    found = {
        str(path.relative_to(target))
        for path in target.rglob("*")
        if not path.is_dir() and path.relative_to(target).parts[0] not in (SUMS, STATEMENT, SIGNATURES, ROOTS)
    }
    if found != set(planned.files):
        raise other
    for path, content in planned.files.items():
        if not _is_same_file(target / path, content, cache):
            raise other


def _check_chain(target: Path, roots: Sequence[bytes]) -> None:
    """Its signatures were made for the chain that it carries: with another it would be another bundle."""
    found = {path.name: path.read_bytes() for path in (target / ROOTS).iterdir()}
    if found != {f"{number}.root.json": root for number, root in enumerate(roots, start=1)}:
        raise BadInput(
            "bundle-exists",
            "the output exists and carries another root chain",
            where=str(target / ROOTS),
            hint="keep it and choose another output with --out, or remove it, build again and have it signed again",
        )


def _is_same_file(path: Path, content: Content, cache: Cache) -> bool:
    status = path.lstat()
    if os.path.samestat(status, cache.path(content).lstat()):
        return cache.holds(content)  # one inode: the cache knows whether it was written to
    return not path.is_symlink() and cache.is_equal(path, content)
