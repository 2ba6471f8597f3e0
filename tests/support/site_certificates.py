"""Certificates of the kind that a site issues, for tests that stand at one of its ports."""

import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.project import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "ansible"))

from appliance_site.certificates import Leaf, Pair, intermediate_authority, issue, pem, revocation_list, root_authority


class SiteCertificates:
    """The authorities of a site, and what they issue; each one has the same names and other keys."""

    def __init__(self, organization: str = "site") -> None:
        self._organization, self._now = organization, datetime.now(UTC)
        self.root = root_authority(organization, self._now, 30)
        self.authority = intermediate_authority(self.root, organization, self._now, 30)
        self.chain = pem(self.authority.certificate)
        self.authorities = pem(self.root.certificate) + self.chain

    def issue(self, leaf: Leaf) -> Pair:
        """A certificate for a week."""
        return issue(self.authority, self._organization, leaf, self._now, 7)

    def install(self, pair: Pair, name: str, place: Path) -> None:
        """Write certificate, key and authorities as a host has them."""
        (place / f"{name}.pem").write_bytes(pem(pair.certificate) + self.chain)
        (place / f"{name}.key").write_bytes(pair.key_pem())
        (place / "ca.pem").write_bytes(self.authorities)

    def context(self, pair: Pair | None, file: Path) -> ssl.SSLContext:
        """TLS as the owner of ``pair`` speaks it, or somebody without a certificate; OpenSSL reads it from ``file``."""
        context = ssl.create_default_context(cadata=pem(self.root.certificate).decode())
        if pair is not None:
            file.write_bytes(pem(pair.certificate) + self.chain + pair.key_pem())
            context.load_cert_chain(file)
        return context

    def revoked(self, own: Sequence[int], of_the_root: Sequence[int] = ()) -> bytes:
        """Both revocation lists, PEM, good for a day, with these numbers of certificates."""
        now = datetime.now(UTC)
        return b"".join(
            revocation_list(authority, list(numbers), now, now + timedelta(days=1), 1)
            for authority, numbers in ((self.authority, own), (self.root, of_the_root))
        )
