"""The role gpu as Ansible runs it: what it says of a bare host, and that nothing is restarted that may not be."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.gpu_host import Host
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
if [ -e "$1/sbin" ]; then mount --types overlay --options "lowerdir=$1/sbin:/usr/sbin" overlay /usr/sbin; fi
if [ -e "$1/sys/module" ]; then mount --bind "$1/sys/module" /sys/module; fi
for place in etc usr/local; do
    above="$1/written/$place" beside="$1/beside/$place"
    mkdir -p "$above" "$beside"
    mount --types overlay --options "lowerdir=/$place,upperdir=$above,workdir=$beside" overlay "/$place"
done
shift
exec "$@"
"""
# A host whose driver answers: systemd as far as roles ask it of one unit, which runs the program that the role has
# written. Programs on hosts look here first.
SYSTEMCTL = """#!/bin/sh
state={folder}/unit verb=$1
mkdir -p $state
touch $state/enabled $state/ran
case $verb in
show)
    echo Id=appliance-gpu.service LoadState=loaded NeedDaemonReload=no Type=oneshot RemainAfterExit=no | tr ' ' '\\n'
    echo FragmentPath=/etc/systemd/system/appliance-gpu.service
    cat $state/enabled $state/ran;;
enable) echo UnitFileState=enabled >$state/enabled;;
start | restart)
    echo run >>$state/runs
    began=$(date -u '+%a %Y-%m-%d %H:%M:%S.%6N UTC')
    /usr/bin/python3 -I /usr/local/lib/appliance/gpu.py /etc/appliance/gpu.json {folder}/cdi/nvidia.yaml \\
        --tools={folder}/bin --capabilities={folder}/capabilities >>$state/journal 2>&1
    rc=$?
    [ $rc = 0 ] && result='inactive success' || result='failed exit-code'
    echo "ActiveState=${{result% *}}" >$state/ran
    echo "Result=${{result#* }}" >>$state/ran
    echo "InactiveExitTimestamp=$began" >>$state/ran
    exit $rc;;
esac
"""


def with_driver(folder: Path) -> Host:
    """What ``play`` finds there: two GPUs, the driver loaded, and a unit that has never run."""
    host = Host(folder)
    (folder / "sbin").mkdir()
    programs = {"systemctl": SYSTEMCTL.format(folder=folder), "journalctl": f"#!/bin/sh\ncat {folder}/unit/journal\n"}
    for name, text in programs.items():
        (folder / "sbin" / name).write_text(text)
        (folder / "sbin" / name).chmod(0o755)
    (folder / "sbin/nvidia-smi").symlink_to(host.tools / "nvidia-smi")
    for module in ("nvidia", "nvidia_uvm"):
        (folder / "sys/module" / module).mkdir(parents=True)
    (folder / "sys/module/nvidia/version").write_text("590.44.01\n")
    return host


def play(folder: Path, *options: str, depot: str = "depot1", release: str = OTHER, **variables: object) -> str:
    """What Ansible says of a host whose modules are for the kernel ``release``, and not for the one that it runs."""
    hosts: dict[str, Any] = {"depot": {"hosts": {depot: {}}}, "inference": {"hosts": {"gpu1": {}}}}
    inventory = {"all": {"vars": VARIABLES | variables}} | hosts
    modules = folder / "lib/modules" / release
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
            **{
                "PATH": f"/usr/sbin:{os.environ['PATH']}",
                "HOME": "/nonexistent",
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_HOME": str(folder),
            },
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


@pytest.mark.parametrize(
    ("allowed", "end"),
    [
        (False, "gpu1 must be restarted before its GPUs can be used: MIG of GPU 0 is switched by a restart"),
        # Ansible's own words; the machine that runs this test is not to be restarted.
        (True, "Running ansible.builtin.reboot with local connection would reboot the control node"),
    ],
)
def test_a_gpu_whose_mode_has_to_wait_has_the_host_restarted_in_the_run_that_sets_it(
    tmp_path: Path, allowed: bool, end: str
) -> None:
    host = with_driver(tmp_path)
    first, second = host.gpus()
    host.write([first | {"held": True}, second])
    said = play(tmp_path, release=platform.release(), gpu_reboot=allowed, gpu_mig={0: ["3g.40gb", "3g.40gb"]})
    assert end in said
    assert "service did not start" not in said, "what a restart mends is no error"
    assert host.gpus()[0]["mig.mode.pending"] == "Enabled"
    assert not host.target.exists()


def test_a_unit_that_no_restart_would_mend_is_told_with_its_own_words(tmp_path: Path) -> None:
    host = with_driver(tmp_path)
    said = play(tmp_path, release=platform.release(), gpu_reboot=True, gpu_power_watts={"all": 900})
    assert "appliance-gpu.service did not start on gpu1." in said
    assert "GPUs are not for use: GPU 0 can be held to 200 to 700 W, and gpu_power_watts says 900" in said
    assert "control node" not in said
    assert not host.target.exists()


@pytest.mark.parametrize(
    ("figures", "wrong"),
    [
        ({"0": -1}, "gpu_clocks_mhz of GPU 0 is -1, and must be a whole number"),
        ({"first": 300}, "gpu_clocks_mhz names 'first', which is neither the number of a GPU nor all"),
        ({"all": "1410"}, "gpu_clocks_mhz of all GPUs is '1410', and must be a whole number, without quotes"),
    ],
)
def test_limits_that_are_none_are_refused_before_a_host_is_asked(
    tmp_path: Path, figures: dict[str, object], wrong: str
) -> None:
    said = play(tmp_path, "--check", gpu_clocks_mhz=figures)
    assert f"gpu1: {wrong}" in said
    assert "failed=1" in said


@pytest.mark.parametrize(
    ("options", "ecc"),
    [((), "null"), (("--extra-vars", "gpu_ecc=yes"), "true"), (("--extra-vars", "gpu_ecc=false"), "false")],
)
def test_a_word_for_yes_or_no_reaches_the_host_as_that(tmp_path: Path, options: tuple[str, ...], ecc: str) -> None:
    said = play(tmp_path, "--check", "--diff", *options)
    assert f'+{{"mig": {{}}, "power_watts": {{}}, "clocks_mhz": {{}}, "ecc": {ecc}}}' in said


def test_a_layout_that_is_none_is_refused_and_one_that_is_stands_in_what_would_be_written(tmp_path: Path) -> None:
    said = play(tmp_path, "--check", gpu_mig={"all": ["1g.10gb", "3g.40gb"]})
    assert "gpu1: gpu_mig of all GPUs is 1g.10gb, 3g.40gb, and must have the largest slice first" in said
    assert "nvidia-smi mig -lgip shows the names" in said
    said = play(tmp_path, "--check", "--diff", gpu_mig={"all": ["3g.40gb", "3g.40gb"], 1: False})
    assert '+{"mig": {"all": ["3g.40gb", "3g.40gb"], "1": false}, "power_watts": {}' in said
    assert "failed=0" in said
