"""What others write: formats of weights, packages, images, advisories and licences."""

import gzip
import io
import json
import pickle
from collections.abc import Callable

from appliance.formats.csv_table import csv_table
from appliance.formats.cyclonedx import listed_in
from appliance.formats.debian_copyright import parse_copyright
from appliance.formats.debian_tracker import judge as judge_release
from appliance.formats.debian_tracker import parse_tracker
from appliance.formats.distribution import carried_parts, parse_metadata
from appliance.formats.exploitation import read_epss
from appliance.formats.image_layer import overlay, read_layer
from appliance.formats.openvex import parse_vex
from appliance.formats.osv import OsvRecord, judge, parse_record, read_archive
from appliance.formats.pickle_imports import strange_imports
from appliance.formats.safetensors import LENGTH_BYTES, header_length, parse_header
from appliance.formats.slsa import provenance_in
from appliance.formats.tokenizer import surprises
from appliance.model.visible import is_seen
from tests.fuzz.target import Target
from tests.support.advisories import PYPI, epss, osv_archive, tracker, vex, vex_statement
from tests.support.described import BASE, CARRIED, DEP5, UPPER, layer_tar
from tests.support.known import PARTS, bundle, sbom_of
from tests.support.weights import TOKENIZER, pack, safetensors


def targets() -> dict[str, Target]:
    """By name."""
    return {
        "safetensors": Target(
            _safetensors,
            (
                safetensors(
                    {"a": ("F32", [2], bytes(8)), "b.weight": ("BF16", [2, 1], bytes(4)), "c": ("U8", [], b"x")}
                ),
                pack({"__metadata__": {"format": "pt"}}, b""),
            ),
        ),
        "pickle": Target(
            _pickle, tuple(pickle.dumps({"a": [1, 2.5, b"x", {"y"}], "b": None}, protocol) for protocol in range(6))
        ),
        "tokenizer": Target(_tokenizer, (TOKENIZER,)),
        "image-layer": Target(_image_layer, (layer_tar(BASE), layer_tar(UPPER))),
        "carried-sbom": Target(_read_by(carried_parts), (json.dumps(CARRIED).encode(),)),
        "metadata": Target(
            _metadata, (b"Name: a\nVersion: 1\nLicense: MIT\nClassifier: License :: OSI Approved :: MIT License\n",)
        ),
        "osv-record": Target(_osv_record, tuple(json.dumps(record).encode() for record in PYPI[:3])),
        "osv-archive": Target(_osv_archive, (osv_archive(PYPI[:2]),)),
        "openvex": Target(_read_by(parse_vex), (vex(vex_statement("CVE-2026-99999", "pkg:pypi/a@1")),)),
        "provenance": Target(_read_by(provenance_in), (bundle().files["evidence/provenance.json"],)),
        "sbom": Target(_sbom, (sbom_of(*PARTS),)),
        "tracker": Target(_tracker, (tracker(),)),
        "epss": Target(_epss, (gzip.decompress(epss()),)),
        "copyright": Target(_copyright, (DEP5.encode(), b"Copyright 2001 Ada\n/usr/share/common-licenses/GPL-2\n")),
    }


def _safetensors(data: bytes) -> bool:
    try:
        length = header_length(data[:LENGTH_BYTES], len(data))
        rest = len(data) - LENGTH_BYTES - length
        tensors = parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], rest)
    except ValueError:
        return False
    assert [tensor.begin for tensor in tensors] == [0, *(tensor.end for tensor in tensors)][:-1] or not tensors
    assert (tensors[-1].end if tensors else 0) == rest
    assert len({tensor.name for tensor in tensors}) == len(tensors)
    return True


def _pickle(data: bytes) -> bool:
    try:
        strange = strange_imports(data)
    except ValueError:
        return False
    assert len(set(strange)) == len(strange)
    return True


def _tokenizer(data: bytes) -> bool:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    for rule, sentence in surprises(value):
        assert rule.startswith("tokenizer-")
        assert is_seen(sentence)
    return True


def _image_layer(data: bytes) -> bool:
    layer = read_layer(io.BytesIO(data), "application/vnd.oci.image.layer.v1.tar")
    overlay([layer, layer])
    return not layer.gaps


def _read_by(read: Callable[[bytes], object]) -> Callable[[bytes], bool]:
    def accepts(data: bytes) -> bool:
        try:
            read(data)
        except ValueError:
            return False
        return True

    return accepts


def _sbom(data: bytes) -> bool:
    try:
        found = listed_in(data).parts
    except ValueError:
        return False
    table = csv_table(("name", "version"), [(one.name, one.version) for one in found])
    lines = table.encode().split(b"\r\n")
    assert len(lines) == len(found) + 2
    assert not [line for line in lines if line.startswith((b'"=', b'"+', b'"-', b'"@'))]
    return True


def _metadata(data: bytes) -> bool:
    try:
        found = parse_metadata(data.decode("utf-8", "replace"))
    except ValueError:
        return False
    assert found.name
    assert found.version
    return True


def _copyright(data: bytes) -> bool:
    return bool(parse_copyright(data.decode("utf-8", "replace")).declared)


def _osv_record(data: bytes) -> bool:
    try:
        record = parse_record(data)
    except ValueError:
        return False
    for version in ("2.29.0", "no version"):
        judge(record.affected if record else (), version)
    return True


def _osv_archive(data: bytes) -> bool:
    try:
        return all(isinstance(record, OsvRecord) for record in read_archive(io.BytesIO(data)))
    except ValueError:
        return False


def _tracker(data: bytes) -> bool:
    try:
        found = parse_tracker(data, {"openssh"})
    except ValueError:
        return False
    for entry in found.entries.get("openssh", ()):
        for release in entry.releases.values():
            judge_release(release, "1:9.2p1-2+deb12u2")
    return True


def _epss(data: bytes) -> bool:
    try:
        found = read_epss(io.BytesIO(gzip.compress(data)), {"CVE-2021-4034"})
    except ValueError:
        return False
    assert all(0 <= float(score) < 2 for score in found.scores.values())
    return True
