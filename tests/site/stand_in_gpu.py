"""A GPU where none is: what a host has of one as programs see it, below /sys and in the words of NVIDIA's programs.

The description that ``nvidia-ctk`` gives of it puts ``nvidia-smi`` into containers, as the real one does.
"""

import json
import re
from pathlib import Path

from tests.site.hosts import Host

_RECORDED = Path(__file__).parents[1] / "unit/site/gpus/two-a5000.xml"
_BUS = "/sys/bus/pci/devices"
_MIB = 81559
_SMI = """#!/bin/sh
case $1 in
--query) cat /srv/gpu.xml ;;
--query-gpu=index,ecc*) echo '0, Enabled, Enabled' ;;
--query-gpu=index,mig*) echo '0, Disabled, Disabled' ;;
--query-gpu=*)
    limit="$(cat /run/watts 2>/dev/null || echo 700.00), 200.00, 700.00"
    echo "0, 00000000:81:00.0, Enabled, Disabled, Disabled, $limit, Enabled" ;;
--list-gpus) [ ! -e /tmp/lost ] && echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)' ;;
--id=0) case $2 in --power-limit=*) echo "${2#*=}.00" >/run/watts ;; *) exit 1 ;; esac ;;
*) exit 1 ;;
esac
"""
_CTK = """#!/bin/sh
for option; do case $option in --output=*) cp /srv/devices.json "${option#*=}" ;; esac; done
"""
_DEVICES = {
    "cdiVersion": "0.6.0",
    "kind": "nvidia.com/gpu",
    "devices": [{"name": name, "containerEdits": {"env": ["DEVICE=all"]}} for name in ("0", "all")],
    "containerEdits": {
        "mounts": [
            {
                "hostPath": "/usr/bin/nvidia-smi",
                "containerPath": "/usr/bin/nvidia-smi",
                "options": ["ro", "nosuid", "nodev", "bind"],
            }
        ]
    },
}


def give_gpu(host: Host) -> None:
    """Give ``host`` one GPU with a driver; what is below /sys lasts until it is restarted."""
    first, _, rest = _RECORDED.read_text().partition('\t<gpu id="00000000:C1:00.0">')
    alone = re.sub("<processes>.*</processes>", "", first, flags=re.DOTALL) + "</nvidia_smi_log>\n"
    assert rest
    host.put("/srv/gpu.xml", re.sub("<total>24564 MiB", f"<total>{_MIB} MiB", alone))
    host.put("/srv/devices.json", json.dumps(_DEVICES))
    host.put("/usr/bin/nvidia-smi", _SMI, mode="0755")
    host.put("/usr/bin/nvidia-ctk", _CTK, mode="0755")
    host.put("/srv/bus/0000:81:00.0/vendor", "0x10de\n")
    host.put("/srv/bus/0000:81:00.0/class", "0x030200\n")
    if host.attempt(["mountpoint", "--quiet", _BUS]).returncode:
        host.run(["mount", "--bind", "/srv/bus", _BUS])
