"""GPUs by the names that definitions and ``appliance plan`` use: their memory and its bandwidth, with sources.

Memory is what CUDA reports, rounded down: data sheets count in other units and leave out what ECC and the
driver take.  A GPU stands here only if somebody has published that figure.  Another one can be used by what
it reports: ``gpu`` in words of your own, ``memory: {gpu_gib: ...}`` in the definition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

_OVERHEAD_GIB = {1: 4.0, 4: 5.0, 64: 6.0}


@dataclass(frozen=True)
class Gpu:
    """One type of GPU: ``gib`` that CUDA reports, ``gigabytes_per_second`` of memory bandwidth (10^9 bytes).

    ``capability`` is its compute capability, major and minor: NVIDIA, "CUDA GPU Compute Capability"
    (developer.nvidia.com/cuda/gpus); the same by architecture in the support matrix of Transformer Engine
    (nvidia.github.io/TransformerEngine/support_matrix.html).
    ``reported`` is the source of the first, in Markdown; ``sheet`` names the data sheet of the second.
    ``slice`` is the driver's name for a part of a GPU (MIG), which a model has to itself like a small GPU;
    empty for a whole one.
    """

    product: str
    gib: float
    reported: str
    sold_gb: int
    gigabytes_per_second: int
    sheet: str
    capability: tuple[int, int]
    slice: str = ""


_A10 = "[21.99 GiB](https://github.com/zai-org/CogVLM/issues/236)"

_WHOLE: Mapping[str, Gpu] = {
    "A10G-24": Gpu("A10G, 24 GB", 21.9, f"an A10, of the same size: {_A10}", 24, 600, "NVIDIA A10", (8, 6)),
    "L4-24": Gpu(
        "L4, 24 GB",
        21.9,
        f"an A10, of [the same size](https://github.com/vllm-project/vllm/issues/4959): {_A10}",
        24,
        300,
        "NVIDIA L4",
        (8, 9),
    ),
    "RTX-4090-24": Gpu(
        "RTX 4090, 24 GB",
        23.5,
        "[23.52 GiB](https://github.com/Soul-AILab/SoulX-FlashTalk/issues/5)",
        24,
        1008,
        "NVIDIA Ada GPU architecture",
        (8, 9),
    ),
    "A100-40": Gpu(
        "A100, 40 GB",
        39.5,
        "[39.50 GiB](https://github.com/TianheWu/CoSeR/issues/10)",
        40,
        1555,
        "NVIDIA A100, SXM",
        (8, 0),
    ),
    "L40S-48": Gpu(
        "L40S, 48 GB",
        44.3,
        "an L40, of the same size: [44.40 GiB](https://github.com/QwenLM/Qwen3-VL/issues/2097)",
        48,
        864,
        "NVIDIA L40S",
        (8, 9),
    ),
    "RTX-6000-Ada-48": Gpu(
        "RTX 6000 Ada, 48 GB",
        44.4,
        "with ECC: [44.43 GiB](https://github.com/DINGYANB/MTVCrafter/issues/21)",
        48,
        960,
        "NVIDIA RTX 6000 Ada",
        (8, 9),
    ),
    "A100-80": Gpu(
        "A100, 80 GB",
        79.1,
        "[79.25 GiB](https://github.com/vllm-project/vllm/issues/20581), planned as the H100",
        80,
        2039,
        "NVIDIA A100 80 GB, SXM",
        (8, 0),
    ),
    "H100-80": Gpu(
        "H100, 80 GB",
        79.1,
        "[79.11 GiB](https://github.com/vllm-project/vllm/issues/27508)",
        80,
        3350,
        "NVIDIA H100, SXM",
        (9, 0),
    ),
    "H200-141": Gpu("H200, 141 GB", 139.7, "139.7 to 139.8 GiB", 141, 4800, "NVIDIA H200, SXM", (9, 0)),
}

_A100 = "[nvidia-smi mig -lgip](https://github.com/NVIDIA/mig-parted/issues/97)"
_H100 = "[nvidia-smi mig -lgip](https://jbarrow.ai/field_notes/nvidia-mig/)"
_H200 = "[nvidia-smi mig -lgip](https://github.com/NVIDIA/mig-parted/issues/120)"
# Slice, its GiB as the driver lists them, and how many of the eight parts of memory it has: each has an eighth of the
# bandwidth too.  Source: NVIDIA, MIG User Guide, "Concepts" and "Supported Profiles".
_SLICES = (
    ("A100-80", _A100, (("1g.10gb", 9.5, 1), ("2g.20gb", 19.5, 2), ("3g.40gb", 39.2, 4))),
    ("H100-80", _H100, (("1g.10gb", 9.7, 1), ("1g.20gb", 19.6, 2), ("2g.20gb", 19.6, 2), ("3g.40gb", 39.5, 4))),
    ("H200-141", _H200, (("1g.18gb", 16.0, 1), ("1g.35gb", 32.2, 2), ("2g.35gb", 32.2, 2), ("3g.71gb", 69.5, 4))),
)


def _slices() -> Iterator[tuple[str, Gpu]]:
    for name, reported, parts in _SLICES:
        whole = _WHOLE[name]
        for part, gib, eighths in parts:
            sold, bandwidth = int(part.partition(".")[2].removesuffix("gb")), whole.gigabytes_per_second * eighths // 8
            yield (
                f"{name}-{part}",
                replace(
                    whole,
                    product=f"{whole.product}, slice {part}",
                    gib=gib,
                    reported=reported,
                    sold_gb=sold,
                    gigabytes_per_second=bandwidth,
                    slice=part,
                ),
            )


GPUS: Mapping[str, Gpu] = {**_WHOLE, **dict(_slices())}


def overhead_gib(gpus: int) -> float:
    """What activations, CUDA graphs, NCCL and the CUDA context take of each of ``gpus``, in GiB.

    An estimate, which docs/serving-profiles.md explains; only a start on the real GPU replaces it.
    """
    return next(size for most, size in _OVERHEAD_GIB.items() if gpus <= most)
