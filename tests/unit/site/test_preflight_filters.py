"""What a host lacks, in words for the one who has to mend it."""

from tests.support.role_files import filters

PREFLIGHT = filters("preflight")
GIB = 1024**3

DF = f"""\
File           Mounted on       Avail
/srv           /            {10 * GIB}
/var/lib       /            {10 * GIB}
/              /            {10 * GIB}
"""
DF_APART = f"""\
File                Mounted on          Avail
/srv                /srv           {100 * GIB}
/var/lib/containers /var           {4 * GIB}
/                   /              {10 * GIB}
"""
NEEDS = [
    {"what": "weights", "paths": ["/srv/appliance", "/srv", "/"], "bytes": 6 * GIB},
    {"what": "images", "paths": ["/var/lib/containers", "/var/lib", "/"], "bytes": 5 * GIB},
]
SS = """\
LISTEN 0 511 0.0.0.0:443 0.0.0.0:* users:(("apache2",pid=51,fd=4)) cgroup:/system.slice/apache2.service
LISTEN 0 511 [::]:443 [::]:* users:(("apache2",pid=51,fd=5)) cgroup:/system.slice/apache2.service
LISTEN 0 511 *:8443 *:* users:(("nginx",pid=77,fd=4)) cgroup:/system.slice/appliance-depot.service
LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=9,fd=4)) cgroup:/system.slice/ssh.service
"""


def test_needs_on_one_file_system_add_up() -> None:
    assert PREFLIGHT.disk_complaints(DF, NEEDS, 1024) == [
        "/ has 10.0 GiB free, but 12.0 GiB are needed: weights 6.0 GiB + images 5.0 GiB + to spare 1.0 GiB"
    ]


def test_each_need_is_counted_where_its_files_will_lie() -> None:
    assert PREFLIGHT.disk_complaints(DF_APART, NEEDS, 0) == [
        "/var has 4.0 GiB free, but 5.0 GiB are needed: images 5.0 GiB"
    ]


def test_there_is_room() -> None:
    assert PREFLIGHT.disk_complaints(DF, NEEDS[:1], 1024) == []


def test_a_port_of_someone_else_is_told_once_and_ours_is_not() -> None:
    assert PREFLIGHT.port_complaints(SS, [443, 8443]) == ["TCP port 443 is taken by apache2, process 51"]
    assert PREFLIGHT.port_complaints(SS, [8443, 5443]) == []


def test_a_file_of_two_models_is_counted_once() -> None:
    shared = {"path": "a", "sha256": "1", "size": 5}
    index = {
        "artifacts": [
            {"kind": "weights", "name": "one", "files": [shared, {"path": "b", "sha256": "2", "size": 7}]},
            {"kind": "weights", "name": "two", "files": [shared]},
            {"kind": "images", "name": "one", "files": [{"path": "c", "sha256": "3", "size": 9}]},
        ]
    }
    assert PREFLIGHT.bundle_bytes(index, "weights", ["one", "two"]) == 12
    assert PREFLIGHT.bundle_bytes(index, "weights", ["two"]) == 5


def test_disk_use_is_read_by_path() -> None:
    assert PREFLIGHT.disk_used("12\t/srv/a b\n3\t/var\n") == {"/srv/a b": 12, "/var": 3}
