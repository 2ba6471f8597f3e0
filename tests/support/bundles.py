"""Small signed bundles, made in milliseconds, whole or wrong in any one place.

A ``Recipe`` describes a bundle as a signer would make it; ``dataclasses.replace`` changes
one thing, and ``write`` signs whatever came out.  So a test can play the hostile signer
(wrong documents, rightly signed) as well as the thief on the way, who has no key and
changes files that are already there.

Keys come from small numbers: the same test has the same key ids every time.
"""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey

from appliance.errors import ApplianceError
from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.model.documents.bundle import BUNDLE_SCHEMA, INDEX, PREDICATE_TYPE, STATEMENT_TYPE, VERIFY_SCRIPT
from appliance.model.documents.policy import DEFAULT_POLICY, Profile
from appliance.model.documents.root import ROOT_PAYLOAD_TYPE, ROOT_SCHEMA
from appliance.model.jsonform import canonical_json
from appliance.model.progress import Silent
from appliance.model.times import format_time
from appliance.store.tree import Tree
from appliance.trust.dsse import Envelope, encode_envelope, encode_signature_file
from appliance.trust.keys import PrivateKey
from appliance.trust.policy import Policy
from appliance.trust.sums import digest_of
from appliance.trust.verify import VerifiedBundle, verify

SCRIPT = Path(str(resources.files("appliance").joinpath(VERIFY_SCRIPT)))
NOW = datetime.now(UTC).replace(microsecond=0)

_BLOB = b'{"architecture":"amd64","os":"linux"}'
FILES: Mapping[str, bytes] = {
    "evidence/scan report.txt": b"nothing was found\n",
    f"images/blobs/sha256/{hashlib.sha256(_BLOB).hexdigest()}": _BLOB,
    "images/oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
    "models/tiny/.gitattributes": b"*.safetensors filter=lfs\n",
    "models/tiny/empty.txt": b"",
    "models/tiny/model.safetensors": bytes(range(256)) * 20,
    # Bytes 0x81 and 0x82 are control codes inside some shells.
    "models/tiny/mod\u00e8le \u00c1\u0401.json": b'{"model_type":"bert"}\n',
}


@cache
def key(number: int) -> PrivateKey:
    """One of any number of keys; the same number gives the same key.

    From ``POST_QUANTUM`` on they are ML-DSA-87, below ECDSA P-256.
    """
    if number >= POST_QUANTUM:
        return PrivateKey(MLDSA87PrivateKey.from_seed_bytes(number.to_bytes(32, "big")))
    return PrivateKey(ec.derive_private_key(number, ec.SECP256R1()))


def keyid(number: int) -> str:
    """The id of ``key(number)``."""
    return key(number).public.keyid


# Who is who in the bundle below: two signers with a threshold of 2, and others.
FIRST, SECOND, RETIRED, STRANGER = 11, 12, 13, 99
# The same people's other keys.
POST_QUANTUM = 1000
FIRST_PQ, SECOND_PQ, STRANGER_PQ = 1011, 1012, 1099

Change = Callable[[dict[str, Any]], None]


def nothing(value: dict[str, Any]) -> None:
    """Change nothing."""


def root_document(
    version: int,
    keys: tuple[int, ...],
    *,
    signed_by: tuple[int, ...] | None = None,
    threshold: int = 2,
    expires: datetime = NOW + timedelta(days=400),
    revoked: tuple[int, ...] = (),
    change: Change = nothing,
) -> bytes:
    """A root document with ``keys`` in both roles; ``change`` edits it before it is signed.

    ML-DSA-87 keys go to the roles that co-sign, with the same threshold.
    """
    roles: dict[str, Any] = {}
    for suffix, of_type in (
        ("", [number for number in keys if number < POST_QUANTUM]),
        ("_post_quantum", [number for number in keys if number >= POST_QUANTUM]),
    ):
        for name in ("root", "release"):
            if of_type:
                keyids = sorted(keyid(number) for number in of_type)
                roles[f"{name}{suffix}"] = {"keyids": keyids, "threshold": threshold}
    document: dict[str, Any] = {
        "schema": ROOT_SCHEMA,
        "version": version,
        "created": format_time(NOW - timedelta(days=1)),
        "expires": format_time(expires),
        "keys": {
            keyid(number): {"label": f"signer {number}", "use": "production", "spki": key(number).public.spki()}
            for number in keys
        },
        "roles": roles,
        "revoked": sorted(keyid(number) for number in revoked),
    }
    change(document)
    return sign_root(canonical_json(document), signed_by or keys)


def sign_root(payload: bytes, signers: tuple[int, ...]) -> bytes:
    """Wrap and sign a root document, whatever it says."""
    message = pae(ROOT_PAYLOAD_TYPE, payload)
    signatures = tuple((keyid(number), key(number).sign(message)) for number in signers)
    return encode_envelope(Envelope(ROOT_PAYLOAD_TYPE, payload, signatures))


def payload_of(data: bytes) -> bytes:
    """What a root document's envelope or a signature file holds."""
    value = json.loads(data)
    return base64.b64decode(value.get("dsseEnvelope", value)["payload"])


def identity_of(data: bytes) -> str:
    """What a root document is known by, as its format says it."""
    return hashlib.sha256(payload_of(data)).hexdigest()


@cache
def root_chain() -> tuple[bytes, bytes]:
    """Version 1 with a key that version 2 replaces and revokes."""
    return (
        root_document(1, (FIRST, RETIRED)),
        root_document(2, (FIRST, SECOND), signed_by=(FIRST, SECOND, RETIRED), revoked=(RETIRED,)),
    )


def index_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """``bundle.json`` that explains ``files`` by one artifact and shared files."""
    entries = [
        {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for path, data in sorted(files.items())
    ]
    return {
        "schema": BUNDLE_SCHEMA,
        "name": "tiny",
        "version": "1.0.0",
        "description": "a bundle for tests",
        "serving": {},
        "artifacts": [
            {
                "kind": "weights",
                "name": "tiny",
                "licence": "Apache-2.0",
                "source": {"directory": "tiny"},
                "details": {"revision": "1"},
                "files": [entry for entry in entries if str(entry["path"]).startswith("models/")],
            }
        ],
        "shared": [entry for entry in entries if not str(entry["path"]).startswith("models/")],
    }


def sha384_list_of(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The list that the profile CNSA 2.0 wants, under its name."""
    ordered = sorted(files.items(), key=lambda item: item[0].encode())
    return sha384_list_from(
        b"".join(b"%b  %b\n" % (hashlib.sha384(data).hexdigest().encode(), name.encode()) for name, data in ordered)
    )


def sha384_list_from(data: bytes) -> dict[str, bytes]:
    """Any bytes under the name of a list."""
    return {f"evidence/SHA384SUMS.{hashlib.sha384(data).hexdigest()}": data}


def sums_of(files: Mapping[str, bytes]) -> bytes:
    """SHA256SUMS of any files, also of those that may not be."""
    ordered = sorted(files.items(), key=lambda item: item[0].encode())
    return b"".join(b"%b  %b\n" % (hashlib.sha256(data).hexdigest().encode(), name.encode()) for name, data in ordered)


@dataclass(frozen=True)
class Written:
    """A bundle on disk and the root document that its receiver trusts."""

    path: Path
    trusted: Path

    def verify(self, *profiles: Profile) -> VerifiedBundle:
        """Verify as ``appliance verify`` does."""
        demands = DEFAULT_POLICY.model_copy(update={"profiles": profiles})
        with Tree(self.path, Silent()) as tree:
            return verify(tree, self.trusted.read_bytes(), Policy(now=datetime.now(UTC), demands=demands))

    def exit_code(self) -> int:
        """The exit code that ``verify`` would end with."""
        try:
            self.verify()
        except ApplianceError as error:
            return error.exit_code
        return 0

    def verify_sh(self, *profiles: Profile) -> "subprocess.CompletedProcess[str]":
        """Verify as an auditor does, with the script and nothing of Python."""
        demanded = [part for profile in profiles for part in ("--profile", profile)]
        return run_script([str(self.path), "--root", str(self.trusted), *demanded])


def run_script(arguments: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run verify.sh by the system's POSIX shell, with no terminal."""
    return subprocess.run(
        ["sh", str(SCRIPT), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=900,  # the largest chains take it minutes
        check=False,
        **options,
    )


@dataclass(frozen=True)
class Recipe:
    """A bundle to be; everything is signed as it comes out.

    ``files`` are all but bundle.json and verify.sh.  The changes edit, in this order,
    bundle.json, the bytes of bundle.json, the bytes of SHA256SUMS, the statement, the
    bytes of the statement and the bytes of each signature file.  ``omitted`` files are not
    there at all; ``lists`` makes more out of all that are.  ``trusted`` is what the receiver
    holds: the first root document unless said otherwise.
    """

    files: Mapping[str, bytes] = field(default_factory=lambda: FILES)
    roots: tuple[bytes, ...] = field(default_factory=root_chain)
    signers: tuple[int, ...] = (FIRST, SECOND)
    trusted: bytes | None = None
    index: Change = nothing
    index_bytes: Callable[[bytes], bytes] = bytes
    omitted: tuple[str, ...] = ()
    lists: Callable[[Mapping[str, bytes]], Mapping[str, bytes]] = lambda files: {}
    sums: Callable[[bytes], bytes] = bytes
    statement: Change = nothing
    statement_bytes: Callable[[bytes], bytes] = bytes
    signature_bytes: Callable[[bytes], bytes] = bytes
    created: datetime = NOW - timedelta(hours=1)
    expires: datetime = NOW + timedelta(days=30)

    def but(self, **changes: Any) -> "Recipe":
        """The same with ``changes``."""
        return replace(self, **changes)

    def documents(self) -> dict[str, bytes]:
        """Every file of the bundle by its path."""
        files = dict(self.files)
        index = index_of(files)
        self.index(index)
        text = json.dumps(index, indent=1, sort_keys=True) + "\n"
        files[INDEX] = self.index_bytes(text.encode())
        files[VERIFY_SCRIPT] = SCRIPT.read_bytes()
        for path in self.omitted:
            del files[path]
        files |= self.lists(dict(files))
        sums = self.sums(sums_of(files))
        statement = self.statement_bytes(self._statement(files, sums))
        files |= {"SHA256SUMS": sums, "statement.json": statement}
        files |= {f"trust/{number}.root.json": root for number, root in enumerate(self.roots, start=1)}
        message = pae(STATEMENT_PAYLOAD_TYPE, statement)
        for number in self.signers:
            content = encode_signature_file(keyid(number), statement, key(number).sign(message))
            files[f"sigs/{keyid(number)}.sigstore.json"] = self.signature_bytes(content)
        return files

    def write(self, folder: Path) -> Written:
        """Make the bundle ``folder/bundle`` and ``folder/root.json``, which is trusted."""
        bundle = folder / "bundle"
        for path, data in self.documents().items():
            target = bundle / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        for entry in (bundle, *bundle.rglob("*")):  # whatever the umask: an auditor need not be its owner
            entry.chmod(0o755 if entry.is_dir() else 0o644)
        trusted = folder / "root.json"
        trusted.write_bytes(self.trusted or self.roots[0])
        return Written(bundle, trusted)

    def _statement(self, files: Mapping[str, bytes], sums: bytes) -> bytes:
        value: dict[str, Any] = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": "SHA256SUMS", "digest": digest_of(sums)}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "name": "tiny",
                "version": "1.0.0",
                "created": format_time(self.created),
                "expires": format_time(self.expires),
                "previous": None,
                "minimum_root_version": 1,
                "files": len(files),
                "bytes": sum(len(data) for data in files.values()),
            },
        }
        self.statement(value)
        return canonical_json(value)


# One root, one signer: for what lies behind the signatures.
PLAIN = Recipe(roots=(root_document(1, (FIRST,), threshold=1),), signers=(FIRST,))

# Two signers and their co-signers, and the list: for sites that demand the profile CNSA 2.0.
CNSA = Recipe(
    roots=(root_document(1, (FIRST, SECOND, FIRST_PQ, SECOND_PQ)),),
    signers=(FIRST, SECOND, FIRST_PQ, SECOND_PQ),
    lists=sha384_list_of,
)


def encoded(data: bytes) -> str:
    """Base64, as envelopes hold it."""
    return base64.b64encode(data).decode()
