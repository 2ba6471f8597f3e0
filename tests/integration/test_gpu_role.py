"""The role gpu as Ansible runs it: what it says of a bare host, and that nothing is restarted that may not be."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.role_files import SITE

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it mounts over /etc in a namespace of its own"),
]
PLAY = [
    {
        "hosts": "gpu1",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "gpu"}},
            {"ansible.builtin.include_role": {"name": "gpu", "tasks_from": "inventory"}},
            {"ansible.builtin.include_role": {"name": "gpu", "tasks_from": "bring_up"}},
            {"ansible.builtin.include_role": {"name": "gpu", "tasks_from": "reach"}},
        ],
    }
]
VARIABLES = {
    "ansible_connection": "local",
    "appliance_bundle": "demo",
    "appliance_root": "/srv/appliance",
    "appliance_depot_host": "depot1",
    "os_packages_more": ["nvidia"],
    "__vllm_models": [{"name": "chat", "gpus": 1}],
}
OTHER = "9.9.9-other"
# What the role writes is found below written/, and this machine keeps what it has.
_ENTER = """
mount --types overlay --options "lowerdir=$1/lib:/usr/lib" overlay /usr/lib
for place in etc usr/local; do
    above="$1/written/$place" beside="$1/beside/$place"
    mkdir -p "$above" "$beside"
    mount --types overlay --options "lowerdir=/$place,upperdir=$above,workdir=$beside" overlay "/$place"
done
shift
exec "$@"
"""


def play(folder: Path, *options: str, depot: str = "depot1", **variables: object) -> str:
    """What Ansible says of a host whose modules are for a kernel that it does not run."""
    hosts: dict[str, Any] = {"depot": {"hosts": {depot: {}}}, "inference": {"hosts": {"gpu1": {}}}}
    inventory = {"all": {"vars": VARIABLES | variables}} | hosts
    modules = folder / "lib/modules" / OTHER
    modules.mkdir(parents=True, exist_ok=True)
    (modules / "modules.dep").write_text("updates/nvidia/nvidia.ko.xz:\n")
    (folder / "hosts.yml").write_text(json.dumps(inventory))
    (folder / "site.yml").write_text(json.dumps(PLAY))
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "--inventory",
        str(folder / "hosts.yml"),
        *options,
    ]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", _ENTER, "sh", str(folder), *command, str(folder / "site.yml")],
        cwd=SITE,
        env={
            **{"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(folder)},
            "ANSIBLE_FILTER_PLUGINS": str(SITE / "filter_plugins"),  # beside site.yml, and this playbook lies elsewhere
        },
        capture_output=True,
        text=True,
        check=False,
    )
    # Ansible shows text as YAML has it.
    return " ".join((done.stdout + done.stderr).split()).replace("''", "'")


def test_a_bare_host_is_told_what_would_be_done(tmp_path: Path) -> None:
    said = play(
        tmp_path, "--check", "--diff", gpu_packages=["nvidia-driver-cuda"], gpu_power_watts={"all": 500, 1: 450}
    )
    assert "would install nvidia-driver-cuda" in said
    assert "+install nouveau /bin/false" in said
    assert '+{"mig": {}, "power_watts": {"all": 500, "1": 450}, "clocks_mhz": {}, "ecc": null}' in said
    reason = f"it runs Linux {platform.release()}, and NVIDIA's modules are installed for {OTHER}"
    assert f"would restart gpu1: {reason}" in said
    assert "failed=0" in said
    assert not (tmp_path / "written/etc/appliance").exists()


@pytest.mark.parametrize(("depot", "allowed"), [("depot1", False), ("gpu1", True)])
def test_a_host_is_not_restarted_unless_the_inventory_allows_it_and_never_the_depot(
    tmp_path: Path, depot: str, allowed: bool
) -> None:
    said = play(tmp_path, depot=depot, gpu_reboot=allowed)
    assert "gpu1 must be restarted before its GPUs can be used: it runs Linux" in said
    assert ("or set gpu_reboot to true" in said) is not allowed
    assert "failed=1" in said


@pytest.mark.parametrize("figures", [{"0": -1}, {"first": 300}, {"0": "much"}])
def test_limits_that_are_none_are_refused_before_a_host_is_asked(tmp_path: Path, figures: dict[str, object]) -> None:
    said = play(tmp_path, "--check", gpu_clocks_mhz=figures)
    assert "gpu_clocks_mhz of gpu1 is" in said
    assert "must have whole numbers by number of the GPU" in said
    assert "failed=1" in said


def test_a_layout_that_is_none_is_refused_and_one_that_is_stands_in_what_would_be_written(tmp_path: Path) -> None:
    said = play(tmp_path, "--check", gpu_mig={"all": ["1g.10gb", "3g.40gb"]})
    assert "gpu1: gpu_mig of all GPUs is 1g.10gb, 3g.40gb, and must have the largest slice first" in said
    assert "nvidia-smi mig -lgip shows the names" in said
    said = play(tmp_path, "--check", "--diff", gpu_mig={"all": ["3g.40gb", "3g.40gb"], 1: False})
    assert '+{"mig": {"all": ["3g.40gb", "3g.40gb"], "1": false}, "power_watts": {}' in said
    assert "failed=0" in said
