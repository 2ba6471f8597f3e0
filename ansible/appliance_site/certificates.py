"""Certificates and revocation lists of a site's own authority: what is in each of them.

ECDSA P-256 with SHA-256 throughout.  Subjects are ``O=<site>, OU=<use>, CN=<name>``, so a
whole subject names one holder.  Nothing is read or written here.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

# A host whose clock is a little behind takes a new certificate too.
_BACKDATED = timedelta(hours=1)
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted: the file's mode protects it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass(frozen=True)
class Leaf:
    """What a certificate that is no authority says of its holder.

    ``use`` is the subject's OU; ``names`` are DNS names and IP addresses.
    """

    name: str
    use: str
    purpose: ObjectIdentifier
    names: tuple[str, ...] = ()


def pem(certificate: x509.Certificate) -> bytes:
    """One certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def load_pair(certificate: bytes, key: bytes) -> Pair:
    """The first certificate of a PEM file, and a PKCS#8 key.  Raises ValueError when they do not match."""
    private = serialization.load_pem_private_key(key, password=None)
    first = x509.load_pem_x509_certificate(certificate)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != first.public_key():
        raise ValueError("the private key does not belong to the certificate")
    return Pair(first, private)


def root_authority(site: str, now: datetime, days: int) -> Pair:
    """A self-signed authority for intermediate ones."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(site, "authority", "root")
    return Pair(_authority(name, name, key.public_key(), key, now, days, path_length=1), key)


def intermediate_authority(root: Pair, site: str, now: datetime, days: int) -> Pair:
    """An authority for leaves, signed by ``root``; it does not outlive it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(site, "authority", "intermediate")
    days = min(days, (root.certificate.not_valid_after_utc - now).days)
    issuer = root.certificate.subject
    return Pair(_authority(name, issuer, key.public_key(), root.key, now, days, path_length=0), key)


def issue(authority: Pair, site: str, leaf: Leaf, now: datetime, days: int) -> Pair:
    """A new key and its certificate.  It does not outlive ``authority``."""
    key = ec.generate_private_key(ec.SECP256R1())
    until = min(now + timedelta(days=days), authority.certificate.not_valid_after_utc)
    builder = _builder(_subject(site, leaf.use, leaf.name), authority.certificate.subject, key.public_key(), now, until)
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([leaf.purpose]), critical=False)
        .add_extension(_issuer_key(authority.key.public_key()), critical=False)
    )
    if leaf.names:
        builder = builder.add_extension(alternative_names(leaf.names), critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def revocation_list(authority: Pair, serials: Iterable[int], now: datetime, until: datetime, number: int) -> bytes:
    """A CRL in PEM, the ``number``-th of ``authority``."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now - _BACKDATED)
        .next_update(until)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_issuer_key(authority.key.public_key()), critical=False)
    )
    for serial in sorted(set(serials)):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """DNS names and IP addresses, in the order given."""
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and IP addresses of a certificate."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in found)


def written_names(names: Sequence[str]) -> tuple[str, ...]:
    """``names`` as ``names_of`` tells them of a certificate that was issued with them."""
    return tuple(str(name.value) for name in alternative_names(names))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
    path_length: int,
) -> x509.Certificate:
    return (
        _builder(subject, issuer, key, now, now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(_issuer_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issuer_key(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _subject(site: str, use: str, name: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, site), (NameOID.ORGANIZATIONAL_UNIT_NAME, use), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
