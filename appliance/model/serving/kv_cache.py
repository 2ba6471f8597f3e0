"""Which GPUs can keep keys and values in eight bits (``kv_cache_dtype``), by their compute capability.

vLLM 0.32.0 (``v1/attention/backends/triton_attn.py``, ``flash_attn.py``, ``fa_utils.py``): FlashAttention takes FP8
on Hopper alone and never E5M2, Triton from 8.9 on.  FlashInfer takes it on older GPUs as well, but only where its
kernels are in the image, which nothing here knows; so older ones are refused.
"""

from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.gpus import GPUS

FP8_FROM = (8, 9)
# Their attention has a ``BaseKVCacheMethod``; modelopt has several forms (``layers/quantization/``).
_WITH_SCALES = ("fp8", "modelopt", "quark")


def kv_needs(dtype: str) -> tuple[int, int] | None:
    """The oldest compute capability, major and minor, of GPUs that keep them so; None where every GPU does."""
    return FP8_FROM if dtype.startswith("fp8") else None


def check_kv_on_gpu(dtype: str, gpu: str | None) -> None:
    """Raise ValueError where a GPU of the table cannot keep them so; others are judged where they are, by preflight."""
    needs, known = kv_needs(dtype), GPUS.get(gpu or "")
    if needs and known and known.capability < needs:
        raise ValueError(
            f"kv_cache_dtype {dtype} needs compute capability {shown(needs)}, and {gpu} has {shown(known.capability)}: "
            "write auto, or take another GPU"
        )


def check_kv_of_weights(dtype: str, weights: ModelFacts) -> None:
    """Raise ValueError for E5M2 beside weights whose form may bring scales, which are for E4M3.

    vLLM does not start then (``layers/attention/attention.py``, ``_init_kv_cache_quant``), whether they bring any or
    not.  Of compressed-tensors alone it looks.  It starts where it makes FP8 of other weights itself.
    """
    form = weights.quantization or ""
    named = f"{form} with a kv_cache_scheme" if weights.kv_scales and form == "compressed-tensors" else form
    if dtype == "fp8_e5m2" and (named != form or form.startswith(_WITH_SCALES)):
        raise ValueError(
            f"kv_cache_dtype fp8_e5m2 does not go with weights quantised as {named}: write fp8, which is fp8_e4m3"
        )


def shown(capability: tuple[int, int]) -> str:
    """As NVIDIA writes it: ``8.9``."""
    return ".".join(map(str, capability))
