"""``appliance keys``: make keys and read them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.errors import BadInput
from appliance.model.limits import MAX_KEY, MAX_LABEL
from appliance.store.disk import read_bounded
from appliance.store.whole import write_whole
from appliance.trust.algorithms import DEFAULT_TYPE, KeyType
from appliance.trust.issue import NewKey
from appliance.trust.keys import PrivateKey, PublicKey

Use = Literal["production", "demo"]


@dataclass(frozen=True)
class KeyFiles:
    """A key pair on disk."""

    private: Path
    public: Path
    keyid: str


def new_key(path: Path, passphrase: bytes | None, key_type: KeyType = DEFAULT_TYPE) -> KeyFiles:
    """Make a key pair: ``path`` (PKCS#8, mode 0600) and ``<stem>.pub.pem`` beside it.

    Raises BadInput (``key-exists``): a private key is never overwritten.
    """
    public_path = public_key_path(path)
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise BadInput(
                "key-exists", "the file exists and is not overwritten", where=str(existing), hint="choose another name"
            )
    key = PrivateKey.generate(key_type)
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


def key_for_root(path: Path, key: PublicKey, use: Use) -> NewKey:
    """A key as root documents hold it; what people call it is the name of its file."""
    name = path.name.removesuffix(".pem").removesuffix(".pub")
    label = f"DEMO KEY - NOT FOR PRODUCTION ({name})" if use == "demo" else name
    shown = "".join(character if " " <= character <= "~" else "?" for character in label)
    return NewKey(shown[:MAX_LABEL] or "key", use, key)


def _read(path: Path) -> bytes:
    return read_bounded(path, MAX_KEY, "key-unreadable")
