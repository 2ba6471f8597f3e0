"""A built image in our own form: its bytes follow from its files alone.

buildah's tar headers, order, configuration and manifest change from release to release.
So the one layer is written again: sorted by path, no times, no names of owners, PAX
headers by Python's tarfile, uncompressed; the configuration keeps what a container
runtime acts on; configuration and manifest are canonical JSON.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

from appliance.errors import Failed
from appliance.formats.oci import OCI_CONFIG, OCI_MANIFEST, parse_document
from appliance.model.files import Content
from appliance.model.jsonform import canonical_json
from appliance.model.sink import Sink

_LAYER = "application/vnd.oci.image.layer.v1.tar"
_BLOCK = 1024 * 1024
# Filled by the runtime, whatever a build leaves there.
_RUNTIME = ("dev/", "proc/", "run/", "sys/", "tmp/")
# Newer buildahs write the default, older ones leave it out.
_DEFAULT = {"WorkingDir": "/"}
_KEPT = ("Cmd", "Entrypoint", "Env", "ExposedPorts", "Labels", "StopSignal", "User", "Volumes", "WorkingDir")


def normalise(built: Path, sink: Sink, work: Path) -> Content:
    """Bring the image in ``built`` (skopeo's ``dir:``) into the sink; returns its manifest.

    Raises Failed (``image-form``) when the image is not one uncompressed layer of
    ordinary files, directories and links.
    """
    manifest = json.loads((built / "manifest.json").read_bytes())
    layers = manifest["layers"]
    if len(layers) != 1 or layers[0]["mediaType"] != _LAYER:
        raise Failed("image-form", "buildah did not make one uncompressed layer", where=str(built))
    layer = work / "layer.tar"
    _rewrite(built / _name(layers[0]), layer)
    layer_content = sink.adopt(layer)
    config = json.loads((built / _name(manifest["config"])).read_bytes())
    config_content = sink.put(canonical_json(_configuration(config, layer_content)))
    data = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(OCI_CONFIG, config_content),
            "layers": [_descriptor(_LAYER, layer_content)],
        }
    )
    parse_document(data)  # what we write has to pass what we demand of others
    return sink.put(data)


def _name(descriptor: dict[str, Any]) -> str:
    return str(descriptor["digest"]).removeprefix("sha256:")


def _descriptor(media_type: str, content: Content) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{content.sha256}", "size": content.size}


def _configuration(built: dict[str, Any], layer: Content) -> dict[str, Any]:
    given = {key: value for key, value in built["config"].items() if value and value != _DEFAULT.get(key)}
    return {
        "architecture": built["architecture"],
        "os": built["os"],
        "created": "1970-01-01T00:00:00Z",
        "config": {key: given[key] for key in _KEPT if key in given},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}"]},
    }


def _rewrite(source: Path, target: Path) -> None:
    with (
        source.open("rb", buffering=_BLOCK) as reading,
        target.open("wb", buffering=_BLOCK) as writing,
        tarfile.open(fileobj=reading, mode="r:") as old,
        tarfile.open(fileobj=writing, mode="w:", format=tarfile.PAX_FORMAT) as new,
    ):
        # Hard links last: what they point to has to be there when they are unpacked.
        for member in sorted(old.getmembers(), key=lambda member: (member.islnk(), member.name.split("/"))):
            if not member.name.startswith(_RUNTIME):
                new.addfile(_plain(member), old.extractfile(member) if member.isreg() else None)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise Failed("image-form", "the image holds a device or another special file", where=member.name)
    if any(key.startswith("SCHILY.xattr.") for key in member.pax_headers):
        raise Failed("image-form", "the image holds extended attributes, which are not carried", where=member.name)
    plain = tarfile.TarInfo(member.name)
    plain.type = member.type
    plain.mode = member.mode & 0o7777
    plain.uid, plain.gid = member.uid, member.gid
    plain.linkname = member.linkname
    plain.size = member.size if member.isreg() else 0
    return plain
