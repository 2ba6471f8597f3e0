"""The gateway's nginx, configuration and JavaScript in a Debian 13 root, with certificates of the site's own kind."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes

from tests.support.debian_root import DebianRoot, debian_root
from tests.support.processes import below, wait_for
from tests.support.project import REPOSITORY
from tests.support.role_files import render, role_file
from tests.support.service import Service, script
from tests.support.site_certificates import SiteCertificates
from tests.support.umask import umask

sys.path.insert(0, str(REPOSITORY / "ansible"))

from appliance_site.certificates import CLIENT, SERVER, Leaf, Pair, pem

MODELS = [
    {"name": "tiny-chat", "task": "chat"}
    | {"weight_sets": [{"adapter": None}, {"adapter": "tiny-legal"}, {"adapter": "tiny.medical"}]},
    {"name": "mini-lm.v2", "task": "embedding", "weight_sets": [{"adapter": None}]},
]
# Who may use what by its name; the others may use every model of their role.
NAMED = {"counsel": ["tiny-legal"], "clerk": ["tiny-chat", "tiny.medical"]}
SETTINGS = {
    "gateway_addresses": ["unix"],
    "gateway_port": "/srv/gateway.sock",
    "gateway_metrics_port": "/srv/metrics.sock",
    "__gateway_watchers": ["CN=watcher,OU=host-client,O=site"],
    "gateway_certificate": "/etc/appliance/tls/host.pem",
    "gateway_key": "/etc/appliance/tls/host.key",
    "gateway_client_ca": "/etc/appliance/tls/ca.pem",
    "gateway_crl": "/etc/appliance/tls/crl.pem",
    "gateway_verify_depth": 3,
    "gateway_body_mib": 1,
    "gateway_requests_per_second": 50,
    "gateway_burst": 100,
    "gateway_concurrency": 2,
    "gateway_read_timeout": 600,
    "gateway_audit_days": 90,
    "gateway_audit_full": "refuse",
    "__gpu_metrics_image": "",
}
SETTINGS["__gateway_tls"] = [SETTINGS[f"gateway_{name}"] for name in ("certificate", "key", "client_ca", "crl")]
_FOLDERS = (
    *("etc/appliance/tls", "etc/appliance/gateway", "etc/logrotate.d", "usr/local/lib/appliance"),
    *("run/appliance", "srv", "var/log/appliance-gateway", "layer"),
)

# nginx changes its user, and no longer ends with who started it; with a namespace around it, it does.
_WITH_US = ("unshare", "--pid", "--fork", "--kill-child")
# The layer above the root, the processes and the mounts end with the command.
_ENTER = """
set -eu
mount -t tmpfs tmpfs "$SITE/layer"
if [ -n "$LOGS" ]; then mount -t tmpfs -o "size=$LOGS" tmpfs "$SITE/var/log/appliance-gateway"; fi
mkdir "$SITE/layer/upper" "$SITE/layer/work" "$SITE/layer/root"
mount -t overlay -o "lowerdir=$ROOT,upperdir=$SITE/layer/upper,workdir=$SITE/layer/work" overlay "$SITE/layer/root"
cd "$SITE/layer/root"
mount --rbind /dev dev
mount -t proc proc proc
for place in etc/appliance etc/logrotate.d usr/local/lib/appliance run/appliance srv var/log/appliance-gateway; do
    mkdir -p "$place"
    mount --bind "$SITE/$place" "$place"
done
chmod 0777 srv  # the socket that stands for the port
chroot . useradd --system --user-group appliance-gateway
exec chroot . sh -euc "$START"
"""


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Gateway:
    """A running gateway, and the certificates to try it with.

    ``roles`` are those of clients that usually have another, or none; they count when it is configured.
    """

    folder: Path
    certificates: SiteCertificates
    clients: dict[str, Pair]
    service: Service
    nginx: "subprocess.Popen[bytes]" = field(init=False)
    roles: dict[str, str] = field(default_factory=dict)

    def connect(self, client: str | None) -> http.client.HTTPConnection:
        """A connection with the certificate of ``client``, or with none."""
        connection = http.client.HTTPConnection("gateway", timeout=20)
        connection.sock = self.handshake(self.context(client))
        return connection

    def counters(self, client: str | None, target: str = "/metrics", method: str = "GET") -> tuple[int, str]:
        """Status and text of what ``client`` reads at the port for counters."""
        connection = http.client.HTTPConnection("gateway", timeout=20)
        plain = _unix_socket(self.metrics_socket)
        connection.sock = self.context(client).wrap_socket(plain, server_hostname="gateway")
        with contextlib.closing(connection):
            connection.request(method, target)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def context(self, client: str | None) -> ssl.SSLContext:
        """TLS as that client speaks it."""
        return self.certificates.context(self.clients[client] if client else None, self.folder / f"{client}.pem")

    def handed_out(self, client: str) -> Path:
        """A directory with client.pem, client.key and ca.pem, as a client gets them."""
        place = self.folder / "handed out" / client
        place.mkdir(parents=True, exist_ok=True)
        self.certificates.install(self.clients[client], "client", place)
        return place

    def plain(self) -> socket.socket:
        """A connection without TLS."""
        return _unix_socket(self.socket)

    def handshake(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
        """A connection that may ask for an earlier session."""
        plain = self.plain()
        try:
            return context.wrap_socket(plain, server_hostname="gateway", session=session)
        except BaseException:
            plain.close()
            raise

    def ask(
        self,
        client: str | None,
        target: str,
        body: object = None,
        *,
        method: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """One request on a connection of its own; ``body`` is bytes, or is sent as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        connection = self.connect(client)
        try:
            connection.putrequest(method or ("POST" if data else "GET"), target, skip_host=True)
            for name, value in (("Host", "gateway"), ("Content-Length", str(len(data))), *headers):
                connection.putheader(name, value)
            connection.endheaders()
            # It may be refused before all of it has come.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(data)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(self, client: str | None, data: bytes) -> Answer:
        """What the first answer is to ``data``, on a connection of its own."""
        with self.handshake(self.context(client)) as link:
            return answer_to(link, data)

    def audit(self, request: str, event: str = "ended") -> dict[str, Any]:
        """The audit line of a request by its id; the last one is written when the request has ended."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            about = (text for text in self.log("audit.log").splitlines() if f'"id":"{request}"' in text)
            found[:] = [line for line in map(json.loads, about) if line["event"] == event]
            return bool(found)

        wait_for(there, 10)
        (entry,) = found
        return entry

    @property
    def socket(self) -> Path:
        """Stands for the port."""
        return self.folder / "srv/gateway.sock"

    @property
    def metrics_socket(self) -> Path:
        """Stands for the port of the counters."""
        return self.folder / "srv/metrics.sock"

    @property
    def master(self) -> int:
        """The process that the unit starts."""
        return next(process.number for process in below(self.nginx.pid) if process.words[:1] != ("unshare",))

    @property
    def logs(self) -> Path:
        """The directory of its logs, as the running gateway sees it."""
        return Path(f"/proc/{self.master}/root/var/log/appliance-gateway")

    def configure(self, **changes: object) -> None:
        """Write nginx.conf and its JavaScript, with other settings than the usual ones; it counts after a reload."""
        named = {
            name: "embedding" if name == "bob" else "chat"
            for name in ("alice", "bob", "mallory", "dave", "server", *NAMED)
        } | self.roles
        listed = [
            {"name": name, "fingerprint": fingerprint(self.clients[name]).replace(":", "").lower(), "roles": [role]}
            | {"models": NAMED.get(name)}
            for name, role in named.items()
        ]
        settings = {"__gateway_models": MODELS, **SETTINGS, **changes}
        own = self.folder / "etc/appliance/gateway"
        for name in ("gateway.js", "audit.js", "metrics.js", "schemas.js"):
            (own / name).write_bytes(role_file("gateway", name).read_bytes())
        (own / "clients.conf").write_text(render("gateway", "clients.conf.j2", __gateway_clients=listed))
        (own / "nginx.conf").write_text(render("gateway", "nginx.conf.j2", **settings))

    def log(self, name: str) -> str:
        return (self.logs / name).read_text(errors="backslashreplace")

    @property
    def journal(self) -> bytes:
        """What the service has said since it was first started."""
        return (self.folder / "journal").read_bytes()

    @property
    def works(self) -> bool:
        """Whether there are workers: they come when all else has gone well."""
        return any(process.words[:1] == ("nginx: worker process",) for process in below(self.nginx.pid))

    def run(self, argv: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run ``argv`` where nginx runs, as root, whatever comes of it."""
        enter = [
            "nsenter",
            f"--target={self.master}",
            *("--mount", "--pid", "--net", "--root", "--wd"),
        ]
        return subprocess.run([*enter, *argv], capture_output=True, text=True, check=False, timeout=120)

    def reload(self) -> "subprocess.CompletedProcess[str]":
        """Let the service reload as its unit says; when this succeeds, new connections see the new files."""
        return self.run(["sh", "-euc", script(self.service.commands("ExecReload", 1))])

    def rotate(self) -> "subprocess.CompletedProcess[str]":
        """Rotate the logs, as the timer would on another day."""
        return self.run(["logrotate", "--force", "/etc/logrotate.d/appliance-gateway"])

    def revoke(self, *clients: str) -> None:
        """Write the revocation lists with these clients in them."""
        self.revoke_numbers([self.clients[client].certificate.serial_number for client in clients])

    def revoke_numbers(self, own: Sequence[int], of_the_root: Sequence[int] = ()) -> None:
        """Write the revocation lists of the clients' authority and of its root with these numbers."""
        lists = self.certificates.revoked(own, of_the_root)
        (self.folder / "etc/appliance/tls/crl.pem").write_bytes(lists)

    @umask(0o022)
    def ready(self, model: str, *, now: bool = True) -> None:
        """Let requests go to a model, or not."""
        path = self.folder / "run/appliance/ready" / model
        path.parent.mkdir(exist_ok=True)
        if now:
            path.touch()
        else:
            path.unlink()

    def take_out(self, client: str, end: str = "") -> None:
        """Write the list of clients without this one, or without its lines with this ``end``."""
        path = self.folder / "etc/appliance/gateway/clients.conf"
        own = fingerprint(self.clients[client]).replace(":", "").lower()
        rest = [
            line
            for line in path.read_text().splitlines(keepends=True)
            if own not in line or not line.endswith(f"{end}\n")
        ]
        path.write_text("".join(rest))


def answer_to(link: socket.socket, data: bytes) -> Answer:
    """The first answer to ``data``."""
    link.sendall(data)
    with contextlib.closing(http.client.HTTPResponse(link)) as answer:
        answer.begin()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def fingerprint(pair: Pair) -> str:
    """As `openssl x509 -fingerprint -sha256` prints it."""
    digest = pair.certificate.fingerprint(hashes.SHA256()).hex().upper()
    return ":".join(digest[place : place + 2] for place in range(0, 64, 2))


def another_authority(client: str) -> tuple[bytes, bytes]:
    """Key and certificate of ``client``, PEM, of an authority with the names of a site's own and other keys."""
    other = SiteCertificates("Appliance")
    pair = other.issue(Leaf(client, "client", CLIENT))
    return pair.key_pem(), pem(pair.certificate) + other.chain


@umask(0o022)  # what roles write has modes of its own
def make_gateway(folder: Path, **settings: object) -> Gateway:
    """Certificates and configuration.

    alice may chat, bob may embed, carol is not named, mallory is revoked, watcher may read counters; counsel and clerk
    may use what ``NAMED`` has for them.
    """
    certificates = SiteCertificates()
    names = ("alice", "bob", "carol", "mallory", "dave", *NAMED)
    clients = {name: certificates.issue(Leaf(name, "client", CLIENT)) for name in names}
    clients["eve"] = SiteCertificates().issue(Leaf("alice", "client", CLIENT))
    clients["server"] = certificates.issue(Leaf("depot", "host", SERVER))
    clients["watcher"] = certificates.issue(Leaf("watcher", "host-client", CLIENT))
    host = certificates.issue(Leaf("gateway", "host", SERVER, ("gateway", "localhost")))
    service = Service.read(render("gateway", "appliance-gateway.service.j2", **SETTINGS))
    gateway = Gateway(folder, certificates, clients, service)
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    certificates.install(host, "host", folder / "etc/appliance/tls")
    gateway.revoke("mallory")
    gateway.configure(**settings)
    (folder / "etc/logrotate.d/appliance-gateway").write_text(render("gateway", "logrotate.j2", **SETTINGS))
    programs = folder / "usr/local/lib/appliance"
    for program in (role_file("nginx", "reload_nginx.py"), role_file("gateway", "check-gateway")):
        # Not with the mode that it has in a clone, which umask decides.
        shutil.copyfile(program, programs / program.name)
        (programs / program.name).chmod(0o755)
    return gateway


def gateway_root() -> DebianRoot:
    """The system that a gateway runs in."""
    return debian_root("trixie", "nginx", "libnginx-mod-http-js", "logrotate", "python3")


@contextlib.contextmanager
def running(gateway: Gateway, root: DebianRoot, *, logs: str = "") -> Iterator[None]:
    """nginx in ``root``, which stays as it is; it has a network of its own, and listens on a Unix socket.

    ``logs`` is the size of a file system for logs alone, as in "256k".
    """
    service = gateway.service
    before, (start,) = service.commands("ExecStartPre", 1), service.commands("ExecStart", 1)
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "ROOT": str(root.path),
        "SITE": str(gateway.folder),
        "LOGS": logs,
        "START": f"{service.directories()}\n{script(before)}\nexec {script([start])}",
    }
    for port in (gateway.socket, gateway.metrics_socket):
        port.unlink(missing_ok=True)
    with (gateway.folder / "journal").open("ab") as journal:
        gateway.nginx = subprocess.Popen(
            [*_WITH_US, "unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", _ENTER],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=journal,
            stderr=journal,
            umask=0o022,
        )
    try:
        wait_for(lambda: gateway.works or gateway.nginx.poll() is not None, 60)
        if gateway.nginx.poll() is not None:
            raise AssertionError(f"nginx does not listen: {gateway.journal.decode(errors='replace')}")
        yield
    finally:
        gateway.nginx.kill()  # takes all of its namespaces with it
        gateway.nginx.wait(timeout=20)


def _unix_socket(path: Path) -> socket.socket:
    # A path may be longer than a socket's address: the directory is opened first.
    handle = os.open(path.parent, os.O_PATH)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.settimeout(20)
        plain.connect(f"/proc/self/fd/{handle}/{path.name}")
    except BaseException:
        plain.close()
        raise
    finally:
        os.close(handle)
    return plain
