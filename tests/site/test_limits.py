"""What a model's unit is held to, with a real kernel's control groups: it may take all that it can get."""

import re
from pathlib import Path

import pytest

from tests.support.container_unit import MODEL, container_unit
from tests.support.debian_root import debian_root
from tests.support.guest import MEMORY, run_in_guest
from tests.support.loadable_image import loadable_image
from tests.support.role_files import filters, render, role_file

pytestmark = [pytest.mark.integration, pytest.mark.long]

# Takes the engine's place: what it wants stands in the weights.
GREEDY = b"""#!/bin/sh
case $(cat /srv/model/config.json) in
memory) dd if=/dev/zero of=/dev/null bs=2G count=1 ;;
processes) while :; do sleep 3600 & done ;;
esac
"""
OTHERS = "ssh systemd-journald"
SCRIPT = f"""
set -eu
others() {{ for one in {OTHERS}; do systemctl show --value --property MainPID $one; done; }}
until_true() {{
    for try in $(seq 300); do if "$@"; then return; fi; sleep 1; done
    journalctl --unit vllm-tiny-chat --output cat --lines 100
    exit 1
}}
killed() {{ [ "$(sed --quiet 's/^oom_kill //p' $slice/memory.events)" -gt 0 ]; }}
refused() {{ [ "$(cut -d ' ' -f 2 $slice/pids.events)" -gt 0 ]; }}
slice=/sys/fs/cgroup/vllm.slice

systemctl start ssh
podman load --quiet --input /root/image.tar
mkdir /run/appliance/vllm/tiny-chat
before=$(others)
for want in memory processes; do
    printf $want >/srv/appliance/models/tiny-abc/config.json
    cd /srv/appliance/models/tiny-abc && sha256sum config.json >/etc/appliance/vllm/tiny-chat.sha256
    systemctl reset-failed vllm-tiny-chat || :
    systemctl start --no-block vllm-tiny-chat
    if [ $want = memory ]; then until_true killed; else until_true refused; fi
    echo "$want: others $([ "$before" = "$(others)" ] && echo live || echo died)"
    systemctl kill --signal KILL vllm-tiny-chat || :
    systemctl stop vllm-tiny-chat
done
echo "killed: $(sed --quiet 's/^oom_kill //p' $slice/memory.events)"
echo "peak: $(cat $slice/memory.peak)"
echo "forks refused: $(cut -d ' ' -f 2 $slice/pids.events)"
echo "weights: $(cat $slice/cpu.weight) $(cut -d ' ' -f 2 $slice/io.weight)"
"""


def image() -> bytes:
    """An image of busybox with the greedy one in the interpreter's place, as ``podman load`` reads it."""
    busybox = debian_root("trixie", "busybox-static").path / "usr/bin/busybox"
    return loadable_image(
        "depot:5443/greedy:1",
        {"bin/busybox": busybox.read_bytes(), "usr/bin/python3": GREEDY},
        dict.fromkeys(("bin/sh", "bin/dd", "bin/cat", "bin/sleep"), "busybox"),
    )


def test_a_model_that_takes_all_it_can_get_leaves_the_host_to_others(tmp_path: Path) -> None:
    host = {"cores": [0], "memory": MEMORY}
    unit = container_unit(
        host, {**MODEL, "image": "greedy:1"}, sizes={"shm": "8m", "tmp": "8m", "cache": "8m"}, memory=1
    )
    files = {
        "/etc/containers/systemd/vllm-tiny-chat.container": unit.replace("WantedBy=multi-user.target", "").encode(),
        "/etc/systemd/system/vllm.slice": render("vllm", "vllm.slice.j2", __vllm_resources=host).encode(),
        "/etc/tmpfiles.d/appliance-vllm.conf": render("vllm", "tmpfiles.conf.j2").encode(),
        "/usr/local/lib/appliance/weights.py": role_file("vllm", "weights.py").read_bytes(),
        "/usr/local/lib/appliance/probe.py": role_file("vllm", "probe.py").read_bytes(),
        "/etc/appliance/vllm/tiny-chat.sha256": b"",
        "/srv/appliance/models/tiny-abc/config.json": b"",
        "/root/image.tar": image(),
    }
    packages = ("podman", "crun", "python3", "openssh-server")
    said = run_in_guest(tmp_path, packages, files, SCRIPT)
    found = dict(re.findall(r"^([\w ]+): (.*?)\r?$", said, re.MULTILINE))
    assert (found["memory"], found["processes"]) == ("others live", "others live")
    assert int(found["killed"]) >= 1
    assert int(found["forks refused"]) >= 1
    assert int(found["peak"]) <= filters("shares").models_together(host) << 20
    assert found["weights"] == "50 50"
