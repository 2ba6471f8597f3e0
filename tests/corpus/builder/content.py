"""What is put into a bundle before there is one: weights, wheels, image manifests.

A verifier of bundles looks into none of them, it has their digests.  Those who build
bundles judge them, by what ``tests/corpus/gates.py`` asks.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.corpus.builder import changes, disk, zips
from tests.corpus.builder.build import operations_of
from tests.corpus.builder.cases import Case
from tests.corpus.builder.words import to_bytes
from tests.support.bundles import Recipe, Written
from tests.support.weights import model_files, pack

WHEEL = "our_tool-1.0-py3-none-any.whl"
MANIFEST = "manifest.json"
DEFINITION = "tiny.yaml"
_DEFINITION = """\
schema: appliance.definition/v1
name: tiny
version: 1.0.0
description: weights of a stranger
weights:
  tiny: {directory: model, licence: CC0-1.0}
"""


def write_content(case: Case, folder: Path) -> Path:
    """Make what ``case.subject`` names below ``folder``; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    if case.subject == "weights":
        return _write_weights(case, folder)
    if case.subject == "wheel":
        path, data, verbs = folder / WHEEL, zips.good_wheel(), {**changes.VERBS, **zips.VERBS}
    else:
        path, data, verbs = folder / MANIFEST, good_manifest(), changes.VERBS
    for operation in operations_of(case):
        data = verbs[operation.verb](data, operation.argument)
    path.write_bytes(data)
    return path


def good_manifest() -> bytes:
    """An OCI manifest of one layer."""
    config, layer = b'{"architecture":"amd64","os":"linux"}', b"a layer"
    blobs: list[dict[str, Any]] = [
        {
            "mediaType": f"application/vnd.oci.image.{media}",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "size": len(data),
        }
        for media, data in (("config.v1+json", config), ("layer.v1.tar", layer))
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blobs[0],
        "layers": blobs[1:],
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _write_weights(case: Case, folder: Path) -> Path:
    """A directory ``model`` and a definition beside it that wants to carry it."""
    (folder / "outside").mkdir()
    (folder / "outside/secret").write_bytes(b"somebody else's\n")
    files = model_files()
    operations = operations_of(case, str(folder / "outside"))
    for operation in operations:
        if not operation.on_disk:
            files |= _files(operation.verb, operation.argument)
    for path, data in files.items():
        target = folder / "model" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    for operation in operations:
        if operation.on_disk:
            disk.apply(operation, Written(folder / "model", folder / "outside/secret"), Recipe())
    (folder / DEFINITION).write_text(_DEFINITION)
    return folder / DEFINITION


def _files(verb: str, argument: Mapping[str, Any]) -> dict[str, bytes]:
    if verb == "safetensors":
        return {
            path: pack(to_bytes(value["header"]), to_bytes(value.get("data", ""))) for path, value in argument.items()
        }
    if verb != "add":
        raise ValueError(f"there is no {verb!r} for files: add, safetensors")
    return {path: to_bytes(value) for path, value in argument.items()}
