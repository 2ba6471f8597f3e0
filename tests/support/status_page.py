"""The status page as a monitoring host has it: nginx and Prometheus by the role's own templates, in a Debian 13 root.

They have a network of their own, with nothing but its loopback; a browser with a client certificate looks from there.
"""

import contextlib
import http.client
import json
import math
import os
import shlex
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.support.browser import Page, browsing
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.processes import below, wait_for
from tests.support.project import REPOSITORY
from tests.support.role_files import SITE, filters, render, role_file
from tests.support.service import Service, script
from tests.support.site_certificates import SiteCertificates
from tests.support.site_figures import DAY, HOSTILE_RULES, RULES, TARGETS, history, path
from tests.support.umask import umask

sys.path.insert(0, str(REPOSITORY / "ansible"))

from appliance_site.certificates import CLIENT, SERVER, Leaf, Pair, pem

NAME, PORT = "monitor1", 9443
ADDRESS = f"https://{NAME}:{PORT}/"
JOURNAL_SHARE = 16_000_000  # bytes of disk that a host's journal may take
FINE = 7200.0  # seconds up to now whose samples lie as close as on a site
_FIGURES = 9000
_TLS = "/etc/appliance/tls"
SETTINGS = {
    "inventory_hostname": NAME,
    "groups": {"monitoring": [NAME]},
    "monitoring_port": PORT,
    "monitoring_keep_days": 30,
    "monitoring_keep_gb": 10,
    "monitoring_certificate": f"{_TLS}/host.pem",
    "monitoring_key": f"{_TLS}/host.key",
    "monitoring_client_certificate": f"{_TLS}/client.pem",
    "monitoring_client_key": f"{_TLS}/client.key",
    "monitoring_ca": f"{_TLS}/ca.pem",
    "monitoring_crl": f"{_TLS}/crl.pem",
    "monitoring_verify_depth": 3,
    "__monitoring_grafana": "",
    "__monitoring_page": filters("pages").status_page(str(SITE / "roles/monitoring/files/status"), 15),
    "__monitoring_lookers": [f"CN={name},OU=client,O=site" for name in ("jane", "joe", "mallory")],
    "__monitoring_senders": [
        {"host": name, "subject": f"CN={name},OU=host-client,O=site"} for name in ("gpu1", "gpu2", "gpu9")
    ],
}
_FOLDERS = (
    *("etc/appliance/tls", "etc/appliance/monitoring", "usr/local/lib/appliance", "srv/home"),
    "run/appliance",
    *("var/lib/appliance-prometheus", "layer"),
)
# nginx changes its user, and no longer ends with who started it; with a namespace around it, it does.
_WITH_US = ("unshare", "--pid", "--fork", "--kill-child")
_ENTER = """
set -eu
mount -t tmpfs tmpfs "$SITE/layer"
mkdir "$SITE/layer/upper" "$SITE/layer/work" "$SITE/layer/root"
mount -t overlay -o "lowerdir=$ROOT,upperdir=$SITE/layer/upper,workdir=$SITE/layer/work" overlay "$SITE/layer/root"
ip link set lo up
cd "$SITE/layer/root"
mount --rbind /dev dev
mount -t proc proc proc
for place in etc/appliance usr/local/lib/appliance run/appliance srv var/lib/appliance-prometheus; do
    mkdir -p "$place"
    mount --bind "$SITE/$place" "$place"
done
chroot . useradd --system --user-group appliance-status
chroot . useradd --system --user-group appliance-journal
install -D -m 0600 etc/appliance/tls/host.key run/appliance-prometheus/host.key
exec chroot . sh -euc "$START"
"""
# A policy of the browser says which certificate to show; the machine's own policies stay as they are.
_WITH_POLICY = """
set -eu
mount -t tmpfs tmpfs /etc/chromium
mkdir -p /etc/chromium/policies/managed
printf %s "$0" >/etc/chromium/policies/managed/certificate.json
exec "$@"
"""


@dataclass
class StatusHost:
    """A monitoring host, and certificates: jane and joe may look, carol and JANE are not named, mallory is revoked.

    It takes the journals of gpu1 and gpu2; gpu3 and GPU1 are not named, and nothing takes the journal of gpu9.
    """

    folder: Path
    certificates: SiteCertificates
    clients: dict[str, Pair]
    origin: float
    hostile: bool
    service: Service
    process: "subprocess.Popen[bytes]" = field(init=False)
    _journal: socket.socket = field(init=False)

    @property
    def trouble(self) -> Path:
        """While it exists, a model hangs."""
        return self.folder / "srv/trouble"

    @property
    def configuration(self) -> Path:
        """What nginx reads."""
        return self.folder / "etc/appliance/monitoring/status.conf"

    def first(self, word: str) -> int:
        """The number of the first process whose command line begins with ``word``."""
        return next(one.number for one in below(self.process.pid) if one.words[:1] and one.words[0].startswith(word))

    def inside(self) -> list[str]:
        """What runs a command where nginx and Prometheus run, with this machine's files."""
        return ["nsenter", f"--target={self.first('/usr/bin/prometheus')}", "--net"]

    def run(self, argv: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run ``argv`` in the root, as root."""
        enter = [*self.inside(), "--mount", "--pid", "--root", "--wd"]
        return subprocess.run([*enter, *argv], capture_output=True, text=True, check=False, timeout=120)

    def journal(self) -> list[dict[str, object]]:
        """The lines that nginx has written to the journal since the last call."""
        lines = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines.append(json.loads(self._journal.recv(65536).decode().split("appliance_status: ", 1)[1]))
        return lines

    def revoke(self, *clients: str) -> None:
        """Write the revocation lists with these clients in them."""
        lists = self.certificates.revoked([self.clients[client].certificate.serial_number for client in clients])
        (self.folder / "etc/appliance/tls/crl.pem").write_bytes(lists)

    def reload(self) -> "subprocess.CompletedProcess[str]":
        """Reload as the unit says."""
        master = self.run(["cat", "/run/appliance-status/nginx.pid"]).stdout.strip()
        return self.run(["sh", "-euc", script(self.service.commands("ExecReload", int(master)))])

    def ask(
        self,
        client: str | None,
        target: str,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: Iterable[bytes] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers by lower-case name and body of one request on a connection of its own.

        What ``body`` gives is sent part by part (``Transfer-Encoding: chunked``).
        """
        connection = http.client.HTTPConnection(NAME, timeout=30)
        connection.sock = self._context(client).wrap_socket(self._connect(), server_hostname=NAME)
        with contextlib.closing(connection):
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def ask_often(self, client: str, target: str, count: int) -> list[int]:
        """The status of each of ``count`` requests, one after the other on one connection."""
        connection = http.client.HTTPConnection(NAME, timeout=30)
        connection.sock = self._context(client).wrap_socket(self._connect(), server_hostname=NAME)
        found = []
        with contextlib.closing(connection):
            for _ in range(count):
                connection.request("GET", target)
                answer = connection.getresponse()
                answer.read()
                found.append(answer.status)
        return found

    @contextlib.contextmanager
    def looking(self, client: str = "jane") -> Iterator[Page]:
        """A browser that shows the certificate of ``client``."""
        home = self.folder / f"srv/home/{client}"
        if not home.exists():
            self._make_home(client, home)
        choice = json.dumps({"pattern": ADDRESS.rstrip("/"), "filter": {}})
        policy = json.dumps({"AutoSelectCertificateForUrls": [choice]})
        enter = [*self.inside(), "unshare", "--mount", "sh", "-c", _WITH_POLICY, policy]
        with browsing(home, enter, [f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]) as page:
            page.resize(1280, 900)
            yield page

    def _make_home(self, client: str, home: Path) -> None:
        """With the authority and the client's certificate where browsers look for them, in NSS's database."""
        (home / ".pki/nssdb").mkdir(parents=True)
        pair = self.clients[client]
        assert isinstance(pair.key, EllipticCurvePrivateKey)
        authorities = [self.certificates.authority.certificate]
        bundle = pkcs12.serialize_key_and_certificates(
            client.encode(), pair.key, pair.certificate, authorities, BestAvailableEncryption(b"x")
        )
        (home / "client.p12").write_bytes(bundle)
        (home / "root.pem").write_bytes(pem(self.certificates.root.certificate))
        place = f"/srv/home/{client}"
        for command in (
            ["certutil", "-N", "--empty-password", "-d", f"sql:{place}/.pki/nssdb"],
            ["certutil", "-A", "-n", "site", "-t", "C,,", "-i", f"{place}/root.pem", "-d", f"sql:{place}/.pki/nssdb"],
            ["pk12util", "-i", f"{place}/client.p12", "-W", "x", "-d", f"sql:{place}/.pki/nssdb"],
        ):
            done = self.run(command)
            assert done.returncode == 0, done.stdout + done.stderr

    def _context(self, client: str | None) -> ssl.SSLContext:
        return self.certificates.context(self.clients[client] if client else None, self.folder / f"{client}.pem")

    def _connect(self) -> socket.socket:
        """A connection to the page's port in its own network, made by a process that is there for a moment."""
        ours, theirs = socket.socketpair()
        program = (
            "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[2])), 20);"
            "socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b'x'], [s.fileno()])"
        )
        command = [*self.inside(), sys.executable, "-I", "-c", program, str(theirs.fileno()), str(PORT)]
        with ours, theirs:
            subprocess.run(command, check=True, pass_fds=(theirs.fileno(),), timeout=60)
            _, (handle,), _, _ = socket.recv_fds(ours, 1, 1)
        connection = socket.socket(fileno=handle)
        connection.settimeout(30)
        return connection


def monitoring_root() -> DebianRoot:
    """The system of a monitoring host, with what makes a browser's database of certificates."""
    return debian_root("trixie", "nginx", "prometheus", "systemd-journal-remote", "libnss3-tools", "python3")


@umask(0o022)
def make_host(
    folder: Path, *, live: bool = True, until: float = 0.0, hostile: bool = False, grafana: str = ""
) -> StatusHost:
    """Certificates, configuration and figures of the last day, which end ``until`` seconds ago.

    ``live``: Prometheus goes on to collect.  ``hostile``: names try to be HTML.  ``grafana``: the image
    that is passed on.
    """
    certificates = SiteCertificates()
    clients = {
        name: certificates.issue(Leaf(name, "client", CLIENT)) for name in ("jane", "joe", "carol", "mallory", "JANE")
    }
    clients |= {
        name: certificates.issue(Leaf(name, "host-client", CLIENT, (name,)))
        for name in ("gpu1", "gpu2", "gpu3", "gpu9", "GPU1")
    }
    clients["stranger"] = SiteCertificates().issue(Leaf("jane", "client", CLIENT))
    clients["server"] = certificates.issue(Leaf("jane", "client", SERVER))
    service = Service.read(render("monitoring", "appliance-status.service.j2", **SETTINGS))
    host = StatusHost(folder, certificates, clients, time.time() - DAY, hostile, service)
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    tls = folder / "etc/appliance/tls"
    certificates.install(certificates.issue(Leaf(NAME, "host", SERVER, (NAME,))), "host", tls)
    certificates.install(certificates.issue(Leaf(NAME, "host-client", CLIENT, (NAME,))), "client", tls)
    host.revoke("mallory")
    program = folder / "usr/local/lib/appliance/reload_nginx.py"
    program.write_bytes(role_file("nginx", "reload_nginx.py").read_bytes())
    _configure(folder / "etc/appliance/monitoring", HOSTILE_RULES if hostile else RULES, live=live, grafana=grafana)
    end = time.time() - until
    fine = end - FINE
    moments = [*_every(60.0, host.origin + 30, fine), *_every(15.0, fine, end)]
    (folder / "var/lib/appliance-prometheus/figures.txt").write_text(history(moments, host.origin, hostile=hostile))
    return host


def _every(step: float, begin: float, end: float) -> list[float]:
    return [begin + place * step for place in range(math.ceil((end - begin) / step))]


def _configure(own: Path, rules: str, *, live: bool, grafana: str) -> None:
    page = SETTINGS["__monitoring_page"]
    assert isinstance(page, dict)
    (own / "status.html").write_text(page["html"])
    # The journal's place is the machine's own.
    conf = render("monitoring", "status.conf.j2", **{**SETTINGS, "__monitoring_grafana": grafana})
    (own / "status.conf").write_text(conf.replace("unix:/dev/log", "unix:/srv/log"))
    (own / "prometheus-web.yml").write_text(render("monitoring", "prometheus-web.yml.j2", **SETTINGS))
    (own / "rules.yml").write_text(rules)
    labels = ("job", "instance", "model")
    jobs = [
        {
            "job_name": "-".join(filter(None, target)),
            "metrics_path": path(*target),
            "static_configs": [
                {"targets": [f"127.0.0.1:{_FIGURES}"], "labels": dict(zip(labels, target, strict=True))}
            ],
        }
        for target in TARGETS
    ]
    told = {"global": {"scrape_interval": "2s", "evaluation_interval": "1s"}, "rule_files": ["rules.yml"]}
    (own / "prometheus.yml").write_text(json.dumps({**told, "scrape_configs": jobs if live else []}))


@contextlib.contextmanager
def running_host(host: StatusHost) -> Iterator[StatusHost]:
    """nginx, Prometheus with the day's figures, and the figures of each moment."""
    prometheus = Service.read(render("monitoring", "appliance-prometheus.service.j2", **SETTINGS))
    (collect,) = prometheus.commands("ExecStart", 1)
    import_figures = "promtool tsdb create-blocks-from openmetrics --quiet figures.txt ."
    start = [
        f"cd /var/lib/appliance-prometheus; {import_figures}; cd /",
        f"{script([collect])} &",
        host.service.directories(),
        *map(_takes_journal, ("gpu1", "gpu2")),
        script(host.service.commands("ExecStartPre", 1)),
        f"{script(host.service.commands('ExecStart', 1))} &",
        "wait",
    ]
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "ROOT": str(monitoring_root().path),
        "SITE": str(host.folder),
        "START": "\n".join(start),
    }
    with _journal(host), (host.folder / "service.log").open("ab") as log:
        host.process = subprocess.Popen(
            [*_WITH_US, "unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", _ENTER],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=0o022,
        )
        try:
            wait_for(lambda: _works(host), 90)
            with _figures(host):
                wait_for(lambda: host.ask("jane", "/api/v1/query?query=1")[0] == 200, 60, pause=0.2)
                yield host
        finally:
            host.process.kill()
            host.process.wait(timeout=20)


def _takes_journal(name: str) -> str:
    """Shell that starts what takes the journal of host ``name``, when somebody connects, as systemd would."""
    unit = render("journal", "appliance-journal-remote@.service.j2").replace("%i", name).replace("%L", "/var/log")
    service = Service.read(unit)
    (take,) = service.commands("ExecStart", 1)
    bounds = render("journal", "journal-remote.conf.j2", __journal_share=JOURNAL_SHARE)
    place = f"/run/appliance-journal/{name}.sock"
    listen = shlex.join(["systemd-socket-activate", f"--listen={place}", *take])
    return "\n".join(
        [
            service.directories(),
            "mkdir -p /run/appliance-journal /etc/systemd/journal-remote.conf.d",
            f"printf %s {shlex.quote(bounds)} >/etc/systemd/journal-remote.conf.d/appliance.conf",
            f"{listen} &",
            f"until test -S {place}; do sleep 0.1; done",
            f"chgrp appliance-status {place}; chmod 0660 {place}",
        ]
    )


def _works(host: StatusHost) -> bool:
    assert host.process.poll() is None, (host.folder / "service.log").read_text(errors="replace")
    words = [one.words[0] for one in below(host.process.pid) if one.words]
    return any(word.startswith("nginx: worker") for word in words) and "/usr/bin/prometheus" in words


@contextlib.contextmanager
def _journal(host: StatusHost) -> Iterator[None]:
    # A path may be longer than a socket's address: the directory is opened first.
    handle = os.open(host.folder / "srv", os.O_PATH)
    host._journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with host._journal:
        host._journal.bind(f"/proc/self/fd/{handle}/log")
        os.close(handle)
        (host.folder / "srv/log").chmod(0o666)
        yield


@contextlib.contextmanager
def _figures(host: StatusHost) -> Iterator[None]:
    command = [*host.inside(), sys.executable, "-m", "tests.support.site_figures"]
    process = subprocess.Popen(
        [*command, str(_FIGURES), repr(host.origin), str(host.trouble), *(["hostile"] if host.hostile else [])],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(timeout=20)
