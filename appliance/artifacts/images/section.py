"""What a definition says about one container image, and what a lock keeps of its origin."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from appliance.artifacts.base import ArtifactSection
from appliance.formats.oci import Platform, check_digest
from appliance.model.base import Strict
from appliance.model.documents.archive import Architecture, PackageName
from appliance.model.documents.package_set import PackageSet
from appliance.model.documents.wheel_set import WheelSet
from appliance.model.names import LocalPath, Sha256

# https://pkg.go.dev/github.com/distribution/reference has the grammar; a registry has to be named.
_REGISTRY = r"(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+)(?::[0-9]{1,5})?|[a-zA-Z0-9-]+:[0-9]{1,5}"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:{_REGISTRY})(?:/{_COMPONENT})+)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>.+))?"
)
_WORD = r"^[!-~]+$"  # printable and without spaces: it ends in a lock, where people read it
_ATTACHED = "attached"
_ATTACHED_NAME = re.compile(r"(?:sha256|referrer|attestation)-[0-9a-f]{64}(?:\.[a-z]+)?")


@dataclass(frozen=True)
class ImageReference:
    """A repository with its registry, and a tag or a digest, of which the other is ``""``."""

    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "ImageReference":
        """Read ``registry/repository:tag`` or ``registry/repository@sha256:...``.  Raises ValueError."""
        match = _REFERENCE.fullmatch(text) if len(text) <= 512 else None
        if not match:
            raise ValueError(
                f"{text!r} is not an image: write registry/repository:tag or registry/repository@sha256:..., "
                "for example docker.io/library/debian:12"
            )
        tag, digest = match["tag"] or "", match["digest"] or ""
        if bool(tag) == bool(digest):
            raise ValueError(f"{text!r} must have either a tag or a digest")
        return cls(match["repository"], tag, check_digest(digest) if digest else "")

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    def at(self, digest: str) -> "ImageReference":
        """The document ``digest`` of the same repository."""
        return ImageReference(self.repository, digest=digest)

    def tagged(self, tag: str) -> "ImageReference":
        """The tag ``tag`` of the same repository."""
        return ImageReference(self.repository, tag=tag)


def _check_reference(value: str) -> str:
    return str(ImageReference.parse(value))


def _check_platform(value: str) -> str:
    if Platform.parse(value).os != "linux":
        raise ValueError(f"{value!r} is not a platform of a site: its hosts run Linux")
    return value


def _check_attached_name(value: str) -> str:
    if not _ATTACHED_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of something attached to an image")
    return value


Reference = Annotated[str, AfterValidator(_check_reference)]
LinuxPlatform = Annotated[str, AfterValidator(_check_platform)]
Digest = Annotated[str, AfterValidator(check_digest)]
AttachedName = Annotated[str, AfterValidator(_check_attached_name)]


class ImageSigner(Strict):
    """The one who has to have signed an image: a key, or a person or workflow that Sigstore has certified.

    ``key`` is a file with a public key, relative to the definition; ``keyid`` is the SHA-256 of its SPKI DER, so
    whoever can exchange the file has gained nothing.  ``identity`` is what the certificate has to name, and
    ``issuer`` who has logged that identity in.
    """

    key: LocalPath | None = None
    keyid: Sha256 | None = None
    identity: Annotated[str, Field(max_length=1024, pattern=_WORD)] | None = None
    issuer: Annotated[str, Field(max_length=1024, pattern=_WORD)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "ImageSigner":
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        if given not in ({"key", "keyid"}, {"identity", "issuer"}):
            raise ValueError(
                "name the signer by 'key' and 'keyid', or by 'identity' and 'issuer'; "
                f"found {' and '.join(sorted(given)) or 'none of them'}"
            )
        return self

    def __str__(self) -> str:
        return f"the key {self.keyid}" if self.key else f"{self.identity} ({self.issuer})"


class RegistrySource(Strict):
    """An image of a registry.  Of an index, the manifest for ``platform`` is taken.

    With ``signed_by``, it is locked only if that signer has signed it.
    """

    image: Reference
    platform: LinuxPlatform = "linux/amd64"
    # Not written where it is not given, so that locks from before stay as they are
    signed_by: ImageSigner | None = Field(default=None, exclude_if=lambda value: value is None)


class ContainerfileSource(Strict):
    """An image built here: ``context``, relative to the definition, holds a Containerfile.

    ``base`` becomes ``base.tar`` in the context, ``wheels`` an additional context.
    """

    context: LocalPath
    base: PackageSet
    wheels: WheelSet | None = None


class ImagesSection(ArtifactSection):
    """One entry under ``images``: exactly one source, and the licence's name as the publisher writes it."""

    registry: RegistrySource | None = None
    containerfile: ContainerfileSource | None = None
    licence: str = Field(min_length=1, max_length=200, pattern=r"\S")

    @property
    def source_type(self) -> str:
        """The key of the one source."""
        return self._given()[0]

    def _given(self) -> list[str]:
        return [key for key in _sources() if getattr(self, key) is not None]

    @model_validator(mode="after")
    def _one_source(self) -> "ImagesSection":
        given = self._given()
        if len(given) != 1:
            raise ValueError(
                f"give exactly one source, {', '.join(_sources())}; found {' and '.join(given) or 'none of them'}"
            )
        return self


def _sources() -> list[str]:
    return [key for key in ImagesSection.model_fields if key not in ArtifactSection.model_fields]


class RegistryOrigin(Strict):
    """Where a locked image comes from, as the lock keeps it.

    ``image`` is what the definition says.  ``manifest`` is the registry's digest of the
    one manifest that is carried, ``index`` that of the index it was taken from.
    ``attached`` maps names to digests of the signatures, attestations and SBOMs that the
    registry has for either of them.
    """

    type: Literal["registry"] = "registry"
    image: Reference
    platform: LinuxPlatform
    index: Digest | None = None
    manifest: Digest
    attached: dict[AttachedName, Digest] = {}

    def as_fields(self) -> dict[str, str]:
        """Text by name, for ``LockedArtifact.source``; that nothing is attached is said too."""
        fields: dict[str, str] = self.model_dump(exclude={"attached"}, exclude_none=True)
        attached = {f"{_ATTACHED} {name}": digest for name, digest in sorted(self.attached.items())}
        return {**fields, **(attached or {_ATTACHED: "nothing"})}

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "RegistryOrigin":
        """Read what ``as_fields`` wrote.  Raises ValueError: anybody can edit a lock."""
        prefix = f"{_ATTACHED} "
        attached = {key.removeprefix(prefix): text for key, text in fields.items() if key.startswith(prefix)}
        rest = {key: text for key, text in fields.items() if not key.startswith(_ATTACHED)}
        return cls.model_validate({**rest, "attached": attached})


class ContainerfileOrigin(Strict):
    """What a locked image is built from here, as far as building it again takes it."""

    context: LocalPath
    platform: LinuxPlatform
    packages: tuple[PackageName, ...]
    architecture: Architecture

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "ContainerfileOrigin":
        """Read it from ``LockedArtifact.source``.  Raises ValueError: anybody can edit a lock."""
        return cls.model_validate(
            {
                "context": fields.get("context"),
                "platform": fields.get("platform"),
                "packages": tuple(fields.get("archive-packages", "").split()),
                "architecture": fields.get("archive-architecture"),
            }
        )
