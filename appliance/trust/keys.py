"""Keys of two types: made, stored, named, used.

ECDSA P-256 is the one type that OpenSSL 3.0 and 3.5 and cosign all check.  ML-DSA-87
(FIPS 204) is what CNSA 2.0 asks for beside it; OpenSSL 3.5 checks it.  A private key is
PKCS#8 in PEM, encrypted under a passphrase if there is one; a public key is SPKI in PEM.
A key's id is the SHA-256 of its SPKI DER, in hexadecimal.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey, MLDSA87PublicKey

from appliance.errors import BadInput

KeyType = Literal["ecdsa-p256", "ml-dsa-87"]


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with."""

    key: ec.EllipticCurvePublicKey | MLDSA87PublicKey

    @classmethod
    def from_pem(cls, pem: bytes) -> "PublicKey":
        """Read SPKI PEM.  Raises ValueError for another type or form."""
        try:
            key = serialization.load_pem_public_key(pem)
        except UnsupportedAlgorithm as error:
            raise ValueError(str(error)) from None
        match key:
            case MLDSA87PublicKey() | ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
                public = cls(key)
            case _:
                raise ValueError("is no ECDSA P-256 or ML-DSA-87 key")
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
        return "ml-dsa-87" if isinstance(self.key, MLDSA87PublicKey) else "ecdsa-p256"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is this key's over ``message``.

        ECDSA: ASN.1 DER, with SHA-256.  ML-DSA: the 4627 bytes of FIPS 204, pure, with no
        context.
        """
        try:
            if isinstance(self.key, MLDSA87PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
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

    key: ec.EllipticCurvePrivateKey | MLDSA87PrivateKey

    @classmethod
    def generate(cls, key_type: KeyType = "ecdsa-p256") -> "PrivateKey":
        """A new key from the operating system's random numbers."""
        return cls(MLDSA87PrivateKey.generate() if key_type == "ml-dsa-87" else ec.generate_private_key(ec.SECP256R1()))

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
                    hint="give --passphrase-file FILE, set APPLIANCE_KEY_PASSPHRASE, or run it on a terminal",
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
                f"the file is no private key in PEM that can be read: {error}",
                where=where,
                # https://docs.openssl.org/3.5/man7/EVP_PKEY-ML-DSA/: its default form holds the expanded key too
                hint="ML-DSA-87 by openssl: openssl pkey -provparam ml-dsa.output_formats=seed-only -in KEY -out NEW",
            ) from None
        match key:
            case MLDSA87PrivateKey() | ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
                return cls(key)
            case _:
                raise BadInput(
                    "key-type",
                    "the key is neither ECDSA P-256 nor ML-DSA-87",
                    where=where,
                    hint="make one: appliance keys new KEY.pem",
                )

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
        if isinstance(self.key, MLDSA87PrivateKey):
            return self.key.sign(message)
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))
