"""``appliance keys`` and ``appliance root``: make keys, read them, make a first root."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from appliance.errors import BadInput
from appliance.store.whole import write_whole
from appliance.trust.keys import PrivateKey, PublicKey, Signer
from appliance.trust.root import Root, new_root, read_root

Use = Literal["production", "demo"]
DEMO_LABEL = "DEMO KEY - NOT FOR PRODUCTION"


@dataclass(frozen=True)
class KeyFiles:
    """A key pair on disk."""

    private: Path
    public: Path
    keyid: str


def new_key(path: Path, passphrase: bytes | None) -> KeyFiles:
    """Make a key pair: ``path`` (PKCS#8, mode 0600) and ``<stem>.pub.pem`` beside it.

    Raises BadInput (``key-exists``): a private key is never overwritten.
    """
    public_path = public_key_path(path)
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise BadInput(
                "key-exists", "the file exists and is not overwritten", where=str(existing), hint="choose another name"
            )
    key = PrivateKey.generate()
    write_whole(path, key.pem(passphrase), mode=0o600, replace=False)
    write_whole(public_path, key.public.pem(), mode=0o644)
    return KeyFiles(path, public_path, key.public.keyid)


def public_key_path(private: Path) -> Path:
    """Where the public half of a key file lies."""
    return private.with_name(private.name.removesuffix(".pem") + ".pub.pem")


def root_path(private: Path) -> Path:
    """Where the root document of a single key lies."""
    return private.with_name(private.name.removesuffix(".pem") + ".root.json")


def read_private_key(path: Path, passphrase: bytes | None) -> PrivateKey:
    """Read a private key.  Raises BadInput (``key-*``)."""
    return PrivateKey.from_pem(_read(path), passphrase, where=str(path))


def is_encrypted(path: Path) -> bool:
    """Whether a key file needs a passphrase."""
    return b"ENCRYPTED" in _read(path).split(b"\n", 1)[0]


def read_public_key(path: Path) -> PublicKey:
    """Read a public key in SPKI PEM.  Raises BadInput (``key-unreadable``)."""
    try:
        return PublicKey.from_pem(_read(path))
    except ValueError as error:
        raise BadInput("key-unreadable", f"the file {error}", where=str(path)) from None


def write_public_key(path: Path, key: PublicKey) -> None:
    """Write SPKI PEM.  Raises BadInput (``file-exists``) where another key is; the same one stays."""
    if not path.is_file() or _read(path) != key.pem():
        write_whole(path, key.pem(), mode=0o644, replace=False)


def new_root_document(
    path: Path, public_keys: list[Path], signer: Signer, *, threshold: int, use: Use, years: int
) -> Root:
    """Write root version 1 with these keys in both roles, signed by ``signer``.

    Raises BadInput (``root-exists``, ``root-signer``).  A threshold above one needs
    signatures that one signer alone cannot give; it is refused here.
    """
    if os.path.lexists(path):
        raise BadInput(
            "root-exists", "the file exists and is not overwritten", where=str(path), hint="choose another name"
        )
    keys = [(file, read_public_key(file)) for file in public_keys]
    if signer.public.keyid not in {key.keyid for _, key in keys}:
        raise BadInput("root-signer", "the signing key is not among the keys of the root", where=str(path))
    if threshold != 1:
        raise BadInput(
            "root-threshold-unreachable",
            "a root with a threshold above 1 needs more signers",
            where=str(path),
            expected="1",
            found=str(threshold),
        )
    now = datetime.now(UTC)
    labelled = [(DEMO_LABEL if use == "demo" else _label(file), use, key) for file, key in keys]
    data = new_root(
        labelled, threshold=threshold, created=now, expires=now + timedelta(days=365 * years), signer=signer
    )
    write_whole(path, data, mode=0o644)
    return read_root(data, str(path))


def read_root_document(path: Path) -> Root:
    """Read one root document.  Raises BadInput or NotTrusted."""
    return read_root(_read(path), str(path))


def _label(path: Path) -> str:
    name = path.name.removesuffix(".pem").removesuffix(".pub")
    return "".join(character if " " <= character <= "~" else "?" for character in name)[:100] or "key"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1024 * 1024)
    except OSError as error:
        raise BadInput("key-unreadable", f"the file cannot be read: {error.strerror}", where=str(path)) from None
