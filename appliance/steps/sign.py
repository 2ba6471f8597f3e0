"""``appliance sign``: signatures for bundles, made here or elsewhere.

A signer needs ``statement.json`` alone.  Where the whole bundle is there, a signature is
checked against its root before it is written, whoever made it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadInput, NotTrusted
from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.model.documents.bundle import SIGNATURES, STATEMENT, SUMS, Statement
from appliance.model.documents.root import RELEASE_ROLES
from appliance.model.limits import MAX_SIGNATURE_FILE, MAX_STATEMENT, MAX_SUMS
from appliance.model.progress import Silent
from appliance.steps.documents.chain import labels, read_bundle_chain
from appliance.steps.sign_rebuilt import check_rebuilt
from appliance.store.disk import make_directory, read_bounded
from appliance.store.tree import Tree
from appliance.store.whole import changing, write_whole
from appliance.trust.collect import find_signer, no_signature
from appliance.trust.dsse import decode_signature_file, encode_signature_file
from appliance.trust.keys import PublicKey, Signer
from appliance.trust.root import Root, walk_chain
from appliance.trust.signatures import SIGNATURE_SUFFIX, check_signature
from appliance.trust.statement import parse_statement
from appliance.trust.sums import digest_of
from appliance.trust.threshold import Tally, tally

_SIGNED = "what is to be signed"
_GIVE = "give a bundle or its statement.json"


@dataclass(frozen=True)
class SignedStatement:
    """What was signed, and where the signature files are."""

    statement: Statement
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class SignedBundle:
    """What a bundle has come to: the signature files that were asked for, and who has signed."""

    statement: Statement
    paths: tuple[Path, ...]
    tallies: tuple[Tally, ...]
    labels: Mapping[str, str]


def sign_statement(
    statement_path: Path, keys: Sequence[Signer], out: Path | None = None, rebuilt: Path | None = None
) -> SignedStatement:
    """Sign a statement with each key; the files go to ``out``, a directory (default: beside it).

    ``rebuilt`` is the signer's own build, which has to be the same: raises what ``check_rebuilt`` raises.
    """
    data = _read(statement_path, MAX_STATEMENT)
    statement = _parse(data, statement_path)
    if rebuilt is not None:
        check_rebuilt(statement, statement_path, rebuilt)
    folder = out or statement_path.parent
    if not folder.is_dir():
        raise BadInput("directory-unreadable", "not a directory", where=str(folder))
    contents = {signature_path(folder, key.public.keyid): _signature_file(key, data) for key in keys}
    for path, content in contents.items():
        write_whole(path, content, mode=0o644)
    return SignedStatement(statement, tuple(contents))


def sign_bundle(
    bundle: Path,
    signers: Sequence[Signer],
    additions: Mapping[str, bytes] | None = None,
    roots: Sequence[bytes] | None = None,
    rebuilt: Path | None = None,
) -> SignedBundle:
    """Put signatures into a bundle directory: of ``signers``, and those that were made elsewhere.

    ``additions`` are signature files or bare signatures, by the names of their files.  A
    signature of the same key that is there and holds stays as it is.  ``rebuilt`` is the
    signer's own build, which has to be the same (``check_rebuilt``).  Raises BadInput
    (``key-not-in-root``) when the bundle's own root would not accept a key, and NotTrusted for
    what does not hold; then nothing has changed.
    """
    with Tree(bundle, Silent()) as tree:
        data = _read_listed(tree)
        statement = _parse(data, bundle / STATEMENT)
        if rebuilt is not None:
            check_rebuilt(statement, bundle / STATEMENT, rebuilt)
        chain = roots or read_bundle_chain(tree)
        root = walk_chain(chain[-1], chain)
        contents = dict(_checked(content, data, root, name) for name, content in (additions or {}).items())
        for signer in signers:
            check_may_sign(signer, root)
            keyid = signer.public.keyid
            if not _holds(tree, keyid, data, root):
                contents[keyid] = _signature_file(signer, data)
                check_signature(contents[keyid], data, keyid, root)
        folder = bundle / SIGNATURES
        if contents:
            _make_signature_folder(folder)
            with changing(folder, "*.sigstore.json"):
                for keyid, content in contents.items():
                    if not _holds(tree, keyid, data, root):
                        write_whole(signature_path(folder, keyid), content, mode=0o644)
        asked = dict.fromkeys([*contents, *(signer.public.keyid for signer in signers)])
        paths = tuple(signature_path(folder, keyid) for keyid in asked)
        return SignedBundle(statement, paths, _tallies(tree, data, root), labels(root))


def _read_listed(tree: Tree) -> bytes:
    """The statement's bytes, if SHA256SUMS is the list that it names."""
    try:
        data = tree.read(STATEMENT, MAX_STATEMENT)
        sums = tree.read(SUMS, MAX_SUMS)
    except NotTrusted as error:
        raise _unreadable(tree.root / error.where, error.what) from None
    named = _parse(data, tree.root / STATEMENT).subject[0].digest
    if digest_of(sums) != {"sha256": named.sha256, "sha384": named.sha384}:
        raise NotTrusted(
            "sums-mismatch", "SHA256SUMS is not the list that the statement names", where=str(tree.root / SUMS)
        )
    return data


def _make_signature_folder(folder: Path) -> None:
    """A copy by git or zip has lost it while it was empty.  No signature goes where a link leads."""
    if folder.is_symlink():
        raise NotTrusted("file-type", "a link in place of a directory", where=str(folder))
    make_directory(folder)


def _tallies(tree: Tree, statement: bytes, root: Root) -> tuple[Tally, ...]:
    """Who has signed a bundle, for each role that may."""
    signers = [keyid for keyid in releasing_keys(root) if _holds(tree, keyid, statement, root)]
    return tuple(tally(quorum.name, quorum.role, signers) for quorum in root.quorums(*RELEASE_ROLES))


def releasing_keys(root: Root) -> dict[str, PublicKey]:
    """The keys that may sign bundles."""
    return {keyid: one.keys[keyid] for one in root.quorums(*RELEASE_ROLES) for keyid in one.role.keyids}


def check_may_sign(signer: Signer, root: Root) -> None:
    """Raise BadInput (``key-not-in-root``) for a key whose signature no verifier would accept."""
    if (keyid := signer.public.keyid) not in (keys := releasing_keys(root)):
        raise BadInput(
            "key-not-in-root",
            "the bundle's root does not let this key sign bundles",
            where=f"key {keyid}",
            expected=f"one of {', '.join(keys)}",
            hint="sign with a key of the root, or build with the root that holds this key",
        )


def _signature_file(signer: Signer, statement: bytes) -> bytes:
    return encode_signature_file(signer.public.keyid, statement, signer.sign(pae(STATEMENT_PAYLOAD_TYPE, statement)))


def signature_path(folder: Path, keyid: str) -> Path:
    """The signature file of a key."""
    return folder / f"{keyid}{SIGNATURE_SUFFIX}"


def _checked(content: bytes, statement: bytes, root: Root, name: str) -> tuple[str, bytes]:
    """The key id and the signature file of what was made elsewhere."""
    keys = releasing_keys(root)
    if found := find_signer(content, pae(STATEMENT_PAYLOAD_TYPE, statement), keys):
        return found[0], encode_signature_file(found[0], statement, found[1])
    if not content.startswith(b"{"):
        raise no_signature(keys, name)
    try:
        keyid = decode_signature_file(content).signatures[0][0]
    except ValueError as error:
        raise NotTrusted("signature-malformed", f"this is not a signature file: {error}", where=name) from None
    check_signature(content, statement, keyid, root, where=name)
    return keyid, content


def _holds(tree: Tree, keyid: str, statement: bytes, root: Root) -> bool:
    try:
        content = tree.read(f"{SIGNATURES}/{keyid}{SIGNATURE_SUFFIX}", MAX_SIGNATURE_FILE)
        check_signature(content, statement, keyid, root)
    except NotTrusted:
        return False
    return True


def _read(path: Path, limit: int) -> bytes:
    return read_bounded(path, limit, "statement-unreadable", _SIGNED, _GIVE)


def _unreadable(path: Path, reason: str) -> BadInput:
    return BadInput(
        "statement-unreadable",
        f"{_SIGNED} cannot be read: {reason}",
        where=str(path),
        hint=_GIVE,
    )


def _parse(data: bytes, path: Path) -> Statement:
    try:
        return parse_statement(data)
    except ValueError as error:
        raise BadInput(
            "statement-malformed", f"this is not a statement of a known form: {error}", where=str(path)
        ) from None
