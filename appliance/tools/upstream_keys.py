"""Public keys of others that sign container images, by the library cryptography.

What they sign with is what cosign takes such keys for: ECDSA over P-256, and RSA with PKCS #1 v1.5, both over SHA-256
(``LoadVerifier`` of https://github.com/sigstore/sigstore/blob/main/pkg/signature/verifier.go).  None of them is ever a
bundle's signer: those are the business of ``trust``.
"""

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

_MIN_BITS, _MAX_BITS = 2048, 8192


@dataclass(frozen=True)
class UpstreamKey:
    """A publisher's key."""

    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey

    @classmethod
    def from_pem(cls, pem: bytes) -> "UpstreamKey":
        """Read SPKI PEM.  Raises ValueError for another form, and for keys that cosign does not sign images with."""
        try:
            key = serialization.load_pem_public_key(pem)
        except UnsupportedAlgorithm as error:
            raise ValueError(str(error)) from None
        if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        if isinstance(key, rsa.RSAPublicKey) and _MIN_BITS <= key.key_size <= _MAX_BITS:
            return cls(key)
        raise ValueError(f"it is neither an ECDSA key over P-256 nor RSA with {_MIN_BITS} to {_MAX_BITS} bits")

    @property
    def keyid(self) -> str:
        """SHA-256 of the SPKI DER, 64 hexadecimal digits."""
        der = self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    def pem(self) -> bytes:
        """The SPKI PEM, as OpenSSL writes it: for one key always the same bytes."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is this key's over ``message``."""
        try:
            if isinstance(self.key, rsa.RSAPublicKey):
                self.key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True
