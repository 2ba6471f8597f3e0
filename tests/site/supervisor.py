"""The first process of a site: sets it up from the inside, and watches its hosts.

Promises that mounts, network and hosts exist in the namespaces it was started in and
nowhere else, so that they are gone when it is.  Prints a line once the hosts are
starting; ends when one of them fails.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.site import network
from tests.site.command import in_cgroup, run
from tests.site.furnish import furnish, share_keys, take_keys
from tests.site.plan import BRIDGE, CGROUPS, MEDIUM, REINSTALL, HostPlan, Plan

_SITE = Path("/run/site")
# Written to a lot, and podman's storage needs a file system that is no overlay itself.
_VOLUMES = ("/var/lib/containers",)
# Hosts have what containers and firewalls need, but not the clock and the modules of the machine.
_DROPPED = "CAP_SYS_TIME,CAP_SYS_MODULE"
_DISK = 64 << 30  # bytes, of which only those that are written take room
_SMALL_DISK = 16 << 20  # bytes
_REBOOT = 133  # how systemd-nspawn asks to be started again


def main() -> None:
    plan = Plan.from_json(sys.argv[1])
    os.umask(0o022)
    outside = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-m", "tests.site.outside"], stdout=subprocess.PIPE, text=True
    )
    assert outside.stdout is not None
    outside.stdout.readline()
    _mount(plan)
    network.connect(outside.pid)
    roots = {host: _root(plan, host) for host in plan.hosts}
    for host, root in roots.items():
        furnish(root, host, plan)
    share_keys(list(roots.values()), plan)
    hosts = {_boot(host, root, plan): host for host, root in roots.items()}
    print("starting", flush=True)
    while True:
        host = _rebooted(hosts)
        if (_SITE / "scratch" / host.name / REINSTALL).exists():
            _reinstall(plan, host, roots)
        hosts[_boot(host, roots[host], plan)] = host


def _mount(plan: Plan) -> None:
    # The keeper's view of the cgroups makes room for one that begins with the site.
    run("umount", str(CGROUPS))
    run("mount", "--types", "cgroup2", "cgroup2", str(CGROUPS))
    # systemd-nspawn writes to /run and /tmp; ours, not the machine's.
    run("mount", "--types", "tmpfs", "--options", "mode=0755", "tmpfs", "/run")
    for name, source in (("base", plan.base), ("bundle", plan.bundle)):
        (_SITE / name).mkdir(parents=True)
        if source is not None:
            run("mount", "--bind", str(source), str(_SITE / name))
    _mount_disk(plan.scratch / "disk", _SITE / "scratch")
    run("mount", "--types", "tmpfs", "--options", "mode=1777", "tmpfs", "/tmp")


def _mount_disk(file: Path, place: Path, size: int = _DISK) -> None:
    """All that hosts write goes to one file: to remove a container image file by file takes a minute."""
    with file.open("wb") as disk:
        disk.truncate(size)
    # Neither a journal nor barriers: nothing of it outlives the machine.
    run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "nodiscard", str(file))
    place.mkdir()
    run("mount", "--options", "loop,nobarrier", str(file), str(place))


def _root(plan: Plan, host: HostPlan) -> Path:
    """A root file system that is the shared one until the host changes something."""
    scratch = _SITE / "scratch" / host.name
    for name in ("upper", "work", "volumes"):
        (scratch / name).mkdir(parents=True)
    root = _SITE / "roots" / host.name
    root.mkdir(parents=True)
    layers = f"lowerdir={_SITE}/base,upperdir={scratch}/upper,workdir={scratch}/work"
    run("mount", "--types", "overlay", "--options", layers, "overlay", str(root))
    for number, _ in enumerate(plan.small):
        _mount_disk(scratch / f"small-{number}.disk", scratch / f"small-{number}", _SMALL_DISK)
    return root


def _reinstall(plan: Plan, host: HostPlan, roots: dict[HostPlan, Path]) -> None:
    """A new disk in the same machine, with a bare system and an SSH key of its own."""
    run("umount", str(roots[host]))
    shutil.rmtree(_SITE / "scratch" / host.name)
    roots[host].rmdir()
    roots[host] = _root(plan, host)
    furnish(roots[host], host, plan)
    take_keys(roots[host], host, next(root for other, root in roots.items() if other != host))


def _boot(host: HostPlan, root: Path, plan: Plan) -> int:
    """Start the host; the number of its process."""
    cgroup = CGROUPS / host.name
    cgroup.mkdir(exist_ok=True)
    scratch = _SITE / "scratch" / host.name
    binds = []
    for number, volume in enumerate(_VOLUMES):
        (scratch / "volumes" / str(number)).mkdir(exist_ok=True)
        binds.append(f"--bind={scratch}/volumes/{number}:{volume}")
    binds += [f"--bind={scratch}/small-{number}:{path}" for number, path in enumerate(plan.small)]
    if plan.bundle is not None and host == plan.hosts[0]:
        binds.append(f"--bind-ro={_SITE}/bundle:{MEDIUM}")
    command = [
        *("systemd-nspawn", "--quiet", f"--directory={root}", "--boot", "--console=pipe"),
        *(f"--machine={host.name}", f"--network-bridge={BRIDGE}", *binds),
        *("--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off"),
        *("--capability=all", f"--drop-capability={_DROPPED}", "--system-call-filter=add_key keyctl bpf"),
    ]
    with (scratch / "console").open("ab") as console:
        process = subprocess.Popen(
            in_cgroup(cgroup, command),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
    return process.pid


def _rebooted(hosts: dict[int, HostPlan]) -> HostPlan:
    """The next host that asks for a restart; one that is powered off stays so, and one that fails ends the site."""
    while True:
        process, status = os.wait()  # orphans of all hosts come here too: this is their first process
        code = os.waitstatus_to_exitcode(status)
        host = hosts.pop(process, None)
        if host is None or code == 0:
            continue
        if code == _REBOOT:
            return host
        with (_SITE / "scratch" / host.name / "console").open("rb") as console:
            shutil.copyfileobj(console, sys.stderr.buffer)
        raise SystemExit(f"the host {host.name} ended with {code}")


if __name__ == "__main__":
    main()
