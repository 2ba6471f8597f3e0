"""What we write ourselves: what is signed of a bundle, root documents, and the log and the state of a site."""

import json
from collections.abc import Sequence

from pydantic import JsonValue

from appliance.errors import NotTrusted
from appliance.model.documents.bundle import parse_index
from appliance.model.documents.log import NO_HEAD, format_line, read_line
from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE, OVERRIDE_SCHEMA, Override
from appliance.model.documents.state import Accepted, Epoch, SiteState
from appliance.model.jsonform import canonical_json
from appliance.model.names import path_problem
from appliance.trust.dsse import Envelope, decode_signature_file, encode_envelope, encode_signature_file
from appliance.trust.override import override_payload, read_override
from appliance.trust.root import Root, parse_root, read_root, walk_chain
from appliance.trust.statement import parse_statement
from appliance.trust.sums import UNLISTED, format_sums, parse_sums
from tests.fuzz.target import Target
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

SEPARATOR = b"\0"  # between the documents of a chain; JSON has none
_PEOPLE = {keyid(number): number for number in (FIRST, SECOND, RETIRED)}


def targets() -> dict[str, Target]:
    """By name."""
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
        "sums": Target(_sums, (files["SHA256SUMS"], sha384_list)),
        "statement": Target(_statement, (files["statement.json"],)),
        "signature": Target(_signature, tuple(data for path, data in files.items() if path.startswith("sigs/"))),
        "root": Target(_root, root_chain()),
        "root-document": Target(_root_document, tuple(roots)),
        "chain": Target(_chain, (SEPARATOR.join(roots), roots[0])),
        "index": Target(_index, (files["bundle.json"],)),
        "override": Target(_override, (encode_envelope(envelope),)),
        "state": Target(_state, (SiteState(roots=("0" * 64,), epochs={1: epoch}, counter=7).to_bytes(),)),
        "log": Target(_log, (format_line(NO_HEAD, "import", details, time="2026-01-01T00:00:00Z"),)),
    }


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
