"""The kind ``os-packages``: ``os/<name>/`` is a flat apt repository."""

from collections.abc import Sequence
from typing import ClassVar

from appliance.artifacts.base import ArtifactSection, Context, Layout, Resolved, below
from appliance.artifacts.os_packages.archives import opened
from appliance.artifacts.os_packages.details import OsPackagesDetails
from appliance.artifacts.os_packages.module_build import fetch_modules, modules_packages
from appliance.artifacts.os_packages.module_signatures import read_certificate
from appliance.artifacts.os_packages.modules import resolve_modules
from appliance.artifacts.os_packages.parts import package_set
from appliance.artifacts.os_packages.repository import content_of, flat_repository
from appliance.artifacts.os_packages.section import OsPackagesSection
from appliance.artifacts.os_packages.sources import fetch_indexes, fetch_packages
from appliance.artifacts.os_packages.upstream import vouched
from appliance.model.documents.lock import LockedArtifact
from appliance.model.files import BundleFile
from appliance.model.parts import Part


class OsPackages:
    """Registered in KINDS."""

    name: ClassVar[str] = OsPackagesDetails.kind
    section: ClassVar[type[ArtifactSection]] = OsPackagesSection

    def resolve(self, name: str, section: OsPackagesSection, context: Context) -> Resolved:
        """See ``Kind.resolve``, ``Archives.closure`` and ``resolve_modules``."""
        for modules_source in section.modules:
            if modules_source.signed_by:
                read_certificate(modules_source.signed_by, context.base)
        with opened(section, context) as archives:
            modules = [resolve_modules(source, archives) for source in section.modules]
            if modules:
                archives.apt.replace([source.source for source in section.modules], [one.control for one in modules])
            files = archives.closure((*section.packages, *(one.origin.package for one in modules)))
            source = {
                **archives.record(),
                **{key: text for one in modules for key, text in one.origin.record().items()},
            }
            inputs = sorted((file for one in modules for file in one.inputs), key=lambda file: file.path)
            upstream, evidence = vouched(archives, (*files, *inputs), context)
        return Resolved(
            source=dict(sorted(source.items())),
            upstream=upstream,
            evidence=evidence,
            files=files,
            inputs=tuple(inputs),
        )

    def check_local(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.check_local``: there is nothing of it on this host."""

    def fetch(self, artifact: LockedArtifact, context: Context) -> None:
        """See ``Kind.fetch``, ``fetch_packages`` and ``fetch_modules``."""
        fetch_packages(artifact.files, artifact.source, artifact.id, context)
        fetch_modules(artifact, context)
        fetch_indexes(artifact, context)

    def lay_out(
        self, artifacts: Sequence[LockedArtifact], context: Context
    ) -> tuple[tuple[Layout, ...], tuple[BundleFile, ...]]:
        """See ``Kind.lay_out``."""
        return tuple(_lay_out(artifact, context) for artifact in artifacts), ()

    def describe(self, layout: Layout, context: Context) -> Part:
        """See ``Kind.describe`` and ``package_set``."""
        return package_set(layout, context)


def _lay_out(artifact: LockedArtifact, context: Context) -> Layout:
    suite = artifact.source.get("archive-suite", "stable")
    carried = sorted((*artifact.files, *modules_packages(artifact, context)), key=lambda file: file.path)
    packages, release = flat_repository(carried, context.sink, label=artifact.name, suite=suite)
    made = {"Packages": context.sink.put(packages), "Release": context.sink.put(release)}
    contents = {**{file.path: content_of(file) for file in carried}, **made}
    files = below(f"os/{artifact.name}", sorted(contents.items()))
    return Layout(artifact, files, OsPackagesDetails(repository=f"os/{artifact.name}", suite=suite))
