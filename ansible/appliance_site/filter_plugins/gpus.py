"""Filters that compare the GPUs of a host with what its models need.

They judge what the role preflight's ``gpus.py`` has told, before anything is changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance_site.slices import (
    Layout,
    claims,
    figure_complaints,
    layout_complaints,
    layout_of,
    number_of,
    place_of,
    shown,
)

from appliance.formats.oci import Manifest, config_environment, parse_document
from appliance.model.serving.kv_cache import kv_needs
from appliance.model.serving.kv_cache import shown as capability_shown

# The oldest driver for programs made with each major version of CUDA.  Source, read on 2026-11-22: NVIDIA, CUDA
# Compatibility, "Minor Version Compatibility", table 1 (docs.nvidia.com/deploy/cuda-compatibility).
_OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
# The oldest GPUs (compute capability) that programs made with a major version of CUDA run on: 12 has dropped Kepler,
# and 13 Volta (github.com/Rust-GPU/rust-cuda/pull/312, github.com/NVIDIA/cuDecomp/pull/97).
_OLDEST_GPU = {12: "5.0", 13: "7.5"}
_GIB_MIB = 1024
_NO_TOOLKIT = (
    "NVIDIA's container toolkit is not there (/usr/bin/nvidia-ctk), and no container gets a GPU without it; do: "
    "install it, or name its package in gpu_packages"
)
# As ``nvidia-smi topo`` says it: one PCIe bridge between two GPUs, or several, and never the root.
_THROUGH_SWITCHES = ("PIX", "PXB")
# What containers can be kept on: overlayfs wants extended attributes and d_type of what lies below it.
_STORAGE = ("ext4", "xfs", "btrfs")


def image_cuda(image: str, bundle: str) -> str:
    """The version of CUDA that an image of the bundle was made with, such as ``13.0.1``; ``""`` where it does not say.

    ``bundle`` is the directory of a verified bundle, ``image`` is ``name@sha256:...``.
    """
    blobs = Path(bundle) / "images/blobs/sha256"
    manifest = parse_document((blobs / image.rpartition("sha256:")[2]).read_bytes())
    if not isinstance(manifest, Manifest):
        return ""
    return config_environment((blobs / manifest.config.content.sha256).read_bytes()).get("CUDA_VERSION", "")


def gpu_claims(models: Iterable[Mapping[str, Any]], layouts: Mapping[Any, Layout]) -> list[str]:
    """Models that claim more of a GPU than there is of it; the inventory alone tells, and no host is asked.

    Models may share a GPU when their parts of its memory (``gpu_memory_utilization``) fit on it together, and no slice
    of one (``layouts``, by number of the GPU).  One whose ``vllm_devices`` are not said may use all.
    """
    wanting = [model for model in models if model["gpus"]]
    numbers = sorted({int(number) for model in wanting for number in model["devices"] if place_of(number) is None})
    found = dict.fromkeys(claims(wanting, _by_text(layouts)))
    for number in numbers or [0]:
        here = [model for model in wanting if not model["devices"] or number in model["devices"]]
        share = sum(float(model["memory_utilization"] or 1) for model in here)
        if len(here) > 1 and share > 1:
            parts = " and ".join(f"{model['name']} ({model['memory_utilization'] or 1:g} of it)" for model in here)
            place = f"GPU {number}" if numbers else "each GPU"
            found[f"{place} is claimed by {parts}"] = None
    return list(found)


def gpu_complaints(
    seen: Mapping[str, Any],
    models: Iterable[Mapping[str, Any]],
    cuda: Mapping[str, str],
    celsius: int,
    awaited: bool = False,
    layouts: Mapping[Any, Layout] | None = None,
    uncut: bool = False,
) -> list[str]:
    """What keeps the GPUs of a host from serving ``models``, each with what to do about it; none is good news.

    ``seen`` is what ``gpus.py`` told, ``cuda`` the version of CUDA in each image, ``celsius`` the temperature that no
    GPU may have.  A driver that is ``awaited``, because the same run installs it, may be missing or too old.  GPUs that
    are to be cut as ``layouts`` say may be ``uncut`` until the same run has done it.
    """
    wanting = [model for model in models if model["gpus"]]
    if not wanting:
        return []
    present = len(seen["pci"])
    needed = max(max(map(number_of, model["devices"]), default=int(model["gpus"]) - 1) + 1 for model in wanting)
    if present < needed:
        names = ", ".join(str(model["name"]) for model in wanting)
        return [
            f"{present} NVIDIA GPUs are on its bus, and {names} need {needed}; do: add GPUs or see why some are "
            "missing (lspci -d 10de:), give it other models (appliance_models), or correct vllm_devices"
        ]
    if not seen["driver"]:
        return _mounts(seen["mounts"]) if awaited else [_no_driver(seen)]
    every = range(len(seen["gpus"]))
    taken = sorted({number_of(claimed) for model in wanting for claimed in model["devices"] or every})
    gpus = [gpu for gpu in seen["gpus"] if gpu["number"] in taken]
    cuts = _by_text(layouts or {})
    return [
        *([] if awaited or seen["toolkit"] else [_NO_TOOLKIT]),
        *([] if awaited else _driver(str(seen["driver"]), wanting, cuda)),
        *(complaint for model in wanting for complaint in _capability(gpus, model, cuda)),
        *(complaint for gpu in gpus for complaint in _health(gpu, celsius)),
        *_not_there(present, cuts),
        # Nobody gets a GPU where one cannot be cut, whether a model takes that one or not.
        *(
            complaint
            for gpu in seen["gpus"]
            if gpu["number"] in taken or layout_of(cuts, gpu["number"]) is not None
            for complaint in _cut(gpu, layout_of(cuts, gpu["number"]), uncut)
        ),
        *_memory(seen["gpus"], wanting, uncut),
        *_leftovers(seen["processes"], taken),
        *_links(seen, wanting),
        *_redirected(seen, wanting),
        *_mounts(seen["mounts"]),
    ]


def _no_driver(seen: Mapping[str, Any]) -> str:
    others = sorted({str(gpu["driver"]) for gpu in seen["pci"] if gpu["driver"] not in (None, "nvidia")})
    if others:
        return f"its GPUs are held by the driver {', '.join(others)}; do: keep that from loading, and boot the host"
    told = "NVIDIA's driver does not answer"
    if seen["secure_boot"]:
        return (
            f"{told}, and the firmware demands signed modules (Secure Boot); do: see the kernel's log for a key that "
            "was rejected, and enrol the key that signed the driver's modules"
        )
    return (
        f"{told}; do: see the kernel's log (journalctl --dmesg --grep nvidia), load its modules, or install the driver "
        "(gpu_packages)"
    )


def _driver(version: str, models: Iterable[Mapping[str, Any]], cuda: Mapping[str, str]) -> list[str]:
    branch, complaints = int(version.split(".", maxsplit=1)[0]), []
    for image in sorted({str(model["image"]) for model in models}):
        major = cuda.get(image, "").split(".")[0]
        oldest = _OLDEST_DRIVER.get(int(major)) if major.isdecimal() else None
        if oldest and branch < oldest:
            complaints.append(
                f"the driver is {version}, and the image {image.partition('@')[0]} was made with CUDA {cuda[image]}, "
                f"which needs {oldest} or newer; do: install a newer driver, or a bundle whose image has an older CUDA"
            )
    return complaints


def _capability(gpus: Iterable[Mapping[str, Any]], model: Mapping[str, Any], cuda: Mapping[str, str]) -> list[str]:
    """GPUs of one model that are too old a kind for it, whatever memory they have."""
    mine = {number_of(claimed) for claimed in model["devices"]}
    needs = list(_needs(model, cuda))
    return [
        f"GPU {gpu['number']} ({gpu['name']}) can do what compute capability {gpu['capability']} has, and {why}; do: "
        "serve it on other GPUs (vllm_devices), or on another host"
        for gpu in gpus
        if gpu["capability"] and (not mine or gpu["number"] in mine)
        for oldest, why in needs
        if _version(gpu["capability"]) < oldest
    ]


def _needs(model: Mapping[str, Any], cuda: Mapping[str, str]) -> Iterator[tuple[tuple[int, ...], str]]:
    """The oldest kinds of GPU (compute capability) that a model runs on, each with what needs it."""
    made_with = cuda.get(str(model["image"]), "")
    major = made_with.split(".")[0]
    if oldest := _OLDEST_GPU.get(int(major)) if major.isdecimal() else None:
        yield (
            _version(oldest),
            f"the image of {model['name']} was made with CUDA {made_with}, which runs on {oldest} or newer",
        )
    if kept := kv_needs(str(model["kv_cache_dtype"])):
        yield (
            kept,
            f"{model['name']} keeps keys and values as {model['kv_cache_dtype']}, which needs {capability_shown(kept)} "
            "or newer (kv_cache_dtype)",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _health(gpu: Mapping[str, Any], celsius: int) -> list[str]:
    which = f"GPU {gpu['number']} ({gpu['name']}, {gpu['address']})"
    reset = f"nvidia-smi --gpu-reset --id={gpu['number']}"
    found = []
    if gpu["celsius"] is not None and gpu["celsius"] > celsius:
        slows = f", and slows down at {gpu['slows_at']}" if gpu["slows_at"] else ""
        found.append(f"{which} has {gpu['celsius']} degrees Celsius{slows}; do: look at fans, air and other load")
    if gpu["needs"]:
        found.append(f"{which} asks for this (recovery action): {gpu['needs']}; do: {reset}, or boot the host")
    if gpu["uncorrected"]:
        found.append(
            f"{which} has had {gpu['uncorrected']} memory errors that it could not correct; do: {reset}, and replace "
            "it when they come again"
        )
    if gpu["remapping_failed"]:
        found.append(f"{which} has no spare rows of memory left; do: replace it")
    if gpu["fabric"] not in (None, "Completed"):
        found.append(
            f"{which} has not joined its NVLink fabric ({gpu['fabric']}); do: systemctl status nvidia-fabricmanager; "
            "its version has to be the driver's"
        )
    return found


def _not_there(present: int, layouts: Mapping[str, Layout]) -> list[str]:
    strange = sorted(int(number) for number in layouts if number.isdecimal() and int(number) >= present)
    if not strange:
        return []
    names, there = (", ".join(map(str, numbers)) for numbers in (strange, range(present)))
    return [
        f"gpu_mig names GPU {names}, and on its bus there are {there}; do: correct gpu_mig, or see why GPUs are missing"
    ]


def _cut(gpu: Mapping[str, Any], layout: Layout, uncut: bool) -> list[str]:
    """What of its slices (MIG) is not as the inventory says; one of which it says nothing has to be whole."""
    which = f"GPU {gpu['number']} ({gpu['name']}, {gpu['address']})"
    if layout and gpu["mig"] is None:
        return [
            f"{which} is to be cut into slices (gpu_mig), and cannot be; do: write it as {gpu['number']}: false in "
            "gpu_mig, and name whole GPUs in vllm_devices"
        ]
    there = [str(part["name"]) for part in gpu["slices"]] if gpu["mig"] else []
    if not uncut and layout and there != layout:
        return [
            f"{which} is cut into {', '.join(there) or 'no slices'}, and gpu_mig says {', '.join(layout)}; do: see why "
            "it is not: journalctl --unit appliance-gpu"
        ]
    if gpu["mig"] and (layout is None or not (uncut or layout)):
        says = "does not say so" if layout is None else "says that it is whole"
        return [
            f"{which} is cut into slices (MIG: {', '.join(there) or 'none yet'}), and gpu_mig {says}; do: name them in "
            "gpu_mig and in vllm_devices, make it whole (false in gpu_mig), or name other GPUs in vllm_devices"
        ]
    return []


def _memory(gpus: Sequence[Mapping[str, Any]], models: Iterable[Mapping[str, Any]], uncut: bool) -> list[str]:
    complaints = []
    for model in models:
        wanted = model["gpu_gib"]
        for claimed in model["devices"] or range(len(gpus)):
            # Slices that are there now may be others than those that are meant.
            name, mib = ("", None) if uncut and place_of(claimed) is not None else _mib(gpus, claimed)
            if wanted and mib is not None and mib < wanted * _GIB_MIB:
                complaints.append(
                    f"{shown(claimed)} ({name}) has {mib / _GIB_MIB:.1f} GiB, and the profile of {model['name']} was "
                    f"planned for {wanted:g}; do: serve it on another host, or ask for a bundle with a profile for it"
                )
    return complaints


def _mib(gpus: Sequence[Mapping[str, Any]], claimed: int | str) -> tuple[str, int | None]:
    """What a device is called and the memory that it has; None where there is no such device, or not yet."""
    place = place_of(claimed)
    there = gpus if place is None else gpus[number_of(claimed)]["slices"] if number_of(claimed) < len(gpus) else []
    index = number_of(claimed) if place is None else place
    return (there[index]["name"], there[index]["mib"]) if index < len(there) else ("", None)


def _leftovers(processes: Iterable[Mapping[str, Any]], taken: Sequence[int]) -> list[str]:
    return [
        f"{process['name']} (process {process['pid']}) holds {process['mib'] or 0} MiB of GPU {process['gpu']} and is "
        f"none of ours; do: end it, and keep it from starting again"
        for process in processes
        if process["gpu"] in taken and "/vllm" not in str(process["cgroup"])
    ]


def _links(seen: Mapping[str, Any], models: Iterable[Mapping[str, Any]]) -> list[str]:
    """Several GPUs of one model that speak over PCIe must not have an IOMMU translate what they say.

    Source: NVIDIA, NCCL troubleshooting, "PCI Access Control Services (ACS)": peers then hang or become slow.
    """
    translated = {str(gpu["address"])[-12:] for gpu in seen["pci"] if str(gpu["iommu"] or "").startswith("DMA")}
    complaints = []
    for model in models:
        mine = [number_of(claimed) for claimed in model["devices"] or range(len(seen["gpus"]))]
        apart = any(
            not seen["links"][one][other].startswith("NV")
            for one in mine
            for other in mine
            if one < other < len(seen["links"])
        )
        if len(mine) > 1 and apart and any(str(seen["gpus"][one]["address"])[-12:] in translated for one in mine):
            complaints.append(
                f"the GPUs of {model['name']} reach each other over PCIe, where an IOMMU translates: such transfers "
                "hang; do: boot with iommu=pt, and turn ACS off in the firmware"
            )
    return complaints


def _redirected(seen: Mapping[str, Any], models: Iterable[Mapping[str, Any]]) -> list[str]:
    """GPUs of one model below one PCIe switch that sends what they say to each other up to the root.

    The source is that of ``_links``.  Only bridges between the two count: one that both lie below does not see it.
    """
    above = {str(gpu["address"])[-12:]: set(gpu["acs"]) for gpu in seen["pci"]}
    places = [str(gpu["address"])[-12:] for gpu in seen["gpus"]]
    complaints = []
    for model in models:
        mine = [number_of(claimed) for claimed in model["devices"] or range(len(places))]
        bridges = {
            bridge
            for one in mine
            for other in mine
            if one < other < len(seen["links"]) and seen["links"][one][other] in _THROUGH_SWITCHES
            for bridge in above.get(places[one], set()) ^ above.get(places[other], set())
        }
        if bridges:
            listed = ";".join(sorted(bridges))
            complaints.append(
                f"a PCIe switch sends what the GPUs of {model['name']} say to each other up to the processor (ACS of "
                f"{listed}): such transfers hang or are slow; do: turn ACS off in the firmware, or boot with "
                f"pci=disable_acs_redir={listed}"
            )
    return complaints


def _mounts(mounts: Mapping[str, Mapping[str, str]]) -> list[str]:
    complaints = []
    for place, mount in mounts.items():
        if mount and mount["type"] not in _STORAGE:
            complaints.append(
                f"{place} lies on {mount['type']} ({mount['at']}), on which images cannot be kept; do: mount "
                f"{', '.join(_STORAGE[:-1])} or {_STORAGE[-1]} there"
            )
        if mount and "noexec" in mount["options"].split(","):
            complaints.append(
                f"{place} is mounted noexec ({mount['at']}), so nothing in an image could run; do: mount it without"
            )
    return complaints


def _by_text(layouts: Mapping[Any, Layout]) -> dict[str, Layout]:
    """YAML has the numbers of GPUs as numbers, and JSON as text."""
    return {str(number): layout for number, layout in layouts.items()}


class FilterModule:
    """What Ansible looks for in a file of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by the names that roles use."""
        return {
            "bundle_image_cuda": image_cuda,
            "claims_on_gpus": gpu_claims,
            "complaints_on_gpus": gpu_complaints,
            "complaints_on_figures": figure_complaints,
            "complaints_on_layouts": layout_complaints,
        }
