"""The packet filter's rules with the real nft: they load, replace only themselves, and are known again."""

from pathlib import Path

import pytest

from tests.support import two_ends
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.role_files import render, role_file

pytestmark = pytest.mark.integration

HOSTS = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
DEPOT, INFERENCE = ["192.0.2.1", "2001:db8::1"], ["192.0.2.2", "2001:db8::2"]
SETTINGS = {
    "egress_ssh_port": 22,
    "egress_log_per_minute": 10,
    "egress_admin_networks": ["198.51.100.0/24"],
    "__egress_is_depot": True,
    "__egress_hosts": HOSTS,
    "__egress_ssh": [*HOSTS, "198.51.100.0/24"],
    "__egress_in": [{"name": "gateway", "protocol": "tcp", "ports": [443, 444], "peers": ["203.0.113.0/24"]}],
    "__egress_out": [
        {"name": "depot", "protocol": "tcp", "ports": [8443], "peers": HOSTS},
        {"name": "dns", "protocol": "udp", "ports": [53], "peers": []},
    ],
}


@pytest.fixture(scope="module")
def root() -> DebianRoot:
    return debian_root("trixie", "nftables", "iproute2", "python3")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with rules and with the program that loads them."""
    (tmp_path / "rules").write_text(render("egress", "egress.nft.j2", **SETTINGS))
    (tmp_path / "egress").write_bytes(role_file("egress", "egress").read_bytes())
    return tmp_path


def nft(root: DebianRoot, place: Path, script: str) -> str:
    """Run ``script`` in a network of its own; what it printed."""
    done = root.run(["sh", "-euc", script], mounts={"own": place}, as_root=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_chain_drops_what_nobody_named(root: DebianRoot, place: Path) -> None:
    said = nft(root, place, "nft --file /mnt/own/rules; nft --stateless list table inet appliance")
    for chain in ("input", "output", "forward"):
        assert f"type filter hook {chain} priority filter; policy drop;" in said
        assert f'counter name "{chain}_dropped"' in said
        assert f'limit rate 10/minute burst 10 packets log prefix "appliance-{chain}-drop: "' in said
    assert 'ip saddr 203.0.113.0/24 tcp dport { 443, 444 } accept comment "gateway"' in said
    assert 'ip6 daddr 2001:db8::1 tcp dport 8443 accept comment "depot"' in said
    assert "dport 53" not in said  # nobody is named, so nobody is asked


def test_tables_of_others_stay(root: DebianRoot, place: Path) -> None:
    others = "nft add table inet netavark; nft add chain inet netavark mine;"
    said = nft(root, place, f"{others} nft --file /mnt/own/rules; nft --file /mnt/own/rules; nft list tables")
    assert said.splitlines() == ["table inet netavark", "table inet appliance"]


def test_rules_are_known_again_and_a_change_by_hand_is_seen(root: DebianRoot, place: Path) -> None:
    # Tmpfs, because the root is read-only.
    script = """
        mount -t tmpfs tmpfs /etc/apt; kept=/etc/apt/kept
        sed "s|^kept=.*|kept=$kept|" /mnt/own/egress >/tmp/egress
        cp /mnt/own/rules $kept
        status() { if sh /tmp/egress status /mnt/own/rules; then echo same; else echo other; fi; }
        status
        nft --file /mnt/own/rules; status
        nft add rule inet appliance output accept; status
    """
    assert nft(root, place, script).split() == ["other", "same", "other"]


def test_a_bad_file_is_refused_and_the_old_rules_stay(root: DebianRoot, place: Path) -> None:
    (place / "bad").write_text((place / "rules").read_text().replace("policy drop", "policy perhaps", 1))
    script = "nft --file /mnt/own/rules; nft --file /mnt/own/bad || nft --stateless list table inet appliance"
    assert "policy drop" in nft(root, place, script)


def test_a_session_goes_on_when_the_hosts_answer_is_the_first_packet_that_the_rules_see(
    root: DebianRoot, place: Path
) -> None:
    depot = {"__egress_hosts": [*DEPOT, *INFERENCE], "__egress_ssh": DEPOT, "__egress_is_depot": True}
    session = {"name": "ssh", "protocol": "tcp", "ports": [22]}
    lists = {"__egress_in": [], "__egress_out": [session | {"peers": INFERENCE}]}
    (place / "depot").write_text(render("egress", "egress.nft.j2", **SETTINGS | depot | lists))
    lists = {"__egress_in": [session | {"peers": DEPOT}], "__egress_out": []}
    (place / "host").write_text(
        render("egress", "egress.nft.j2", **SETTINGS | depot | lists | {"__egress_is_depot": False})
    )
    (place / "two_ends.py").write_bytes(Path(two_ends.__file__).read_bytes())
    said = nft(root, place, f"python3 /mnt/own/two_ends.py /mnt/own/depot /mnt/own/host {' '.join(DEPOT + INFERENCE)}")
    assert said.splitlines() == ["192.0.2.2: answer, then echo", "2001:db8::2: answer, then echo"]
