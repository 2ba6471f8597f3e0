"""The source ``containerfile``: an image that is built here, without a network.

The lock pins everything that goes in: the Containerfile and what lies beside it, the
Debian packages of the base, the Python wheels.  The build is given these files and no
network.  That is no sandbox: steps run in a chroot, as root when we do, so a Containerfile
is to be read like a program that is about to be run.  What comes out is written once more
in our own form (``layer``), so that it depends on the inputs and not on the release
of buildah.

In the build context lie the files of the definition, with mode 0444 (``COPY --chmod``
gives others), and ``base.tar``; the additional context ``wheels`` holds the wheels and
their requirements.txt.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from appliance.artifacts.base import Context, Resolved, lock_source
from appliance.artifacts.images.details import ImageDetails
from appliance.artifacts.images.layer import normalise
from appliance.artifacts.images.section import ContainerfileOrigin, ImagesSection
from appliance.artifacts.images.source import ImageBlobs
from appliance.artifacts.os_packages.repository import flat_repository
from appliance.artifacts.os_packages.sources import fetch_indexes, fetch_packages, resolve_packages
from appliance.artifacts.wheels.requirements import requirements_text
from appliance.artifacts.wheels.sources import ResolvedWheels, check_projects, fetch_wheels, resolve_wheels
from appliance.errors import BadInput, Failed, Stale
from appliance.formats.oci import OCI_MANIFEST, Descriptor, Manifest, Platform, parse_document
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.documents.wheel_set import write_record
from appliance.model.files import Content
from appliance.model.jsonform import canonical_json
from appliance.model.names import path_problem
from appliance.tools import buildah, mmdebstrap, namespace

_CONTEXT = "context"
_DEBS = "debs"
_WHEELS = "wheels"
# Part of the key that built images are remembered by: raise it when the way of building changes.
_RECIPE = "1"
_BASE = "base.tar"
_NO_CONTEXT = {"link": "is a link, not an ordinary file", "special": "is not an ordinary file"}
_INSTALLER = "pip-"  # runs from its wheel and is not installed


class ContainerfileImages:
    """See ``ImageSource``."""

    type: ClassVar[str] = "containerfile"

    def resolve(self, name: str, section: ImagesSection, context: Context) -> Resolved:
        """See ``ImageSource.resolve``."""
        source = section.containerfile
        if source is None:
            raise Failed("image-source", "the section has no containerfile", where=name)
        local = _context_files(context.base / source.context, context)
        packages = resolve_packages(source.base, context)
        wheels = resolve_wheels(source.wheels, context, f"images/{name}") if source.wheels else ResolvedWheels()
        inputs = (
            *local,
            *_below(_DEBS, packages.files),
            *_below(_WHEELS, wheels.files),
        )
        return Resolved(
            source={
                "type": self.type,
                "context": source.context,
                "platform": f"linux/{source.base.architecture}",
                **packages.source,
                **(write_record(source.wheels) if source.wheels else {}),
            },
            warnings=wheels.warnings,
            upstream=(*packages.upstream, *wheels.upstream),
            evidence=(*packages.evidence, *wheels.evidence),
            inputs=tuple(sorted(inputs, key=lambda file: file.path)),
        )

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``ImageSource.check_local``: the build context, and own source trees."""
        _check_context(artifact, context, keep=False)
        check_projects(_part(artifact, _WHEELS), artifact.source, context, artifact.id)

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``ImageSource.fetch``: bring the inputs here and build, unless that was done before."""
        _check_context(artifact, context, keep=True)
        fetch_indexes(artifact, context)
        if _built(artifact, context):
            return
        namespace.check()
        debs, wheels = _part(artifact, _DEBS), _part(artifact, _WHEELS)
        fetch_packages(debs, artifact.source, artifact.id, context)
        fetch_wheels(wheels, artifact.source, context, artifact.id)
        context.progress.step(f"Building {artifact.id}: {len(debs)} packages, {len(wheels)} wheels")
        with context.progress.task("Building", None), context.sink.work("image") as work:
            manifest = _build(artifact, context, work)
        context.sink.remember(_key(artifact), (manifest.sha256, str(manifest.size)))

    def blobs(self, artifact: LockedArtifact, context: Context) -> ImageBlobs:
        """See ``ImageSource.blobs``."""
        built = _built(artifact, context)
        if built is None:
            raise Failed("image-missing", "the image has not been built", where=artifact.id)
        content, manifest = built
        digest = f"sha256:{content.sha256}"
        platform = _read_origin(artifact).platform
        return ImageBlobs(
            manifest=Descriptor(OCI_MANIFEST, digest, content.size, Platform.parse(platform)),
            blobs=(content, *manifest.blobs),
            details=ImageDetails(manifest_digest=digest, platform=platform),
        )


def _check_context(artifact: LockedArtifact, context: Context, *, keep: bool) -> None:
    folder = _local_folder(artifact, context)
    wanted = {f"{_CONTEXT}/{file.path}": file.sha256 for file in _part(artifact, _CONTEXT)}
    found = {file.path: file.sha256 for file in _context_files(folder, context, keep=keep)}
    for path in sorted(wanted.keys() | found.keys()):
        if wanted.get(path) != found.get(path):
            raise Stale(
                "a file of the build context has changed since it was locked",
                artifact=artifact.id,
                where=str(folder / path.removeprefix(f"{_CONTEXT}/")),
            )


def _context_files(folder: Path, context: Context, *, keep: bool = False) -> tuple[LockedFile, ...]:
    """The files of a build context as they are now, in the sink if they are to be kept."""
    with context.sink.open_local(folder, context.progress) as tree:
        names = []
        for path, entry in sorted(tree.listing().items()):
            problem = path_problem(path) or _NO_CONTEXT.get(entry.kind, "")
            if path == _BASE:
                problem = "has the name of the base, which is made here"
            if problem:
                raise BadInput("containerfile-context", f"{path!r} {problem}", where=str(folder / path))
            if entry.kind == "file":
                names.append(path)
        if "Containerfile" not in names:
            raise BadInput("containerfile-missing", "the build context has no Containerfile", where=str(folder))
        read = dict(tree.contents(names, f"Reading {folder.name}", keep=names if keep else ()))
    return tuple(
        LockedFile(path=f"{_CONTEXT}/{path}", sha256=read[path].sha256, size=read[path].size) for path in names
    )


def _local_folder(artifact: LockedArtifact, context: Context) -> Path:
    return context.base / _read_origin(artifact).context


def _read_origin(artifact: LockedArtifact) -> ContainerfileOrigin:
    try:
        return ContainerfileOrigin.from_fields(artifact.source)
    except ValueError as error:
        raise lock_source(artifact.id, error) from None


def _below(folder: str, files: Iterable[LockedFile]) -> Iterable[LockedFile]:
    for file in files:
        yield replace(file, path=f"{folder}/{file.path}")


def _part(artifact: LockedArtifact, folder: str) -> tuple[LockedFile, ...]:
    prefix = f"{folder}/"
    return tuple(
        replace(file, path=file.path.removeprefix(prefix)) for file in artifact.inputs if file.path.startswith(prefix)
    )


def _key(artifact: LockedArtifact) -> str:
    inputs = [[file.path, file.sha256] for file in artifact.inputs]
    packages = artifact.source.get("archive-packages", "")
    return hashlib.sha256(canonical_json([_RECIPE, _read_origin(artifact).platform, packages, inputs])).hexdigest()


def _recalled(key: str, context: Context) -> Content | None:
    """The content that was remembered under ``key``, if it is there."""
    remembered = context.sink.recall(key)
    if len(remembered) != 2 or not remembered[1].isdigit():
        return None
    content = Content(sha256=remembered[0], size=int(remembered[1]))
    return content if context.sink.holds(content) else None


def _built(artifact: LockedArtifact, context: Context) -> tuple[Content, Manifest] | None:
    """The manifest of an earlier build of the same inputs, when all its blobs are there."""
    content = _recalled(_key(artifact), context)
    if content is None:
        return None
    manifest = parse_document(context.sink.path(content).read_bytes())
    if not isinstance(manifest, Manifest) or context.sink.missing(manifest.blobs):
        return None
    return content, manifest


def _build(artifact: LockedArtifact, context: Context, work: Path) -> Content:
    """Lay the inputs out, make the base, build, and bring the result into our form."""
    sink = context.sink
    folders = {name: work / name for name in (_DEBS, _WHEELS, _CONTEXT, "tmp")}
    for folder in folders.values():
        folder.mkdir()
    for part in (_DEBS, _WHEELS, _CONTEXT):
        for file in _part(artifact, part):
            target = folders[part] / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(sink.path(file), target)
    packages, _ = flat_repository(_part(artifact, _DEBS), sink)
    (folders[_DEBS] / "Packages").write_bytes(packages)
    wheels = [file for file in _part(artifact, _WHEELS) if not file.path.startswith(_INSTALLER)]
    (folders[_WHEELS] / "requirements.txt").write_bytes(requirements_text(wheels))
    os.link(sink.path(_base(artifact, context, folders[_DEBS], folders["tmp"])), folders[_CONTEXT] / _BASE)
    try:
        buildah.build(folders[_CONTEXT], folders[_WHEELS], work / "built", folders["tmp"])
    except Failed as failed:
        containerfile = _local_folder(artifact, context) / "Containerfile"
        raise Failed(
            "containerfile-failed", f"the image cannot be built: {failed.what}", where=str(containerfile)
        ) from failed
    return normalise(work / "built", sink, work)


def _base(artifact: LockedArtifact, context: Context, repository: Path, scratch: Path) -> Content:
    """The tar of the base, made of what lies in ``repository`` unless that was done before.

    It takes longer than most Containerfiles, and stays when one of them fails.
    """
    origin = _read_origin(artifact)
    debs = [[file.path, file.sha256] for file in _part(artifact, _DEBS)]
    key = hashlib.sha256(
        canonical_json(["base", _RECIPE, origin.architecture, list(origin.packages), debs])
    ).hexdigest()
    known = _recalled(key, context)
    if known is not None:
        return known
    mmdebstrap.make_base(repository, origin.packages, origin.architecture, scratch / _BASE, scratch)
    base = context.sink.adopt(scratch / _BASE)
    context.sink.remember(key, (base.sha256, str(base.size)))
    return base
