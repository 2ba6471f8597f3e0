"""A virtual machine with a kernel of its own, for what a container's host cannot show: control groups that bind.

Emulated, so any machine can run one: a minute to boot, and slow.  It has no network.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.debian_root import debian_root
from tests.support.umask import umask

MEMORY = 3 << 30  # bytes
_KERNEL = "linux-image-cloud-amd64"
_UNIT = """
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh /root/script
ExecStopPost=/bin/sh -c 'echo "the script ended with $EXIT_STATUS" >/dev/ttyS1'
ExecStopPost=/usr/bin/systemctl poweroff --force --force
"""
# Kernels panic at random where QEMU 7.2 emulates five levels of page tables or cmpxchg16b.
_MACHINE = ("-accel", "tcg,thread=single", "-cpu", "max,la57=off,cx16=off", "-m", f"{MEMORY >> 20}M", "-nic", "none")


@umask(0o022)
def run_in_guest(folder: Path, packages: Sequence[str], files: Mapping[str, bytes], script: str) -> str:
    """What ``script`` says on Debian 13 with ``packages`` and ``files`` (by absolute path), which is booted for it.

    Skips where there is no emulator.
    """
    for program, package in (("qemu-system-x86_64", "qemu-system-x86"), ("mke2fs", "e2fsprogs")):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install {package}")
    system = debian_root("trixie", "systemd-sysv", "dbus", "udev", _KERNEL, *packages).copy(folder / "root").path
    for path, data in {
        **files,
        "/root/script": f"exec >/dev/ttyS1 2>&1\n{script}".encode(),
        "/etc/systemd/system/script.service": _UNIT.encode(),
        "/etc/fstab": b"/dev/vda / ext4 defaults 0 1\n",
    }.items():
        target = system / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    wanted = system / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "script.service").symlink_to("../script.service")
    with (folder / "disk").open("wb") as disk:
        disk.truncate(3 << 30)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", system, folder / "disk"], check=True)
    (kernel,) = system.glob("boot/vmlinuz-*")
    (initial,) = system.glob("boot/initrd.img-*")
    said = folder / "said"
    boot = ("-kernel", kernel, "-initrd", initial, "-append", "root=/dev/vda rw console=ttyS0 panic=-1 quiet")
    disks = ("-drive", f"file={folder}/disk,format=raw,if=virtio", "-no-reboot")
    screens = ("-display", "none", "-serial", f"file:{folder}/console", "-serial", f"file:{said}")
    command = ["qemu-system-x86_64", *_MACHINE, *map(str, (*boot, *disks, *screens))]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=1800)
    shutil.rmtree(system)
    assert said.read_text().endswith("the script ended with 0\n"), f"{said.read_text()}\n{folder}/console"
    return said.read_text()
