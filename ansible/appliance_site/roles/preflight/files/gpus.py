"""Say what the GPUs of this host are and do, as JSON, for the role preflight to judge.

Nothing is changed.  What a host does not tell, because its driver is not there or is too old
to know, is null or an empty list.  Runs on bare hosts: Python alone.

The output has
    pci         NVIDIA's GPUs by /sys: address, driver (of the kernel), iommu (the type of its group), acs (the
                bridges above it that redirect what it sends its peers)
    driver      version of the loaded driver
    gpus        what the driver says of each, in the order of their numbers; mig is null where it cannot be cut
    processes   who has memory of which GPU: pid, name, mib, gpu (number), cgroup
    links       for each GPU, how it reaches each other one: NV18, PIX, SYS ... (``nvidia-smi topo``)
    toolkit     whether NVIDIA's container toolkit is there
    secure_boot whether the firmware demands signed kernel modules
    mounts      for each directory given as argument: file system and options
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

_NVIDIA = "0x10de"
_DISPLAYS = ("0x0300", "0x0302")  # VGA and 3D controllers, by the PCI ID repository
# PCI Express: extended capabilities begin here, each with its number in 16 bits and the place of the next in the upper
# 12 of 32; that of Access Control Services (13) has its control register at 6.  Two of its bits redirect requests and
# completions between peers; the kernel's pci=disable_acs_redir clears them.
_EXTENDED, _ACS, _ACS_CONTROL, _REDIRECTS = 0x100, 13, 6, 0x4 | 0x8
_TOOLKIT = Path("/usr/bin/nvidia-ctk")
# GUID of the variables that the UEFI specification defines; four bytes of attributes precede the value.
_SECURE_BOOT = Path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")


def main() -> None:
    """See above."""
    told = _said("nvidia-smi", "--query", "--xml-format")
    # Written by a program of the driver, which root runs anyway.
    log = Xml.fromstring(told) if told.startswith("<?xml") else Xml.Element("nvidia_smi_log")  # noqa: S314
    found = sorted(log.iter("gpu"), key=lambda gpu: str(gpu.get("id")))
    cut = slices(_said("nvidia-smi", "--list-gpus")) if log.find("gpu/mig_devices/mig_device") is not None else {}
    able = capabilities(_said("nvidia-smi", "--query-gpu=pci.bus_id,compute_cap", "--format=csv,noheader"))
    gpus = [
        {**_gpu(number, gpu, cut.get(number, [])), "capability": able.get(str(gpu.get("id")).lower())}
        for number, gpu in enumerate(found)
    ]
    seen = {
        "pci": _on_the_bus(Path("/sys/bus/pci/devices")),
        "driver": log.findtext("driver_version"),
        "gpus": gpus,
        "processes": [process for number, gpu in enumerate(found) for process in _processes(number, gpu)],
        "links": links(_said("nvidia-smi", "topo", "--matrix")) if len(gpus) > 1 else [],
        "toolkit": _TOOLKIT.exists(),
        "secure_boot": _SECURE_BOOT.read_bytes()[4:] == b"\x01" if _SECURE_BOOT.exists() else None,
        "mounts": {place: _mount(place) for place in sys.argv[1:]},
    }
    print(json.dumps(seen))


def links(matrix: str) -> list[list[str]]:
    """The rows of what ``nvidia-smi topo --matrix`` prints: how each GPU reaches each, ``X`` for itself."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).split() for line in matrix.splitlines()]
    rows = [line for line in lines if len(line) > 2 and re.fullmatch("GPU[0-9]+", line[0]) and line[1][:3] != "GPU"]
    return [row[1 : len(rows) + 1] for row in rows]


def slices(listed: str) -> dict[int, list[str]]:
    """Names of the slices (MIG) of each GPU that ``nvidia-smi --list-gpus`` shows, which its XML does not have."""
    found: dict[int, list[str]] = {}
    for line in listed.splitlines():
        if gpu := re.match("GPU ([0-9]+): ", line):
            here = found.setdefault(int(gpu[1]), [])
        elif part := re.match(r" +MIG (\S+) +Device ", line):
            here.append(part[1])
    return found


def capabilities(listed: str) -> dict[str, str]:
    """What programs each GPU can run (compute capability), by its address; drivers before 510 do not say."""
    lines = [line.partition(",") for line in listed.lower().splitlines()]
    return {address.strip(): able.strip() for address, _, able in lines if re.fullmatch(r" *[0-9]+\.[0-9]+ *", able)}


def redirects(config: bytes) -> bool:
    """Whether the bridge with this configuration space sends what peers say to each other up to the root (ACS).

    Only root reads more than the first 64 bytes; from less, nothing follows.
    """
    at, seen = _EXTENDED, set[int]()
    while at >= _EXTENDED and at not in seen and at + 8 <= len(config):
        seen.add(at)
        head = int.from_bytes(config[at : at + 4], "little")
        if head & 0xFFFF == _ACS:
            return bool(config[at + _ACS_CONTROL] & _REDIRECTS)
        at = head >> 20
    return False


def _gpu(number: int, gpu: Xml.Element, names: list[str]) -> dict[str, object]:
    memory = [_figure(part, "fb_memory_usage/total") for part in gpu.iterfind("mig_devices/mig_device")]
    mode = gpu.findtext("mig_mode/current_mig")
    return {
        "number": number,
        "address": str(gpu.get("id")).lower(),
        "name": gpu.findtext("product_name"),
        "mib": _figure(gpu, "fb_memory_usage/total"),
        "celsius": _figure(gpu, "temperature/gpu_temp"),
        "slows_at": _figure(gpu, "temperature/gpu_temp_slow_threshold"),
        "mig": {"Enabled": True, "Disabled": False}.get(str(mode)),
        "slices": [{"name": name, "mib": mib} for name, mib in zip(names, memory, strict=False)],
        "uncorrected": _uncorrected(gpu),
        "remapping_failed": gpu.findtext("remapped_rows/remapped_row_failure") == "Yes",
        "needs": _recovery(gpu),
        "fabric": _known(gpu.findtext("fabric/state")),
    }


def _uncorrected(gpu: Xml.Element) -> int:
    """Errors of memory since the driver was loaded that it could not correct."""
    errors = gpu.find("ecc_errors/volatile")
    texts = [error.text or "" for error in errors if "uncorrectable" in error.tag] if errors is not None else []
    return sum(int(text) for text in texts if text.isdecimal())


def _recovery(gpu: Xml.Element) -> str | None:
    """What the driver wants done to it, such as ``Reset`` or ``Reboot``; drivers before 560 say only that."""
    if gpu.findtext("gpu_reset_status/reset_required") == "Yes":
        return "Reset"
    return _known(gpu.findtext("gpu_recovery_action"))


def _processes(number: int, gpu: Xml.Element) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for process in gpu.iter("process_info"):
        pid = process.findtext("pid") or "0"
        try:
            cgroup = Path(f"/proc/{int(pid)}/cgroup").read_text().strip()
        except OSError:
            cgroup = ""  # of another PID namespace, or gone
        name, mib = process.findtext("process_name"), _figure(process, "used_memory")
        found.append({"pid": int(pid), "name": name, "mib": mib, "gpu": number, "cgroup": cgroup})
    return found


def _on_the_bus(devices: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for device in sorted(devices.iterdir()) if devices.is_dir() else []:
        if _line(device / "vendor") != _NVIDIA or not _line(device / "class").startswith(_DISPLAYS):
            continue
        driver = device / "driver"
        found.append(
            {
                "address": device.name,
                "driver": driver.resolve().name if driver.exists() else None,
                "iommu": _line(device / "iommu_group/type") or None,
                "acs": _redirecting(device.resolve()),
            }
        )
    return found


def _redirecting(device: Path) -> list[str]:
    """Addresses of the bridges above a device that redirect; in /sys, each device lies in the folder of its bridge."""
    found = []
    for bridge in device.parents:
        try:
            config = (bridge / "config").read_bytes()
        except OSError:
            break  # the root complex, which is no PCI device
        if redirects(config):
            found.append(bridge.name)
    return found


def _figure(element: Xml.Element, path: str) -> int | None:
    """The number of ``81559 MiB`` or ``41 C``."""
    found = re.match("-?[0-9]+", element.findtext(path) or "")
    return int(found[0]) if found else None


def _known(text: str | None) -> str | None:
    return None if text in ("N/A", "None", "") else text


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _mount(place: str) -> dict[str, str]:
    here = Path(place)
    while not here.exists():
        here = here.parent
    told = _said("findmnt", "--json", "--output", "TARGET,FSTYPE,OPTIONS", "--target", str(here))
    if not told:
        return {}
    mount = json.loads(told)["filesystems"][0]
    return {"at": mount["target"], "type": mount["fstype"], "options": mount["options"]}


def _said(*argv: str) -> str:
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, text=True).stdout
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    main()
