"""A certificate authority of one test, and a server certificate for 127.0.0.1 of it."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_ONLY_SIGNS = x509.KeyUsage(
    key_cert_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Identity:
    """PEM files: the authority's certificate, the server's certificate and its key."""

    authority: Path
    certificate: Path
    key: Path


def make_identity(folder: Path) -> Identity:
    """Write the three files below ``folder``."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    authority = _name("test authority")
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    # Python 3.13 checks by RFC 5280 to the letter, which wants the key identifiers and the usage.
    subject = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject)
    root = _builder(authority, authority, authority_key).add_extension(constraints, critical=True)
    root = root.add_extension(subject, critical=False).add_extension(_ONLY_SIGNS, critical=True)
    leaf = _builder(_name("127.0.0.1"), authority, server_key).add_extension(addresses, critical=False)
    leaf = leaf.add_extension(issuer, critical=False)
    identity = Identity(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    identity.authority.write_bytes(_pem(root.sign(authority_key, hashes.SHA256())))
    identity.certificate.write_bytes(_pem(leaf.sign(authority_key, hashes.SHA256())))
    identity.key.write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return identity


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """Public half of ``key`` belongs to ``subject``; valid from an hour ago for a day."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
