"""Sigstore's own library: verifies attestations that were signed without a lasting key.

The certificate has to come from Sigstore's authority, the signature has to be in its transparency log while the
certificate held, and the certificate has to name the publisher.  What is trusted are Sigstore's keys as the library
carries them, whose release requirements.txt pins by digest: nothing is asked of the network, and nothing is read
that this user's other programs have left.
"""

import importlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from appliance.errors import BadInput, NotTrusted
from appliance.formats.attestations import Attestation, Publisher
from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE

# sigstore/_store: a directory for each instance of Sigstore, by its quoted address; this is the public one
_KEYS = ("https%3A%2F%2Ftuf-repo-cdn.sigstore.dev", "trusted_root.json")
# Who lets each kind of publisher have certificates, and where their repositories are:
# https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
_ISSUERS = {"GitHub": "https://token.actions.githubusercontent.com", "GitLab": "https://gitlab.com"}
_HOSTS = {"GitHub": "https://github.com", "GitLab": "https://gitlab.com"}
_SOURCE_REF = "1.3.6.1.4.1.57264.1.14"
_SOURCE_DIGEST = "1.3.6.1.4.1.57264.1.13"


def repository(publisher: Publisher) -> str:
    """The address of the publisher's repository; "" for a kind of publisher that cannot be verified here."""
    host = _HOSTS.get(publisher.kind)
    return f"{host}/{publisher.repository}" if host else ""


def verify(attestation: Attestation, where: str) -> bytes:
    """The statement that the attestation's publisher has signed; ``where`` is for messages.

    Raises NotTrusted (``attestation-invalid``), and BadInput (``tool-missing``) where the library is not there.
    """
    policy = _library("verify.policy")
    try:
        return _statement(attestation.bundle, lambda bundle: _policy(attestation.publisher, bundle, policy))
    except ValueError as error:
        raise _invalid(str(error), where) from None


def verify_identity(bundle: bytes, identity: str, issuer: str) -> bytes:
    """The statement that ``identity``, logged in by ``issuer``, has signed with a Sigstore bundle.

    Both are compared as they are, without patterns.  Raises ValueError with the reason why the bundle does not hold,
    and BadInput (``tool-missing``) where the library is not there.
    """
    policy = _library("verify.policy")
    return _statement(bundle, lambda _: policy.Identity(identity=identity, issuer=issuer))


def _statement(data: bytes, policy: Callable[[Any], Any]) -> bytes:
    """The statement of a bundle that holds.  Raises ValueError with the reason."""
    models, verifier = _library("models"), _verifier()
    try:
        bundle = models.Bundle.from_json(data)
        kind, payload = verifier.verify_dsse(bundle, policy(bundle))
    # Whatever it is, the bundle does not hold: for what is malformed come pydantic's and cryptography's errors too
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from None
    if kind != STATEMENT_PAYLOAD_TYPE:
        raise ValueError(f"it has a payload of the type {kind!r}")
    return bytes(payload)


def _policy(publisher: Publisher, bundle: Any, policy: Any) -> Any:
    """The certificate's words have to be the publisher's, and its build configuration one of the publisher's.

    A publisher does not say from which branch, tag or commit the workflow was taken, so these are the certificate's.
    """
    home = repository(publisher)
    separator = "//" if publisher.kind == "GitLab" else "/"
    taken = [_extension(bundle.signing_certificate, number) for number in (_SOURCE_REF, _SOURCE_DIGEST)]
    builds = [policy.OIDCBuildConfigURI(f"{home}{separator}{publisher.workflow}@{ref}") for ref in taken if ref]
    return policy.AllOf(
        [
            policy.OIDCIssuerV2(_ISSUERS[publisher.kind]),
            policy.OIDCSourceRepositoryURI(home),
            policy.AnyOf(builds),
        ]
    )


def _extension(certificate: Any, number: str) -> str:
    """The text of one of Fulcio's extensions, or "" where the certificate has none."""
    from cryptography import x509  # noqa: PLC0415 - most runs verify none
    from cryptography.hazmat import asn1  # noqa: PLC0415

    try:
        extension = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(number))
    except x509.ExtensionNotFound:
        return ""
    return str(asn1.decode_der(str, extension.value.public_bytes()))


@cache
def _verifier() -> Any:
    models, verifying = _library("models"), _library("verify")
    with resources.as_file(resources.files("sigstore._store").joinpath(*_KEYS)) as keys:
        return verifying.Verifier(trusted_root=models.TrustedRoot.from_file(str(keys)))


def _library(name: str) -> Any:
    try:
        return importlib.import_module(f"sigstore.{name}")
    except ImportError:
        raise BadInput(
            "tool-missing",
            "attestations and signatures of identities cannot be verified: the library sigstore is not installed",
            hint="on the host that locks: pip install 'appliance[attestations]'",
        ) from None


def _invalid(why: str, where: str) -> NotTrusted:
    return NotTrusted(
        "attestation-invalid",
        f"the index has an attestation that does not hold: {why}",
        where=where,
        hint="ask the publisher; if Sigstore has new keys since, install a newer release of the library sigstore",
    )
