import base64
import hashlib
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from appliance.errors import BadInput
from appliance.trust.algorithms import KeyType
from appliance.trust.keys import PrivateKey, PublicKey

# SubjectPublicKeyInfo on secp112r1, a curve that nobody implements any more
_OLD_CURVE = base64.b64encode(bytes.fromhex("3032301006072a8648ce3d020106052b81040006031e0004" + "11" * 28)).decode()


def _pkcs8(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | mldsa.MLDSA65PrivateKey,
    passphrase: bytes | None = None,
) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
@pytest.mark.parametrize("key_type", get_args(KeyType))
def test_a_stored_key_signs_what_its_public_half_verifies(key_type: KeyType, passphrase: bytes | None) -> None:
    key = PrivateKey.generate(key_type)
    assert key.public.type == key_type
    stored = key.pem(passphrase)
    assert (b"ENCRYPTED" in stored) == (passphrase is not None)

    signature = PrivateKey.from_pem(stored, passphrase, where="k.pem").sign(b"message")

    assert PublicKey.from_pem(key.public.pem()).verifies(signature, b"message")
    assert not key.public.verifies(signature, b"other message")
    assert not PrivateKey.generate(key_type).public.verifies(signature, b"message")
    for wrong in (b"", b"no signature", signature[:-1], signature + b"\0"):
        assert not key.public.verifies(wrong, b"message")
    for other in get_args(KeyType):
        assert not PrivateKey.generate(other).public.verifies(signature, b"message")


@pytest.mark.parametrize("key_type", get_args(KeyType))
def test_a_key_id_is_the_sha256_of_the_der_that_openssl_writes(key_type: KeyType) -> None:
    public = PrivateKey.generate(key_type).public
    body = b"".join(public.pem().splitlines()[1:-1])
    assert public.keyid == hashlib.sha256(base64.b64decode(body)).hexdigest()
    assert public.spki() == body.decode()
    assert PublicKey.from_spki(public.spki()) == PublicKey.from_pem(public.pem())


def test_a_passphrase_that_is_not_needed_does_no_harm() -> None:
    key = PrivateKey.generate()
    assert PrivateKey.from_pem(key.pem(None), b"superfluous", where="k.pem").public.keyid == key.public.keyid


@pytest.mark.parametrize(
    ("pem", "passphrase", "reference"),
    [
        (_pkcs8(ec.generate_private_key(ec.SECP256R1()), b"right"), b"wrong", "key-passphrase-wrong"),
        (_pkcs8(ec.generate_private_key(ec.SECP256R1()), b"right"), None, "key-passphrase-missing"),
        (_pkcs8(ec.generate_private_key(ec.SECP384R1())), None, "key-type"),
        (_pkcs8(ed25519.Ed25519PrivateKey.generate()), None, "key-type"),
        (_pkcs8(mldsa.MLDSA65PrivateKey.generate()), None, "key-type"),
        (b"not a key", None, "key-unreadable"),
        (b"", b"right", "key-unreadable"),
    ],
)
def test_a_private_key_that_cannot_be_used_says_why(pem: bytes, passphrase: bytes | None, reference: str) -> None:
    with pytest.raises(BadInput) as caught:
        PrivateKey.from_pem(pem, passphrase, where="keys/k.pem")
    assert caught.value.reference == reference
    assert caught.value.where == "keys/k.pem"


def test_a_key_does_not_print_itself() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_numbers().private_value
    key = PrivateKey(private)
    assert str(secret) not in repr(key)
    assert f"{secret:x}" not in repr(key)


_PEM = PrivateKey.generate().public.pem()
_P384 = ec.generate_private_key(ec.SECP384R1()).public_key()
_COMPRESSED = ec.generate_private_key(ec.SECP256R1()).public_key()


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        _PEM.replace(b"\n", b"\r\n"),
        b"# my key\n" + _PEM,
        _PEM + b"\n",
        _PEM.replace(b"PUBLIC KEY", b"RSA PUBLIC KEY"),
        _P384.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        mldsa.MLDSA65PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
)
def test_a_public_key_has_one_type_and_one_form(pem: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        PublicKey.from_pem(pem)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "AAAA",
        "\u00e4",
        _OLD_CURVE,
        PrivateKey.generate().public.spki()[:-2] + "\n=",
        PrivateKey.generate().public.spki() + "AAAA",
    ],
)
def test_base64_that_is_no_key_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        PublicKey.from_spki(body)
