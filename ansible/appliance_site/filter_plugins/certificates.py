"""Filters about certificates, for templates."""

from collections.abc import Callable

from cryptography import x509


def certificate_subject(text: str) -> str:
    """The subject of the first certificate in PEM, as nginx writes it (RFC 4514)."""
    return x509.load_pem_x509_certificate(text.encode()).subject.rfc4514_string()


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[[str], str]]:
        """Filters by name."""
        return {"certificate_subject": certificate_subject}
