"""``appliance sign``: add one signer's signature file.

A signer needs ``statement.json`` alone.  Where the whole bundle is there, the signature
is checked against its root before it is written.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput, NotTrusted
from appliance.model.bundle import SIGNATURES, STATEMENT, SUMS, Statement
from appliance.model.limits import MAX_STATEMENT
from appliance.store.whole import write_whole
from appliance.trust.dsse import STATEMENT_PAYLOAD_TYPE, encode_signature_file, pae
from appliance.trust.keys import Signer
from appliance.trust.root import walk_chain
from appliance.trust.statement import parse_statement
from appliance.trust.verify import check_signature


@dataclass(frozen=True)
class Signed:
    """A signature that was made: what it says, and where its file is."""

    statement: Statement
    keyid: str
    path: Path


def sign_statement(statement_path: Path, key: Signer, out: Path | None = None) -> Signed:
    """Sign a statement; the file goes to ``out``, a directory (default: beside it)."""
    data = _read_statement(statement_path)
    statement = _parse(data, statement_path)
    keyid = key.public.keyid
    content = encode_signature_file(keyid, data, key.sign(pae(STATEMENT_PAYLOAD_TYPE, data)))
    folder = out or statement_path.parent
    if not folder.is_dir():
        raise BadInput("directory-unreadable", "not a directory", where=str(folder))
    path = folder / f"{keyid}.sigstore.json"
    write_whole(path, content, mode=0o644)
    return Signed(statement, keyid, path)


def sign_bundle(bundle: Path, key: Signer, roots: Sequence[bytes] | None = None) -> str:
    """Sign the statement of a bundle directory; returns the key id.

    A signature of this key that holds stays as it is.  Raises BadInput
    (``key-not-in-root``) when the bundle's own root would not accept the key.
    """
    data = _read_statement(bundle / STATEMENT)
    statement = _parse(data, bundle / STATEMENT)
    if hashlib.sha256((bundle / SUMS).read_bytes()).hexdigest() != statement.subject[0].digest.sha256:
        raise NotTrusted(
            "sums-mismatch", "SHA256SUMS is not the list that the statement names", where=str(bundle / SUMS)
        )
    chain = roots or read_chain(bundle / "trust")
    root = walk_chain(chain[-1], chain)
    keyid = key.public.keyid
    path = bundle / SIGNATURES / f"{keyid}.sigstore.json"
    if keyid not in root.document.roles.release.keyids:
        raise BadInput(
            "key-not-in-root",
            "the bundle's root does not let this key sign bundles",
            where=f"key {keyid}",
            expected=f"one of {', '.join(root.document.roles.release.keyids)}",
            hint="sign with a key of the root, or build with the root that holds this key",
        )
    try:
        check_signature(path.read_bytes(), data, keyid, root)
    except (FileNotFoundError, NotTrusted):
        content = encode_signature_file(keyid, data, key.sign(pae(STATEMENT_PAYLOAD_TYPE, data)))
        check_signature(content, data, keyid, root)
        write_whole(path, content, mode=0o644)
    return keyid


def read_chain(source: Path) -> list[bytes]:
    """Root documents from one file, or from a directory with 1.root.json, 2.root.json ..."""
    try:
        if not source.is_dir():
            return [source.read_bytes()]
        chain: list[bytes] = []
        while (path := source / f"{len(chain) + 1}.root.json").exists():
            chain.append(path.read_bytes())
    except OSError as error:
        raise BadInput(
            "root-unreadable", f"the root document cannot be read: {error.strerror}", where=str(source)
        ) from None
    if not chain:
        raise BadInput("root-unreadable", "there is no 1.root.json", where=str(source))
    return chain


def _read_statement(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_STATEMENT + 1)
    except OSError as error:
        raise BadInput(
            "statement-unreadable",
            f"the statement cannot be read: {error.strerror}",
            where=str(path),
            hint="give a bundle or its statement.json",
        ) from None


def _parse(data: bytes, path: Path) -> Statement:
    try:
        return parse_statement(data)
    except ValueError as error:
        raise BadInput("statement-malformed", f"this is no statement that we know: {error}", where=str(path)) from None
