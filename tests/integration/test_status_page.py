"""Who may look at the status page, what its port answers, and what is left in the journal."""

import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import jinja2
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.processes import wait_for
from tests.support.project import REPOSITORY
from tests.support.role_files import SITE
from tests.support.site_figures import CHAT, EMBEDDING
from tests.support.status_page import (
    ADDRESS,
    JOURNAL_SHARE,
    NAME,
    SETTINGS,
    StatusHost,
    make_host,
    running_host,
)

pytestmark = pytest.mark.integration

UP = "/api/v1/query?query=up"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StatusHost]:
    with running_host(make_host(tmp_path_factory.mktemp("a monitoring host") / "host")) as host:
        yield host


def awaited(host: StatusHost, count: int) -> list[dict[str, object]]:
    """The lines of the journal, once there are so many."""
    lines: list[dict[str, object]] = []

    def there() -> bool:
        lines.extend(host.journal())
        return len(lines) >= count

    wait_for(there, 10)
    return lines


def test_who_is_named_gets_the_page_with_its_policy(host: StatusHost) -> None:
    status, headers, body = host.ask("jane", "/")
    page = SETTINGS["__monitoring_page"]
    assert isinstance(page, dict)
    assert (status, body.decode()) == (200, page["html"])
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"] == page["policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["server"] == "nginx"


@pytest.mark.parametrize(
    ("client", "status"),
    [(None, 400), ("stranger", 400), ("mallory", 400), ("server", 400), ("carol", 403), ("JANE", 403)],
)
def test_nobody_else_gets_anything(host: StatusHost, client: str | None, status: int) -> None:
    for target in ("/", UP, "/api/v1/alerts"):
        found, headers, body = host.ask(client, target)
        assert found == status
        assert len(body) < 400
        assert b"status" not in body
        assert "content-security-policy" in headers


def test_questions_are_answered(host: StatusHost) -> None:
    times = {"start": "1700000000", "end": "1700000060", "step": "15"}
    for target in (UP, f"/api/v1/query_range?{urlencode({'query': 'vector(1)', **times})}", "/api/v1/alerts"):
        status, headers, body = host.ask("jane", target)
        assert (status, body[:20]) == (200, b'{"status":"success",')
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "target",
    [
        *("/status.html", "/status.conf", "/index.html", "/x", "//", "/%2e/x", "/metrics", "/graph", "/federate"),
        *("/-/quit", "/-/reload", "/-/healthy", "/api/v1/admin/tsdb/delete_series", "/api/v1/query/", "/api/v1/series"),
        *("/api/v1/targets", "/api/v1/status/config", "/api/v1/write", "/api/v1/alerts/x", "//api/v1/query?query=up"),
    ],
)
def test_there_is_no_other_way_to_prometheus(host: StatusHost, target: str) -> None:
    assert host.ask("jane", target)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])
def test_nothing_can_be_sent(host: StatusHost, method: str) -> None:
    for target in ("/", UP, "/api/v1/alerts", "/api/v1/admin/tsdb/delete_series"):
        assert host.ask("jane", target, method)[0] == 405


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/v1/query", 400),
        ("/api/v1/query?query=", 400),
        (f"/api/v1/query?query={'x' * 2001}", 400),
        (f"/api/v1/query?query={'x' * 9000}", 414),
        ("/api/v1/query_range?query=up&start=1&end=2&step=1s", 400),
        ("/api/v1/query_range?query=up&start=now&end=2&step=1", 400),
        ("/api/v1/query_range?query=up", 400),
    ],
)
def test_questions_of_another_form_do_not_get_there(host: StatusHost, target: str, status: int) -> None:
    assert host.ask("jane", target)[0] == status


def test_no_argument_but_those_of_the_page_is_passed_on(host: StatusHost) -> None:
    """Prometheus itself would give up after a nanosecond, and tell its own statistics."""
    status, _, body = host.ask("jane", f"{UP}&timeout=1ns&stats=all&time=5")
    assert status == 200
    assert b"stats" not in body
    assert b'"up"' in body


def test_pages_of_others_may_not_ask(host: StatusHost) -> None:
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        headers = {"Sec-Fetch-Site": site, "Origin": "https://evil.example"}
        found, answered, _ = host.ask("jane", UP, headers=headers)
        assert found == status
        assert not [name for name in answered if name.startswith("access-control-")]


def journal(*messages: str) -> list[bytes]:
    """What systemd-journal-upload sends of lines that say they are gpu2's (systemd, JOURNAL_EXPORT_FORMATS)."""
    boot = "0f2e4c6a8b1d4f3e9a7c5b3d1e2f4a6c"
    now = int(time.time() * 1e6)
    return [
        f"__REALTIME_TIMESTAMP={now + place}\n__MONOTONIC_TIMESTAMP={place + 1}\n_BOOT_ID={boot}\n"
        f"_HOSTNAME=gpu2\nPRIORITY=6\nMESSAGE={message}\n\n".encode()
        for place, message in enumerate(messages)
    ]


def kept(host: StatusHost, name: str) -> list[str]:
    """The messages in the journal of a host."""
    return host.run(
        ["journalctl", f"--directory=/var/log/appliance-journal/{name}", "--quiet", "--output=cat"]
    ).stdout.splitlines()


def test_a_host_passes_on_its_own_journal_whatever_its_lines_say_whose_they_are(host: StatusHost) -> None:
    long = "x" * 100_000
    for messages in (("first", long), ("second",)):
        status, _, body = host.ask("gpu1", "/upload", "POST", body=iter(journal(*messages)))
        assert status == 202, body
    assert kept(host, "gpu1") == ["first", long, "second"]
    assert kept(host, "gpu2") == []
    # Of others there may be one: nginx tells of a request when its connection is through with it.
    about = [line for line in host.journal() if "gpu1" in str(line["client"])]
    assert about == [], "a line about it would be passed on, and be the reason for the next"


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (None, 400),
        ("stranger", 400),
        ("server", 400),
        ("carol", 403),
        ("jane", 403),
        ("gpu3", 403),
        ("GPU1", 403),
        ("gpu9", 502),
    ],
)
def test_nobody_else_leaves_a_line_in_a_journal(host: StatusHost, client: str | None, status: int) -> None:
    before = [kept(host, name) for name in ("gpu1", "gpu2")]
    assert host.ask(client, "/upload", "POST", body=journal("forged"))[0] == status
    assert [kept(host, name) for name in ("gpu1", "gpu2")] == before


@pytest.mark.parametrize("target", ["/", UP, "/api/v1/alerts", "/upload/", "/upload/x", "/metrics"])
def test_a_host_sees_nothing_of_the_page(host: StatusHost, target: str) -> None:
    for method in ("GET", "POST"):
        assert host.ask("gpu1", target, method)[0] == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_a_journal_is_passed_on_and_nothing_else_done_with_it(host: StatusHost, method: str) -> None:
    assert host.ask("gpu1", "/upload", method)[0] == 405


def test_a_host_that_writes_without_end_loses_its_own_oldest_lines_alone(host: StatusHost) -> None:
    host.ask("gpu2", "/upload", "POST", body=journal("of gpu2"))
    for number in range(4):
        many = (line for place in range(5000) for line in journal(f"{number} {place} {secrets.token_hex(1000)}"))
        assert host.ask("gpu1", "/upload", "POST", body=many)[0] == 202
    taken = host.run(["du", "--summarize", "--block-size=1", "/var/log/appliance-journal/gpu1"]).stdout
    assert JOURNAL_SHARE / 2 < int(taken.split()[0]) <= JOURNAL_SHARE
    assert kept(host, "gpu1")[-1].startswith("3 4999 ")
    assert "first" not in kept(host, "gpu1")
    assert "of gpu2" in kept(host, "gpu2")


def test_a_host_may_send_as_often_as_it_has_lines(host: StatusHost) -> None:
    found = {host.ask("gpu2", "/upload", "POST", body=journal(str(number)))[0] for number in range(400)}
    assert found == {202}


def test_a_look_is_a_line_in_the_journal_and_so_is_who_was_refused(host: StatusHost) -> None:
    host.journal()
    host.ask("jane", "/")
    host.ask("carol", UP)
    host.ask("jane", UP)
    host.ask(None, "/")
    host.ask("jane", "/-/quit")
    lines = awaited(host, 4)
    jane, carol = "CN=jane,OU=client,O=site", "CN=carol,OU=client,O=site"
    assert [(line["client"], line["status"], line["request"]) for line in lines] == [
        (jane, 200, "GET / HTTP/1.1"),
        (carol, 403, f"GET {UP} HTTP/1.1"),
        (jane, 200, f"GET {UP} HTTP/1.1"),
        (jane, 404, "GET /-/quit HTTP/1.1"),
    ]


def test_what_the_page_asks_again_and_again_leaves_one_line_of_each_connection(host: StatusHost) -> None:
    host.journal()
    assert host.ask_often("jane", UP, 20) == [200] * 20
    host.ask("jane", "/")
    assert [line["request"] for line in awaited(host, 2)] == [f"GET {UP} HTTP/1.1", "GET / HTTP/1.1"]


# As `appliance bench --status-page` asks, from the page's own network; the name is in a hosts file of its own.
BENCH = """
import sys
from pathlib import Path
from appliance.tools.gateway import client_context
from appliance.tools.status_page import StatusPage
authorities, client, address = sys.argv[1:4]
page = StatusPage(address, client_context(Path(authorities), Path(client), Path(client)))
print(*(page.kv_cache(model, 60) for model in sys.argv[4:]))
"""
WITH_HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'


def test_a_bench_learns_how_full_the_kv_cache_was(host: StatusHost) -> None:
    host.ask("jane", "/")  # writes her certificate down
    authorities, hosts = host.folder / "root.pem", host.folder / "hosts"
    authorities.write_bytes(host.certificates.root.certificate.public_bytes(Encoding.PEM))
    hosts.write_text(f"127.0.0.1 {NAME}\n")
    program = [sys.executable, "-c", BENCH, str(authorities), str(host.folder / "jane.pem"), ADDRESS]
    command = [*host.inside(), "unshare", "--mount", "sh", "-c", WITH_HOSTS, str(hosts), *program]
    models = [CHAT, EMBEDDING, 'nobody\'s"} or vector(1) or x{a="']
    said = subprocess.run([*command, *models], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    chat, embedding, nobody = said.stdout.split()
    assert 0.02 < float(chat) <= 0.97
    assert (float(embedding), nobody) == (0.02, "None")


def test_who_asks_too_often_waits(host: StatusHost) -> None:
    found = host.ask_often("joe", UP, 900)
    assert found[:100] == [200] * 100
    assert 429 in found
    assert host.ask("jane", UP)[0] == 200


def test_the_keys_are_for_the_page_alone(host: StatusHost) -> None:
    told = host.run(["sh", "-c", "cd /run/appliance-status; stat --format='%n %U %a' . *.key; id -un $(stat -c %u .)"])
    assert "host.key appliance-status 400" in told.stdout
    assert "client.key appliance-status 400" in told.stdout
    assert told.stdout.startswith(". appliance-status 700")


def test_who_is_revoked_is_out_after_a_reload(host: StatusHost) -> None:
    assert host.ask("joe", "/")[0] == 200
    host.revoke("mallory", "joe")
    reloaded = host.reload()
    assert reloaded.returncode == 0, reloaded.stderr
    assert host.ask("joe", "/")[0] == 400
    assert host.ask("jane", "/")[0] == 200


def test_files_that_nginx_refuses_leave_the_page_as_it_is(host: StatusHost) -> None:
    crl = host.folder / "etc/appliance/tls/crl.pem"
    before = crl.read_bytes()
    try:
        crl.write_text("nothing")
        assert host.reload().returncode != 0
        assert host.ask("jane", "/")[0] == 200
    finally:
        crl.write_bytes(before)
    assert host.reload().returncode == 0


def test_a_configuration_is_tried_before_it_takes_its_place(host: StatusHost) -> None:
    """By the command of the role, with keys where the service has them."""
    tasks = yaml.safe_load((SITE / "roles/monitoring/tasks/page.yml").read_text())
    (template,) = [task["vars"]["__monitoring_try"] for task in tasks if "vars" in task]
    environment = jinja2.Environment(autoescape=False)  # noqa: S701 - no HTML is made
    environment.filters["quote"] = shlex.quote
    command = shlex.split(environment.from_string(template).render(SETTINGS))
    keys = ["sh", "-c", "cat /run/appliance-status/*.key"]
    before = host.run(keys).stdout
    for text, good in ((host.configuration.read_text(), True), ("http { nonsense; }", False)):
        (host.folder / "srv/tried.conf").write_text(text)
        tried = host.run([word.replace("%s", "/srv/tried.conf") for word in command])
        assert (tried.returncode == 0) is good, tried.stderr
    assert host.run(keys).stdout == before
