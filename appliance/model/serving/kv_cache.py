"""Which GPUs can keep keys and values in eight bits (``kv_cache_dtype``), by their compute capability.

vLLM 0.32.0 (``v1/attention/backends/triton_attn.py``, ``flash_attn.py``, ``fa_utils.py``): FlashAttention takes FP8
on Hopper alone and never E5M2, Triton from 8.9 on.  FlashInfer takes it on older GPUs as well, but only where its
kernels are in the image, which nothing here knows; so older ones are refused.
"""

from appliance.model.serving.gpus import GPUS

FP8_FROM = (8, 9)


def check_kv_on_gpu(dtype: str, gpu: str | None) -> None:
    """Raise ValueError where a GPU of the table cannot keep them so; of others nothing is known."""
    has = GPUS[gpu].capability if gpu and gpu in GPUS else FP8_FROM
    if dtype.startswith("fp8") and has < FP8_FROM:
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
