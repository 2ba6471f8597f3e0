"""appliance-gpu.service with the real systemd: its rights, its order, how it fails, and what role units makes of it.

Shell scripts take the places of NVIDIA's programs; one of them makes a device node, as the real one does.
"""

import json
import re
from pathlib import Path

import pytest

from tests.support.guest import run_in_guest
from tests.support.role_files import render, role_file

pytestmark = pytest.mark.integration

SMI = rb"""#!/bin/sh
[ ! -e /srv/hang ] || { : >/run/hangs; exec sleep 600; }
[ -e /dev/nvidia0 ] || mknod /dev/nvidia0 c 195 0
! touch /usr/written 2>/dev/null || exit 9
! touch /etc/written 2>/dev/null || exit 10
case $1 in --query-gpu=*) echo '0, 00000000:01:00.0, Enabled, Disabled, Disabled, 700.00, 200.00, 700.00, Enabled';;
--list-gpus) echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)';; *) exit 8;; esac
"""
CTK = rb"""#!/bin/sh
echo run >>/run/runs
for option; do case $option in --output=*) made=${option#*=};; esac; done
cp /srv/told.json "$made"
"""
EDITS = {"deviceNodes": [{"path": "/dev/nvidia0"}]}
TOLD = {
    "cdiVersion": "0.6.0",
    "kind": "nvidia.com/gpu",
    "devices": [{"name": name, "containerEdits": EDITS} for name in ("0", "all")],
}
MODEL = b"""[Unit]
Wants=appliance-gpu.service
After=appliance-gpu.service
[Service]
ExecStart=/bin/sh -c 'test -s /run/cdi/nvidia.yaml && exec sleep 600'
Type=exec
"""
SCRIPT = """
set -eu
wanted='[{"name": "appliance-gpu.service", "files": ["/etc/appliance/gpu.json"]}]'
lacks() { echo "$wanted" | /usr/bin/python3 -I /root/lacking.py | sed "s/^/$1: /"; }
cdi() { if [ -e /run/cdi/nvidia.yaml ]; then echo "$1: there"; else echo "$1: gone"; fi; }
systemctl daemon-reload
lacks bare
systemctl enable --quiet appliance-gpu.service
systemctl start appliance-gpu.service || journalctl --unit appliance-gpu.service --output cat
cmp /run/cdi/nvidia.yaml /srv/told.json && echo 'told: the same'
lacks after
systemctl start model.service
echo "model: $(systemctl is-active model.service), runs $(wc -l </run/runs)"
systemctl restart model.service
echo "again: $(systemctl is-active model.service), runs $(wc -l </run/runs)"
sleep 1; cp /root/too-much.json /etc/appliance/gpu.json
lacks changed
systemctl restart appliance-gpu.service && exit 7
cdi refused
journalctl --unit appliance-gpu.service --output cat --grep 'not for use' | sed --quiet '1s/^/said: /p'
echo "model still: $(systemctl is-active model.service)"
cp /root/none.json /etc/appliance/gpu.json; systemctl restart appliance-gpu.service
cdi mended
touch /srv/hang; systemctl start --no-block appliance-gpu.service
until [ -e /run/hangs ]; do sleep 1; done
systemctl kill --kill-whom=main --signal=KILL appliance-gpu.service
until systemctl is-failed --quiet appliance-gpu.service; do sleep 1; done
cdi killed
lacks failed
"""


def test_the_unit_runs_when_it_must_and_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    none: dict[str, object] = {"mig": {}, "power_watts": {}, "clocks_mhz": {}, "ecc": None}
    said = run_in_guest(
        tmp_path,
        ("python3",),
        {
            "/etc/systemd/system/appliance-gpu.service": render("gpu", "appliance-gpu.service.j2").encode(),
            "/etc/systemd/system/model.service": MODEL,
            "/usr/local/lib/appliance/gpu.py": role_file("gpu", "gpu.py").read_bytes(),
            "/etc/appliance/gpu.json": json.dumps(none).encode(),
            "/root/none.json": json.dumps(none).encode(),
            "/root/too-much.json": json.dumps(none | {"power_watts": {"all": 900}}).encode(),
            "/srv/told.json": json.dumps(TOLD).encode(),
            "/root/lacking.py": role_file("units", "lacking.py").read_bytes(),
            "/usr/bin/nvidia-smi": SMI,
            "/usr/bin/nvidia-ctk": CTK,
        },
        "chmod 0755 /usr/bin/nvidia-smi /usr/bin/nvidia-ctk\n" + SCRIPT,
    )
    found = dict(re.findall(r"^([\w ]+): (.*?)\r?$", said, re.MULTILINE))
    lacking = {name: json.loads(found[name])["jobs"] for name in ("bare", "after", "changed", "failed")}
    unit = ["--", "appliance-gpu.service"]
    assert lacking == {
        "bare": [["enable", *unit], ["start", *unit]],
        "after": [],
        "changed": [["restart", *unit]],
        "failed": [["start", *unit]],
    }
    assert found["told"] == "the same"
    assert (found["model"], found["again"]) == ("active, runs 2", "active, runs 3")
    assert (found["refused"], found["mended"], found["killed"]) == ("gone", "there", "gone")
    assert "GPU 0 can be held to 200 to 700 W, and gpu_power_watts says 900" in found["said"]
    assert found["model still"] == "active"
