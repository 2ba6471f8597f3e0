"""Keys: made, stored, named, used.  What they sign with is the business of ``algorithms``.

A private key is PKCS#8 in PEM, encrypted under a passphrase if there is one; a public key
is SPKI in PEM.
A key's id is the SHA-256 of its SPKI DER, in hexadecimal.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Protocol, cast

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from appliance.errors import BadInput
from appliance.trust.algorithms import (
    DEFAULT_TYPE,
    TITLES,
    Algorithm,
    KeyType,
    Private,
    Public,
    algorithm_named,
    algorithm_of,
)


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with."""

    key: Public

    @classmethod
    def from_pem(cls, pem: bytes) -> "PublicKey":
        """Read SPKI PEM.  Raises ValueError for another type or form."""
        try:
            key = serialization.load_pem_public_key(pem)
        except UnsupportedAlgorithm as error:
            raise ValueError(str(error)) from None
        algorithm_of(key)
        public = cls(cast("Public", key))
        if public.pem() != pem:
            raise ValueError("is not the one PEM form of its key")
        return public

    @classmethod
    def from_spki(cls, body: str) -> "PublicKey":
        """Read base64 of the SPKI DER, without line breaks.  Raises ValueError."""
        lines = [body[start : start + 64] for start in range(0, len(body), 64)]
        text = "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])
        return cls.from_pem(text.encode())

    def spki(self) -> str:
        """The SPKI DER in base64: the body of the PEM in one line."""
        return base64.b64encode(self.der()).decode("ascii")

    def der(self) -> bytes:
        """The SPKI DER."""
        return self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def pem(self) -> bytes:
        """The SPKI PEM, as OpenSSL writes it."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def keyid(self) -> str:
        """SHA-256 of the SPKI DER, 64 hexadecimal digits."""
        return hashlib.sha256(self.der()).hexdigest()

    @property
    def type(self) -> KeyType:
        """What kind of key it is, as people and programs are told."""
        return self.algorithm.name

    @property
    def algorithm(self) -> Algorithm:
        """What its private half signs with."""
        return algorithm_of(self.key)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is this key's over ``message``."""
        try:
            self.algorithm.verify(self.key, signature, message)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """What signs: a key from a file, or one in hardware that never gives it away."""

    @property
    def public(self) -> PublicKey:
        """The key that its signatures are checked with."""

    def sign(self, message: bytes) -> bytes:
        """A signature over ``message`` that ``public.verifies``."""


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs.  Never printed, never logged."""

    key: Private

    @classmethod
    def generate(cls, key_type: KeyType = DEFAULT_TYPE) -> "PrivateKey":
        """A new key from the operating system's random numbers."""
        return cls(algorithm_named(key_type).make())

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None, *, where: str) -> "PrivateKey":
        """Read PKCS#8 PEM.

        Raises BadInput: ``key-passphrase-missing``, ``key-passphrase-wrong``,
        ``key-type`` or ``key-unreadable``; ``where`` names the file.
        """
        try:
            key = serialization.load_pem_private_key(pem, passphrase)
        except TypeError:
            if passphrase is None:
                raise BadInput(
                    "key-passphrase-missing",
                    "the key is encrypted and no passphrase was given",
                    where=where,
                    hint="give --passphrase-file FILE, set APPLIANCE_KEY_PASSPHRASE, or run the command in a terminal",
                ) from None
            # A passphrase for a key that has none: the key is readable all the same.
            return cls.from_pem(pem, None, where=where)
        except (ValueError, UnsupportedAlgorithm) as error:
            if b"ENCRYPTED" in pem and passphrase is not None:
                raise BadInput(
                    "key-passphrase-wrong",
                    "the passphrase does not open the key",
                    where=where,
                    hint="nothing was changed",
                ) from None
            raise BadInput(
                "key-unreadable",
                f"the file is not a private key in PEM that can be read: {error}",
                where=where,
                # https://docs.openssl.org/3.5/man7/EVP_PKEY-ML-DSA/: its default form holds the expanded key too
                hint="ML-DSA-87 by openssl: openssl pkey -provparam ml-dsa.output_formats=seed-only -in KEY -out NEW",
            ) from None
        try:
            algorithm_of(key)
        except ValueError:
            raise BadInput(
                "key-type",
                f"the key is neither {' nor '.join(TITLES)}",
                where=where,
                hint="make one: appliance keys new KEY.pem",
            ) from None
        return cls(cast("Private", key))

    def pem(self, passphrase: bytes | None) -> bytes:
        """PKCS#8 PEM, encrypted (PBES2, scrypt or PBKDF2 with AES-256) under ``passphrase``."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        """A signature over ``message``, in the form that ``PublicKey.verifies`` says."""
        return algorithm_of(self.key).sign(self.key, message)
