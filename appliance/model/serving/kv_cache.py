"""Which GPUs can keep keys and values in eight bits (``kv_cache_dtype``), by their compute capability.

vLLM 0.32.0 (``v1/attention/backends/triton_attn.py``, ``flash_attn.py``, ``fa_utils.py``): FlashAttention takes FP8
on Hopper alone and never E5M2, Triton from 8.9 on.  FlashInfer takes it on older GPUs as well, but only where its
kernels are in the image, which nothing here knows; so older ones are refused.
"""

from collections.abc import Mapping

from appliance.model.serving.gpus import GPUS

FP8_FROM = (8, 9)

# NVIDIA, "CUDA GPU Compute Capability" (developer.nvidia.com/cuda/gpus); the same by architecture in the support
# matrix of Transformer Engine (nvidia.github.io/TransformerEngine/support_matrix.html).
CAPABILITIES: Mapping[str, tuple[int, int]] = {
    "A10G-24": (8, 6),
    "L4-24": (8, 9),
    "RTX-4090-24": (8, 9),
    "A100-40": (8, 0),
    "L40S-48": (8, 9),
    "RTX-6000-Ada-48": (8, 9),
    "A100-80": (8, 0),
    "H100-80": (9, 0),
    "H200-141": (9, 0),
}
"""Major and minor of each whole GPU of the table (``gpus.py``)."""


def check_kv_on_gpu(dtype: str, gpu: str | None) -> None:
    """Raise ValueError where a GPU of the table cannot keep them so; of others nothing is known."""
    known = GPUS.get(gpu or "")
    # A slice computes as its GPU does.
    whole = gpu.removesuffix(f"-{known.slice}") if gpu and known and known.slice else gpu
    has = CAPABILITIES.get(whole or "")
    if dtype.startswith("fp8") and has and has < FP8_FROM:
        raise ValueError(
            f"kv_cache_dtype {dtype} needs compute capability {_shown(FP8_FROM)}, and {gpu} has {_shown(has)}: "
            "write auto, or take another GPU"
        )


def check_kv_of_weights(dtype: str, quantizations: set[str | None]) -> None:
    """Raise ValueError for E5M2 beside weights in FP8: vLLM refuses it too (``layers/attention/attention.py``)."""
    if dtype == "fp8_e5m2" and "fp8" in quantizations:
        raise ValueError("kv_cache_dtype fp8_e5m2 does not go with weights in FP8: write fp8, which is fp8_e4m3")


def _shown(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
