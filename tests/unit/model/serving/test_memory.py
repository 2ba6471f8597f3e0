"""The memory plan against figures that are known from elsewhere."""

import pytest

from appliance.model.serving.memory import GIB, AttentionLayers, Limits, MemoryFacts, MemoryPlan, Split, plan_memory

KIB = 1024
LLAMA_70B = AttentionLayers(layers=80, kv_heads=8, head_dim=128)
LLAMA_8B = AttentionLayers(layers=32, kv_heads=8, head_dim=128)
DEEPSEEK_V3 = AttentionLayers(layers=61, kv_heads=1, head_dim=512 + 64, value_head_dim=0)


def plan(
    *groups: AttentionLayers,
    tensor_parallel: int = 1,
    pipeline_parallel: int = 1,
    kv_bytes: int = 2,
    max_model_len: int = 4096,
    gpu_gib: float = 80.0,
    weights_bytes: int = GIB,
    overhead_gib: float = 1.0,
) -> MemoryPlan:
    facts = MemoryFacts(
        gpu_gib=gpu_gib, overhead_gib=overhead_gib, weights_bytes=weights_bytes, attention=tuple(groups)
    )
    limits = Limits(0.5, max_model_len, max_num_batched_tokens=1000, kv_bytes=kv_bytes)
    return plan_memory(facts, Split(tensor_parallel, pipeline_parallel), limits)


@pytest.mark.parametrize(
    ("group", "per_token"),
    [(LLAMA_70B, 320 * KIB), (LLAMA_8B, 128 * KIB), (DEEPSEEK_V3, round(68.625 * KIB))],
    ids=["70B", "8B", "latent attention"],
)
def test_a_token_takes_what_is_published_for_the_model(group: AttentionLayers, per_token: int) -> None:
    assert plan(group).kv_per_token == per_token


def test_a_sequence_takes_its_length() -> None:
    assert plan(LLAMA_70B, max_model_len=4096).kv_per_sequence == 1.25 * GIB
    assert plan(LLAMA_70B, max_model_len=131072).kv_per_sequence == 40 * GIB


def test_eight_bit_keys_and_values_take_half() -> None:
    assert plan(LLAMA_70B, kv_bytes=1).kv_per_token == 160 * KIB


def test_gpus_share_the_kv_heads_until_each_has_one() -> None:
    shares = [plan(LLAMA_70B, tensor_parallel=gpus).kv_per_token // KIB for gpus in (1, 2, 8, 16)]
    assert shares == [320, 160, 40, 40]


def test_the_latent_vector_of_mla_is_on_every_gpu() -> None:
    assert plan(DEEPSEEK_V3, tensor_parallel=8).kv_per_token == plan(DEEPSEEK_V3).kv_per_token


def test_kv_heads_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ValueError, match="8 KV heads cannot be spread over tensor_parallel_size 3"):
        plan(LLAMA_70B, tensor_parallel=3)


def test_a_pipeline_shares_layers_and_weights() -> None:
    assert plan(LLAMA_70B, pipeline_parallel=4).kv_per_token == 80 * KIB
    assert plan(LLAMA_70B, tensor_parallel=2, pipeline_parallel=4).weights == GIB // 8


def test_a_sliding_window_bounds_what_a_long_sequence_takes() -> None:
    windowed = AttentionLayers(layers=10, kv_heads=1, head_dim=64, window=1024)
    per_token = 10 * 2 * 64 * 2
    assert plan(windowed, max_model_len=500).kv_per_sequence == 500 * per_token
    # the window, and what may be in flight: two batches of 1000
    assert plan(windowed, max_model_len=100_000).kv_per_sequence == (1023 + 2000) * per_token
    mixed = plan(windowed, LLAMA_8B, max_model_len=100_000)
    assert mixed.kv_per_sequence == (1023 + 2000) * per_token + 100_000 * 128 * KIB


def test_what_is_left_after_weights_and_overhead_is_for_tokens() -> None:
    made = plan(LLAMA_8B, gpu_gib=80.0, weights_bytes=15 * GIB, overhead_gib=5.0)
    assert (made.budget, made.kv_available) == (40 * GIB, 20 * GIB)
    assert made.tokens == 20 * GIB // (128 * KIB)
    assert made.sequences == made.tokens / 4096
    assert made.fits


def test_vllm_counts_the_same() -> None:
    """vLLM 0.32.0 logs this for bundles/tiny-chat with 1 GiB of KV: 2,097,152 tokens, 512.00x of 4,096."""
    tiny_chat = AttentionLayers(layers=2, kv_heads=2, head_dim=32)
    made = plan(tiny_chat, gpu_gib=6.0, weights_bytes=GIB, overhead_gib=1.0)
    assert (made.kv_available, made.tokens, made.sequences) == (GIB, 2_097_152, 512.0)


def test_less_than_nothing_left_is_no_token() -> None:
    made = plan(LLAMA_8B, gpu_gib=8.0, weights_bytes=15 * GIB)
    assert made.kv_available < 0
    assert (made.tokens, made.sequences, made.fits) == (0, 0.0, False)


def test_an_encoder_needs_room_for_its_weights_alone() -> None:
    made = plan(weights_bytes=38 * GIB, gpu_gib=80)
    assert (made.fits, made.keeps, made.kv_available, made.tokens, made.sequences) == (True, False, GIB, 0, 0.0)
    assert not plan(weights_bytes=40 * GIB, gpu_gib=80).fits
