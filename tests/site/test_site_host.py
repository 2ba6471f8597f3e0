"""The site itself: that its hosts are real and bare, that it is offline, and that nothing stays."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.capture import Packet
from tests.site.hosts import CommandFailed
from tests.site.outside import EVERY_WAY_OUT
from tests.site.plan import REPOSITORY
from tests.site.probe import Probe, reached
from tests.site.running import Site, SiteFailed, find_site, running_site
from tests.site.traces import Traces, cgroup_mounts, machine

_NAME = f"test-{uuid.uuid4().hex[:8]}"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a bundle, carried in")
    (folder / "SHA256SUMS").write_text("carried in\n")
    return folder


@pytest.fixture(scope="module")
def site(bundle: Path) -> Iterator[Site]:
    with running_site(bundle=bundle) as running:
        yield running


@pytest.mark.parametrize("name", ["depot", "gpu1"])
def test_a_host_is_a_bare_debian_that_has_started_everything(site: Site, name: str) -> None:
    host = site.host(name)
    assert host.wait_until_booted() == "running", host.run(["systemctl", "--failed"])
    assert host.run(["hostname"]) == f"{name}\n"
    assert host.run(["sh", "-c", "pwd; cat etc/hostname"]) == f"/\n{name}\n"
    assert 'VERSION_ID="13"' in host.run(["cat", "/etc/os-release"])
    for program in ("pip", "curl", "jq", "podman", "nginx", "nft", "ansible-playbook"):
        assert host.attempt(["which", program]).returncode == 1, f"{program} is on a bare host"


def test_the_depot_opens_all_hosts_and_they_do_not_open_it(site: Site) -> None:
    ssh = ["ssh", "-o", "BatchMode=yes"]  # a host key that is not known would be asked about
    assert site.depot.run([*ssh, "gpu1", "hostname"]) == "gpu1\n"
    assert site.depot.run([*ssh, "depot", "hostname"]) == "depot\n"
    with pytest.raises(CommandFailed, match=r"verification failed|Permission denied"):
        site.gpu1.run([*ssh, "depot", "hostname"])


def test_a_command_that_fails_tells_what_it_said(site: Site) -> None:
    with pytest.raises(CommandFailed, match=r"gpu1: ls /nowhere ended with 2:\nls: cannot access"):
        site.gpu1.run(["ls", "/nowhere"])
    with pytest.raises(CommandFailed, match="did not end within 1 s"):
        site.gpu1.run(["sleep", "1000"], timeout=1)
    assert "sleep" not in site.gpu1.run(["cat", "/proc/1/task/1/children"])
    assert not site.gpu1.attempt(["pgrep", "--full", "sleep 1000"]).stdout


@pytest.mark.parametrize("name", ["depot", "gpu1"])
def test_outside_is_reached_until_something_forbids_it(site: Site, name: str) -> None:
    host = site.host(name)
    assert reached(host.run, EVERY_WAY_OUT) == EVERY_WAY_OUT
    host.unplug()
    assert reached(host.run, EVERY_WAY_OUT) == set()
    host.plug_in()
    assert reached(host.run, EVERY_WAY_OUT) == EVERY_WAY_OUT


def test_whoever_a_host_calls_it_is_outside_that_answers(site: Site) -> None:
    for address in ("http://example.org", "http://198.51.100.7", "http://[2001:db8:ffff::7]"):
        assert site.gpu1.run(["python3", "-c", FETCH, address]) == "this is outside\n\n"
    strangers = {Probe("udp", "198.51.100.7", 53), Probe("udp", "2001:db8:ffff::7", 53)}
    assert reached(site.gpu1.run, strangers) == strangers


def test_no_host_reaches_the_machine(site: Site) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        links = json.loads(subprocess.check_output(["ip", "-json", "address", "show", "scope", "global"]))
        addresses = [address["local"] for link in links for address in link.get("addr_info", ()) if address]
        assert addresses
        callers: list[str] = []
        threading.Thread(target=_note_callers, args=(server, callers), daemon=True).start()
        for address in addresses:
            socket.create_connection((address, port), 5).close()
        assert reached(site.gpu1.run, {Probe("tcp", address, port) for address in addresses}) == set()
        assert set(callers) <= {*addresses, *(f"::ffff:{address}" for address in addresses)}


def _note_callers(server: socket.socket, callers: list[str]) -> None:
    while True:
        try:
            connection, address = server.accept()
        except OSError:
            return
        connection.close()
        callers.append(address[0])


def test_the_bundle_is_a_medium_that_cannot_be_written(site: Site, bundle: Path) -> None:
    assert site.depot.run(["cat", "/media/bundle/SHA256SUMS"]) == "carried in\n"
    with pytest.raises(CommandFailed, match="Read-only file system"):
        site.depot.run(["touch", "/media/bundle/SHA256SUMS"])
    assert site.gpu1.attempt(["ls", "/media/bundle"]).returncode == 2
    assert [file.name for file in bundle.iterdir()] == ["SHA256SUMS"]


def test_a_capture_has_what_passed_and_nothing_else(site: Site) -> None:
    with site.capture() as packets:
        site.depot.run(["ssh", "gpu1", "true"])
    depot, gpu1 = site.depot.plan.addresses, site.gpu1.plan.addresses
    assert {packet.destination for packet in packets if not packet.is_neighbourly} == {depot.v6, gpu1.v6}
    assert Packet(depot.v6, gpu1.v6, "tcp", 22) in packets

    with site.capture() as packets:
        reached(site.gpu1.run, EVERY_WAY_OUT)
    called = {Probe(packet.protocol.rstrip("6"), packet.destination, packet.port) for packet in packets}
    assert called >= EVERY_WAY_OUT


def test_what_a_host_changes_is_its_own_and_stays_after_a_restart(site: Site) -> None:
    site.gpu1.put("/srv/a b/file", "kept\n", mode="0600")
    site.gpu1.run(["rm", "/etc/issue"])
    site.gpu1.reboot()
    assert site.gpu1.run(["cat", "/srv/a b/file"]) == "kept\n"
    assert site.gpu1.run(["stat", "--format=%a", "/srv/a b/file"]) == "600\n"
    assert site.depot.attempt(["test", "-e", "/srv/a b"]).returncode == 1
    assert (site.plan.base / "etc/issue").exists()
    assert site.depot.run(["ssh", "gpu1", "hostname"]) == "gpu1\n"


def test_containers_get_a_disk_that_takes_their_layers(site: Site) -> None:
    layers = "lowerdir=lower,upperdir=upper,workdir=work"
    script = f"cd /var/lib/containers && mkdir lower upper work all && mount -t overlay -o {layers} overlay all"
    site.gpu1.run(["sh", "-c", f"{script} && umount all && rmdir lower upper all"])


def test_testinfra_sees_a_host(site: Site) -> None:
    pytest.importorskip("testinfra")
    from tests.site.inspection import inspect

    host = inspect(site.gpu1)
    assert host.service("ssh").is_running
    assert host.file("/etc/hostname").content_string == "gpu1\n"
    assert not host.package("podman").is_installed
    assert host.socket("tcp://0.0.0.0:22").is_listening


def test_a_host_with_a_new_disk_is_bare_and_another_to_who_knew_it(site: Site) -> None:
    site.gpu1.put("/root/old", "from the old disk")
    site.gpu1.reinstall()
    assert site.gpu1.attempt(["cat", "/root/old"]).returncode == 1
    enter = ["ssh", "-o", "BatchMode=yes", "gpu1", "hostname"]
    assert "IDENTIFICATION HAS CHANGED" in site.depot.attempt(enter).stderr
    site.depot.run(["ssh-keygen", "-R", "gpu1"])
    site.depot.run(["sh", "-c", "ssh-keyscan -t ed25519 gpu1 >>/root/.ssh/known_hosts"])
    assert site.depot.run(enter) == "gpu1\n"


def test_a_site_leaves_the_machine_as_it_was() -> None:
    before = machine()
    assert cgroup_mounts()
    with running_site(hosts=["gpu1"]) as running:
        traces = Traces(running.plan.name)
        assert any("systemd" in line for line in traces.left())
        assert {line.split()[0] for line in traces.left()} == {"process", "disk", "cgroup", "directory"}
        assert machine() == before
    assert traces.left() == []
    assert machine() == before


def test_a_site_that_cannot_boot_says_why_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SiteFailed), running_site(hosts=["a..b"], name=_NAME):
        pass
    assert "Invalid machine name: a..b" in capsys.readouterr().err
    assert Traces(_NAME).left() == []


@pytest.fixture
def up() -> "Iterator[subprocess.Popen[str]]":
    """The command line in another process, with a site of one host."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.site", "--name", _NAME, "up", "--host", "gpu1"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def _ready(up: "subprocess.Popen[str]") -> Site:
    assert up.stdout is not None
    assert any(line.startswith("ready") for line in up.stdout)
    site = find_site(_NAME)
    assert site is not None
    return site


def _command_line(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.site", "--name", _NAME, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_the_command_line_reaches_a_site_and_ends_it(up: "subprocess.Popen[str]") -> None:
    _ready(up)
    traces = Traces(_NAME)
    assert _command_line("run", "gpu1", "hostname").stdout == "gpu1\n"
    assert _command_line("run", "gpu1", "false").returncode == 1
    assert "there are: gpu1" in _command_line("run", "gpu2").stderr
    assert f"a site of the name {_NAME} is up" in _command_line("up").stderr
    assert _command_line("down").returncode == 0
    assert traces.left() == []
    assert up.wait(timeout=20) == 0
    assert f"no site {_NAME} is up" in _command_line("run", "gpu1").stderr


def test_ctrl_c_ends_a_site(up: "subprocess.Popen[str]") -> None:
    _ready(up)
    traces = Traces(_NAME)
    up.send_signal(signal.SIGINT)
    assert up.wait(timeout=20) == 130
    assert traces.left() == []


def test_a_site_ends_with_a_process_that_is_killed(up: "subprocess.Popen[str]") -> None:
    _ready(up)
    traces = Traces(_NAME)
    up.kill()
    assert traces.left_in_the_end() == []


def test_a_site_ends_with_a_process_that_is_killed_before_it_is_up(up: "subprocess.Popen[str]") -> None:
    traces = Traces(_NAME)
    while not any(mark.startswith("cgroup") for mark in traces.left()):
        assert up.poll() is None
    up.kill()
    assert traces.left_in_the_end() == []


def test_what_a_killed_keeper_leaves_goes_with_the_next_site(up: "subprocess.Popen[str]") -> None:
    site = _ready(up)
    traces = Traces(_NAME)
    os.kill(site.keeper, signal.SIGKILL)
    assert up.wait(timeout=20) == 1
    assert traces.left_in_the_end("process", "mount") == []
    with pytest.raises(SiteFailed), running_site(hosts=["a..b"]):
        pass
    assert traces.left() == []
