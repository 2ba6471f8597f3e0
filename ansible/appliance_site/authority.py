"""``python -m appliance_site.authority``: the site's own certificate authority, as files.

The wanted state comes as JSON on standard input (``Wanted``); one line of JSON on
standard output says what changed, or with ``--check`` what would, which clients' certificates
were issued and which end soon, and the serial numbers of what is revoked.

* A private key is never overwritten while its certificate serves, and is for root alone.
* A host's certificate is renewed when it is about to expire or its names have changed.  A
  client's is not, because a person has to carry the new one: it is listed as expiring.
  Its key may be deleted here once it was handed over.
* What was revoked once stays revoked, whatever is listed later.
* The root's key is needed for the first run only and can be taken off the host then.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from pydantic import Field, ValidationError

from appliance.model.base import Strict
from appliance.model.names import Name
from appliance.model.value_problem import first_problem
from appliance_site.certificates import (
    CLIENT,
    SERVER,
    Leaf,
    Pair,
    intermediate_authority,
    issue,
    load_pair,
    names_of,
    pem,
    revocation_list,
    root_authority,
    written_names,
)
from appliance_site.converge import Converge

_SECRET_FILE = 0o600
_SECRET_DIRECTORY = 0o700


class Host(Strict):
    """A host of the site, and every DNS name and IP address it is reached by."""

    name: str = Field(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,62}\z")
    names: tuple[str, ...] = Field(min_length=1)


class Wanted(Strict):
    """What the authority is to have issued.

    ``revoked`` names clients and hosts.  ``renew_now`` renews what is renewed without a
    person (hosts' certificates, the revocation list), whenever it ends.
    """

    directory: str
    site: str = Field(min_length=1, max_length=64)
    hosts: tuple[Host, ...]
    clients: tuple[Name, ...]
    revoked: tuple[str, ...]
    authority_days: int = Field(ge=1, le=7300)
    certificate_days: int = Field(ge=1, le=3650)
    crl_days: int = Field(ge=1, le=3650)
    renew_days: int = Field(ge=0, le=3650)
    renew_now: bool = False


@dataclass
class Authority:
    """The authority's directory.  ``now`` is UTC."""

    wanted: Wanted
    now: datetime
    converge: Converge
    expiring: list[str] = field(default_factory=list)
    issued: list[dict[str, str]] = field(default_factory=list)

    @property
    def top(self) -> Path:
        """Where everything lies."""
        return Path(self.wanted.directory)

    def bring_about(self) -> None:
        """Make what is missing, renew what has to be.  Raises OSError and ValueError."""
        for folder in ("", "hosts", "clients", "issued"):
            self.converge.directory(self.top / folder, _SECRET_DIRECTORY)
        intermediate = self._authorities()
        revoked = set(self.wanted.revoked)
        for host in self.wanted.hosts:
            if host.name not in revoked:
                self._host(intermediate, host)
        for client in self.wanted.clients:
            if client not in revoked:
                self._client(intermediate, client)
        self._revocation_list(intermediate)

    def _authorities(self) -> Pair:
        root_file, file = self.top / "root.pem", self.top / "intermediate.pem"
        if root_file.is_file():
            return load_pair(file.read_bytes(), file.with_suffix(".key").read_bytes())
        if any((self.top / "issued").glob("*.pem")):
            raise ValueError(f"{root_file} is gone, but certificates were issued under it: restore it")
        wanted = self.wanted
        root = root_authority(wanted.site, self.now, wanted.authority_days)
        intermediate = intermediate_authority(root, wanted.site, self.now, wanted.authority_days)
        until = root.certificate.not_valid_after_utc
        self.converge.file(self.top / "root-crl.pem", revocation_list(root, (), self.now, until, 1))
        self.converge.file(self.top / "ca.pem", pem(intermediate.certificate) + pem(root.certificate))
        self._write(self.top / "intermediate", intermediate, b"")
        self._write(self.top / "root", root, b"")  # last: with it the authority is whole
        return intermediate

    def _host(self, authority: Pair, host: Host) -> None:
        folder = self.top / "hosts" / host.name
        self.converge.directory(folder, _SECRET_DIRECTORY)
        leaves = {
            "host": Leaf(host.name, "host", SERVER, host.names),
            "client": Leaf(host.name, "host-client", CLIENT, host.names[:1]),
        }
        for name, leaf in leaves.items():
            old = self._certificate(folder / f"{name}.pem")
            if old is None or self._renews(old) or names_of(old) != written_names(leaf.names):
                self._issue(authority, folder / name, leaf)

    def _client(self, authority: Pair, client: str) -> None:
        folder = self.top / "clients" / client
        path = folder / "client.pem"
        handed_over = path.is_file() and not path.with_suffix(".key").exists()  # its key is with the client alone
        old = x509.load_pem_x509_certificate(path.read_bytes()) if handed_over else self._certificate(path)
        if old is None:
            self.converge.directory(folder, _SECRET_DIRECTORY)
            new = self._issue(authority, folder / "client", Leaf(client, "client", CLIENT))
            self.issued.append(
                {
                    "client": client,
                    "directory": str(folder),
                    "fingerprint": new.fingerprint(hashes.SHA256()).hex(":").upper(),
                    "until": f"{new.not_valid_after_utc:%Y-%m-%d}",
                }
            )
        elif self._ends_soon(old):
            self.expiring.append(f"{client} on {old.not_valid_after_utc:%Y-%m-%d}")

    def _issue(self, authority: Pair, stem: Path, leaf: Leaf) -> x509.Certificate:
        pair = issue(authority, self.wanted.site, leaf, self.now, self.wanted.certificate_days)
        # Remembered before it can be used, so that it can always be revoked.
        self.converge.file(self.top / "issued" / f"{pair.certificate.serial_number:x}.pem", pem(pair.certificate))
        self._write(stem, pair, pem(authority.certificate))
        return pair.certificate

    def _write(self, stem: Path, pair: Pair, chain: bytes) -> None:
        self.converge.file(stem.with_suffix(".key"), pair.key_pem(), _SECRET_FILE)
        self.converge.file(stem.with_suffix(".pem"), pem(pair.certificate) + chain)

    def _certificate(self, path: Path) -> x509.Certificate | None:
        if not path.is_file():
            return None
        try:
            return load_pair(path.read_bytes(), path.with_suffix(".key").read_bytes()).certificate
        except (FileNotFoundError, ValueError):
            return None  # a run was interrupted between the two files

    def _renews(self, certificate: x509.Certificate) -> bool:
        return self.wanted.renew_now or self._ends_soon(certificate)

    def _ends_soon(self, certificate: x509.Certificate) -> bool:
        return certificate.not_valid_after_utc < self.now + timedelta(days=self.wanted.renew_days)

    def _revocation_list(self, authority: Pair) -> None:
        path = self.top / "crl.pem"
        old = x509.load_pem_x509_crl(path.read_bytes()) if path.is_file() else None
        before = set() if old is None else {entry.serial_number for entry in old}
        serials = before | {serial for _, serial in self._issued(self.wanted.revoked)}
        if old is not None and serials == before and self._still_good(old) and not self.wanted.renew_now:
            return
        number = 1 if old is None else 1 + old.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        until = self.now + timedelta(days=self.wanted.crl_days)
        data = revocation_list(authority, serials, self.now, until, number)
        root_list = self.top / "root-crl.pem"
        # OpenSSL checks the intermediate authority too, so the root's list belongs with it.
        self.converge.file(path, data + (root_list.read_bytes() if root_list.is_file() else b""))

    def _still_good(self, old: x509.CertificateRevocationList) -> bool:
        until = old.next_update_utc
        return until is not None and until > self.now + timedelta(days=self.wanted.renew_days)

    def revoked(self) -> dict[str, list[str]]:
        """Serial numbers, in hexadecimal, of all that was issued to each name that is to be revoked."""
        found: dict[str, list[str]] = {name: [] for name in self.wanted.revoked}
        for name, serial in self._issued(found):
            found[name].append(f"{serial:x}")
        return {name: sorted(serials) for name, serials in found.items()}

    def _issued(self, names: Collection[str]) -> Iterator[tuple[str, int]]:
        """Name and serial number of each certificate that was issued to one of ``names``."""
        for path in (self.top / "issued").glob("*.pem") if names else ():
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            common = str(certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)
            if common in names:
                yield common, certificate.serial_number


def main() -> int:
    """Exit code 0, or 2 with one line on standard error."""
    parser = argparse.ArgumentParser(prog="appliance_site.authority", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    try:
        wanted = Wanted.model_validate_json(sys.stdin.buffer.read())
        authority = Authority(wanted, datetime.now(tz=UTC).replace(microsecond=0), Converge(check=given.check))
        authority.bring_about()
    except ValidationError as error:
        print(f"pki: {first_problem(error)} (found {error.errors()[0]['input']!r})", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"the site's certificates could not be issued: {error}", file=sys.stderr)
        return 2
    answer = {
        "changed": authority.converge.changed,
        "expiring": authority.expiring,
        "issued": authority.issued,
        "revoked": authority.revoked(),
    }
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
