"""The algorithms that keys sign with: an entry of ``ALGORITHMS`` each, and nothing else tells them apart.

ECDSA P-256 is the one that OpenSSL 3.0 and 3.5 and cosign all check.  ML-DSA-87 (FIPS 204) is
what CNSA 2.0 asks for beside it; OpenSSL 3.5 checks it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey, MLDSA87PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

KeyType = Literal["ecdsa-p256", "ml-dsa-87"]
Public = ec.EllipticCurvePublicKey | MLDSA87PublicKey
Private = ec.EllipticCurvePrivateKey | MLDSA87PrivateKey

_ECDSA = ec.ECDSA(hashes.SHA256())
_BARE_ECDSA = 64  # bytes: two numbers of P-256


@dataclass(frozen=True)
class Algorithm:
    """One algorithm, with keys as ``cryptography`` has them.

    Keys that ``co_sign`` sign beside the others, in roles of their own.  ``verify`` raises
    InvalidSignature.  ``forms`` gives a signature that was made elsewhere in the form that
    ``verify`` takes, and in those that it may have come in.
    """

    name: KeyType
    title: str
    co_signs: bool
    reads: Callable[[object], bool]
    make: Callable[[], Private]
    sign: Callable[[Any, bytes], bytes]
    verify: Callable[[Any, bytes, bytes], None]
    forms: Callable[[bytes], tuple[bytes, ...]]


def _is_p256(key: object) -> bool:
    return isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) and isinstance(
        key.curve, ec.SECP256R1
    )


def _ecdsa_forms(signature: bytes) -> tuple[bytes, ...]:
    """ASN.1 DER, as openssl writes it, or the two numbers alone, as PKCS#11 has them."""
    if len(signature) != _BARE_ECDSA:
        return (signature,)
    first, second = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    return (signature, encode_dss_signature(first, second))


ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm(
        name="ecdsa-p256",
        title="ECDSA P-256",
        co_signs=False,
        reads=_is_p256,
        make=lambda: ec.generate_private_key(ec.SECP256R1()),
        sign=lambda key, message: bytes(key.sign(message, _ECDSA)),
        verify=lambda key, signature, message: key.verify(signature, message, _ECDSA),
        forms=_ecdsa_forms,
    ),
    # Signatures are the 4627 bytes of FIPS 204: pure, with no context.
    Algorithm(
        name="ml-dsa-87",
        title="ML-DSA-87",
        co_signs=True,
        reads=lambda key: isinstance(key, MLDSA87PublicKey | MLDSA87PrivateKey),
        make=MLDSA87PrivateKey.generate,
        sign=lambda key, message: bytes(key.sign(message)),
        verify=lambda key, signature, message: key.verify(signature, message),
        forms=lambda signature: (signature,),
    ),
)
TITLES = tuple(algorithm.title for algorithm in ALGORITHMS)
CO_SIGNING = " or ".join(algorithm.title for algorithm in ALGORITHMS if algorithm.co_signs)
DEFAULT_TYPE: KeyType = ALGORITHMS[0].name


def algorithm_of(key: object) -> Algorithm:
    """The algorithm of a key that was read.  Raises ValueError for one that nothing here signs with."""
    for algorithm in ALGORITHMS:
        if algorithm.reads(key):
            return algorithm
    raise ValueError(f"is not an {' or '.join(TITLES)} key")


def algorithm_named(name: KeyType) -> Algorithm:
    """The algorithm that a person asks for."""
    return next(algorithm for algorithm in ALGORITHMS if algorithm.name == name)
