"""The parsers that trust rests on, each as a function of bytes that must not fail in a way of its own.

A target raises AssertionError when something was accepted that is not in its one form; any
other error than the parser's own goes through.  All of that is a finding.
"""

import gzip
import io
import json
import pickle
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from pydantic import JsonValue

from appliance.errors import NotTrusted
from appliance.formats.csv_table import csv_table
from appliance.formats.cyclonedx import components_in
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
from appliance.model.documents.bundle import parse_index
from appliance.model.documents.log import NO_HEAD, format_line, read_line
from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE, OVERRIDE_SCHEMA, Override
from appliance.model.documents.state import Accepted, Epoch, SiteState
from appliance.model.jsonform import canonical_json
from appliance.model.names import path_problem
from appliance.model.visible import is_seen
from appliance.trust.dsse import Envelope, decode_signature_file, encode_envelope, encode_signature_file
from appliance.trust.override import override_payload, read_override
from appliance.trust.root import Root, parse_root, read_root, walk_chain
from appliance.trust.statement import parse_statement
from appliance.trust.sums import UNLISTED, format_sums, parse_sums
from tests.fuzz.mutations import mutate
from tests.support.advisories import PYPI, epss, osv_archive, tracker, vex, vex_statement
from tests.support.bundles import (
    FILES,
    FIRST,
    RETIRED,
    SECOND,
    Recipe,
    keyid,
    payload_of,
    root_chain,
    sha384_list_of,
    sign_root,
)
from tests.support.described import BASE, CARRIED, DEP5, UPPER, layer_tar
from tests.support.known import PARTS, bundle, sbom_of
from tests.support.weights import TOKENIZER, pack, safetensors

SEPARATOR = b"\0"  # between the documents of a chain; JSON has none


_PEOPLE = {keyid(number): number for number in (FIRST, SECOND, RETIRED)}


@dataclass(frozen=True)
class Target:
    """``run`` is tried with bytes; ``seeds`` are where to begin, and are accepted."""

    run: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]


def _sums(data: bytes) -> bool:
    for digits in (64, 96):
        try:
            digests = parse_sums(data, digits=digits)
        except ValueError:
            continue
        assert format_sums(digests) == data
        assert not [path for path in digests if path_problem(path) or path.split("/")[0] in UNLISTED]
        return True
    return False


def _statement(data: bytes) -> bool:
    try:
        statement = parse_statement(data)
    except ValueError:
        return False
    assert canonical_json(statement.model_dump(mode="json", by_alias=True)) == data
    return True


def _signature(data: bytes) -> bool:
    try:
        envelope = decode_signature_file(data)
    except ValueError:
        return False
    ((keyid, signature),) = envelope.signatures
    assert encode_signature_file(keyid, envelope.payload, signature) == data
    return True


def _root(data: bytes) -> bool:
    try:
        root = parse_root(data, "fuzz")
    except NotTrusted:
        return False
    assert encode_envelope(root.envelope) == data
    _check_document(root)
    return True


def _check_document(root: Root) -> None:
    value = root.document.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert canonical_json(value) == root.envelope.payload
    assert {key.keyid for key in root.keys.values()} == set(root.keys)


def _root_document(data: bytes) -> bool:
    """What a hostile signer can say: whatever it is, it is rightly signed."""
    try:
        root = read_root(_signed([data])[0], "fuzz")
    except NotTrusted:
        return False
    _check_document(root)
    assert set(root.document.roles.root.keyids) & set(_PEOPLE)
    return True


def _signed(payloads: Sequence[bytes]) -> list[bytes]:
    """Envelopes that are signed by everybody whom a document, or the one before it, lets sign."""
    ids = [_root_keyids(payload) for payload in payloads]
    asked = [before | own for before, own in zip([set(), *ids], ids, strict=False)]
    return [
        sign_root(payload, tuple(_PEOPLE[keyid] for keyid in sorted(keyids & set(_PEOPLE))))
        for payload, keyids in zip(payloads, asked, strict=True)
    ]


def _root_keyids(payload: bytes) -> set[str]:
    try:
        keyids = json.loads(payload)["roles"]["root"]["keyids"]
        return {keyid for keyid in keyids if isinstance(keyid, str)}
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return set()


def _chain(data: bytes) -> bool:
    chain = _signed(data.split(SEPARATOR)[:8])
    try:
        root = walk_chain(chain[0], chain)
    except NotTrusted:
        return False
    _check_document(root)
    assert root.document.version == len(chain) == len(root.lineage.documents)
    return True


def _index(data: bytes) -> bool:
    try:
        index = parse_index(data)
    except ValueError:
        return False
    paths = [file.path for artifact in index.artifacts for file in artifact.files]
    assert not [path for path in [*paths, *(file.path for file in index.shared)] if path_problem(path)]
    index.model_dump_json(by_alias=True)  # nothing is in it that cannot be written
    return True


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


def _override(data: bytes) -> bool:
    try:
        signed = read_override(data, "fuzz")
    except NotTrusted:
        return False
    assert encode_envelope(signed.envelope) == data
    assert override_payload(signed.content) == signed.envelope.payload
    return True


def _state(data: bytes) -> bool:
    try:
        state = SiteState.from_bytes(data)
    except ValueError:
        return False
    assert state.to_bytes() == data
    return True


def _log(data: bytes) -> bool:
    try:
        entry, _ = read_line(data)
    except ValueError:
        return False
    assert canonical_json(entry.model_dump(mode="json", by_alias=True)) + b"\n" == data
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
        found = components_in(data)
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


def _seeds() -> dict[str, tuple[bytes, ...]]:
    files = Recipe().documents()
    roots = [payload_of(root) for root in root_chain()]
    (sha384_list,) = sha384_list_of(FILES).values()
    override = Override(
        schema_=OVERRIDE_SCHEMA,
        site="site-a",
        name="tiny",
        version="1.0.0",
        sha256sums="0" * 64,
        allows=("expired", "rollback"),
        reason="needed until the next one comes",
        created="2026-01-01T00:00:00Z",
        expires="2026-02-01T00:00:00Z",
    )
    envelope = Envelope(OVERRIDE_PAYLOAD_TYPE, override_payload(override), ((keyid(FIRST), b"signature"),))
    epoch = Epoch(time="2026-01-01T00:00:00Z", bundles={"tiny": Accepted(version="1.0.0", sha256sums="0" * 64)})
    details: dict[str, JsonValue] = {"bundle": "tiny", "files": [1, None, True], "why": {"a": "b"}}
    return {
        "sums": (files["SHA256SUMS"], sha384_list),
        "statement": (files["statement.json"],),
        "signature": tuple(data for path, data in files.items() if path.startswith("sigs/")),
        "root": root_chain(),
        "root-document": tuple(roots),
        "chain": (SEPARATOR.join(roots), roots[0]),
        "index": (files["bundle.json"],),
        "safetensors": (
            safetensors({"a": ("F32", [2], bytes(8)), "b.weight": ("BF16", [2, 1], bytes(4)), "c": ("U8", [], b"x")}),
            pack({"__metadata__": {"format": "pt"}}, b""),
        ),
        "pickle": tuple(pickle.dumps({"a": [1, 2.5, b"x", {"y"}], "b": None}, protocol) for protocol in range(6)),
        "tokenizer": (TOKENIZER,),
        "override": (encode_envelope(envelope),),
        "state": (SiteState(roots=("0" * 64,), epochs={1: epoch}, counter=7).to_bytes(),),
        "log": (format_line(NO_HEAD, "import", details, time="2026-01-01T00:00:00Z"),),
        "image-layer": (layer_tar(BASE), layer_tar(UPPER)),
        "carried-sbom": (json.dumps(CARRIED).encode(),),
        "metadata": (b"Name: a\nVersion: 1\nLicense: MIT\nClassifier: License :: OSI Approved :: MIT License\n",),
        "osv-record": tuple(json.dumps(record).encode() for record in PYPI[:3]),
        "osv-archive": (osv_archive(PYPI[:2]),),
        "openvex": (vex(vex_statement("CVE-2026-99999", "pkg:pypi/a@1")),),
        "provenance": (bundle().files["evidence/provenance.json"],),
        "sbom": (sbom_of(*PARTS),),
        "tracker": (tracker(),),
        "epss": (gzip.decompress(epss()),),
        "copyright": (DEP5.encode(), b"Copyright 2001 Ada\n/usr/share/common-licenses/GPL-2\n"),
    }


_RUNS: Mapping[str, Callable[[bytes], bool]] = {
    "sums": _sums,
    "statement": _statement,
    "signature": _signature,
    "root": _root,
    "root-document": _root_document,
    "chain": _chain,
    "index": _index,
    "safetensors": _safetensors,
    "pickle": _pickle,
    "tokenizer": _tokenizer,
    "override": _override,
    "state": _state,
    "log": _log,
    "image-layer": _image_layer,
    "carried-sbom": _read_by(carried_parts),
    "metadata": _metadata,
    "osv-record": _osv_record,
    "osv-archive": _osv_archive,
    "openvex": _read_by(parse_vex),
    "provenance": _read_by(provenance_in),
    "sbom": _sbom,
    "tracker": _tracker,
    "epss": _epss,
    "copyright": _copyright,
}
TARGETS: Mapping[str, Target] = {name: Target(_RUNS[name], seeds) for name, seeds in _seeds().items()}


def _planted(data: bytes) -> bool:
    if len(data) > 3 and data[0] == 0x46 and data[1] == 0x55 and data[2] == 0x5A and data[3] == 0x5A:
        raise AssertionError("the planted fault")
    return False


# Shows that a run finds what is there: without looking at coverage it would take 2^32 tries.
PLANTED = Target(_planted, (b"seed",))


def mutated(target: Target, random: Random, *, times: int = 2**63, seconds: float = 1e9) -> None:
    """Try random changes of the seeds, so many times or for so long."""
    meaning = words(target)
    end = time.monotonic() + seconds
    for _ in range(times):
        if time.monotonic() > end:
            break
        data = mutate(random.choice(target.seeds), random, meaning)
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise


def words(target: Target) -> list[bytes]:
    """What stands between quotation marks, line breaks and spaces in the seeds: what a parser looks for."""
    found = {word for seed in target.seeds for word in re.findall(rb'"[^"]{1,80}"|[^\s"]{1,80}', seed)}
    return sorted(found)
