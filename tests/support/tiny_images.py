"""Tiny container images, byte by byte, and the few requests that push them.

They are written by hand and not by a tool, so a test knows every digest beforehand and
can make what no tool would make.
"""

import gzip
import hashlib
import io
import json
import ssl
import tarfile
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.registry import PASSWORD, USER, Registry

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"


@dataclass(frozen=True)
class Image:
    """A manifest or an index (``data``), its media type, and the blobs to push before."""

    data: bytes
    media_type: str
    blobs: tuple[bytes, ...] = ()
    children: tuple["Image", ...] = ()
    platform: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """``sha256:...`` of the manifest."""
        return "sha256:" + sha256(self.data)

    def descriptor(self, **more: Any) -> dict[str, Any]:
        """How an index names it."""
        entry: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data), **more}
        return {**entry, "platform": self.platform} if self.platform else entry


def sha256(data: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def layer(text: str, size: int = 0) -> bytes:
    """A compressed layer with the file ``/greeting``; ``size`` random-like bytes more."""
    content = text.encode() + b"".join(hashlib.sha256(f"{text}{n}".encode()).digest() for n in range(size // 32))
    return gzip.compress(_tar(content), mtime=0)


def image(*layers: bytes, architecture: str = "amd64", docker: bool = False, **config_more: Any) -> Image:
    """An image of ``layers``, in OCI's or in Docker's (schema 2) form."""
    kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER)
    diff_ids = ["sha256:" + sha256(gzip.decompress(data)) for data in layers]
    config = to_json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/greeting"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "by hand"} for _ in layers],
            **config_more,
        }
    )
    data = to_json(
        {
            "schemaVersion": 2,
            "mediaType": kinds[0],
            "config": _descriptor(kinds[1], config),
            "layers": [_descriptor(kinds[2], data) for data in layers],
        }
    )
    return Image(data, kinds[0], (config, *layers), platform={"os": "linux", "architecture": architecture})


def index(*entries: tuple[Image, dict[str, Any]] | Image, docker: bool = False) -> Image:
    """An index over ``entries``; a pair adds keys to the descriptor."""
    pairs = [entry if isinstance(entry, tuple) else (entry, {}) for entry in entries]
    media_type = DOCKER_LIST if docker else OCI_INDEX
    manifests = [item.descriptor(**more) for item, more in pairs]
    data = to_json({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests})
    return Image(data, media_type, children=tuple(item for item, _ in pairs))


def attachment(payload: bytes, layer_type: str = COSIGN_LAYER, **annotations: str) -> Image:
    """What cosign pushes: one blob with its signature as an annotation."""
    return attachments((payload, annotations), layer_type=layer_type)


def attachments(*layers: tuple[bytes, dict[str, str]], layer_type: str = COSIGN_LAYER, **fields: Any) -> Image:
    """Several blobs with their annotations; ``fields`` are more of the manifest, or others."""
    config = b"{}"
    entries = [{**_descriptor(layer_type, payload), "annotations": annotations} for payload, annotations in layers]
    whole = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": _descriptor(OCI_CONFIG, config)}
    blobs = (config, *(payload for payload, _ in layers))
    return Image(to_json({**whole, "layers": entries, **fields}), OCI_MANIFEST, blobs)


def push(registry: Registry, repository: str, tag: str, item: Image) -> str:
    """Push with everything below it; returns the reference ``127.0.0.1:PORT/repo:tag``."""
    context = ssl.create_default_context(cafile=str(registry.identity.authority))
    login = (USER, PASSWORD) if registry.with_login else None
    with httpx2.Client(base_url=f"https://{registry.address}", verify=context, auth=login) as session:
        _push(session, repository, tag, item)
    return f"{registry.address}/{repository}:{tag}"


def to_json(value: Any) -> bytes:
    """Indented as registries keep it, so that re-encoding it would show."""
    return json.dumps(value, indent=3).encode()


def _push(session: httpx2.Client, repository: str, tag: str, item: Image) -> None:
    for child in item.children:
        _push(session, repository, child.digest, child)
    for blob in item.blobs:
        place = session.post(f"/v2/{repository}/blobs/uploads/").raise_for_status().headers["Location"]
        session.put(f"{place}&digest=sha256:{sha256(blob)}", content=blob).raise_for_status()
    headers = {"Content-Type": item.media_type}
    session.put(f"/v2/{repository}/manifests/{tag}", content=item.data, headers=headers).raise_for_status()


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": "sha256:" + sha256(data), "size": len(data)}


def _tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("greeting")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
