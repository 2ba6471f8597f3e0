"""Which profiles are accepted, what the refused ones are told, and what vLLM is told."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.model.serving.profile import ServingProfile, arguments, memory_plan
from appliance.model.serving.vllm_options import FLAGS, OPTIONS, SWITCHES, VALUES
from appliance.model.serving.vllm_refusals import REFUSED, REMOVED
from appliance.model.serving.wanted import WantedProfile

CPU: dict[str, Any] = {
    "weights": "tiny",
    "image": "engine",
    "task": "chat",
    "gpus": 0,
    "max_model_len": 4096,
    "enable_prefix_caching": True,
    "enable_chunked_prefill": True,
    "max_num_seqs": 16,
    "max_num_queued_reqs": 64,
}
# Llama 3.1 70B in BF16, on two GPUs of 141 GB
GPU: dict[str, Any] = {
    **CPU,
    "gpus": 2,
    "tensor_parallel_size": 2,
    "max_model_len": 131072,
    "gpu_memory_utilization": 0.92,
    "max_num_batched_tokens": 8192,
    "memory": {
        "gpu_gib": 139.7,
        "overhead_gib": 5.0,
        "weights_bytes": 141_107_412_992,
        "attention": ({"layers": 80, "kv_heads": 8, "head_dim": 128},),
    },
}


def refused(**changes: Any) -> str:
    base = GPU if "gpus" not in changes else CPU
    with pytest.raises(ValidationError) as caught:
        ServingProfile(**{**base, **changes})
    return str(caught.value.errors()[0]["msg"]).removeprefix("Value error, ")


def test_profiles_for_cpu_and_gpu_are_accepted() -> None:
    assert memory_plan(ServingProfile(**CPU)) is None
    plan = memory_plan(ServingProfile(**GPU))
    assert plan is not None
    assert plan.fits


@pytest.mark.parametrize("field", ["memory", "gpu_memory_utilization", "max_num_batched_tokens"])
def test_a_gpu_profile_has_to_state_what_the_plan_needs(field: str) -> None:
    assert refused(**{field: None}) == f"a GPU profile must have {field}"


def test_a_cpu_profile_plans_no_gpu() -> None:
    assert "no memory" in refused(gpus=0, memory=GPU["memory"])


def test_gpus_have_to_match_the_parallel_sizes() -> None:
    assert "is 2, but the profile takes gpus: 4" in refused(**{**GPU, "gpus": 4})
    assert "tensor_parallel_size 1" in refused(gpus=0, tensor_parallel_size=2)


def test_a_model_that_does_not_fit_is_refused_with_the_figures() -> None:
    message = refused(memory={**GPU["memory"], "gpu_gib": 79.1})
    for figure in ("72.8 GiB of each GPU", "65.7 GiB of weights", "leave 2.1 GiB", "131072 tokens takes 20.0 GiB"):
        assert figure in message
    assert "lower max_model_len (about 13" in message


def test_weights_that_are_too_large_alone_are_not_helped_by_a_shorter_context() -> None:
    message = refused(memory={**GPU["memory"], "gpu_gib": 40.0})
    assert "does not fit" in message
    assert "max_model_len" not in message


def test_kv_in_eight_bits_lets_a_model_fit() -> None:
    tight = {**GPU, "memory": {**GPU["memory"], "gpu_gib": 79.1}, "max_model_len": 16384}
    assert "does not fit" in refused(**{key: tight[key] for key in ("memory", "max_model_len")})
    assert ServingProfile(**{**tight, "kv_cache_dtype": "fp8"})


def test_kv_heads_that_cannot_be_divided_are_refused() -> None:
    three = {**GPU, "gpus": 3, "tensor_parallel_size": 3}
    assert "8 KV heads cannot be spread over tensor_parallel_size 3" in refused(**three)


def test_a_batch_has_to_take_what_vllm_wants_it_to() -> None:
    assert "less than max_num_seqs" in refused(max_num_batched_tokens=16, max_num_seqs=32)
    assert "without enable_chunked_prefill" in refused(enable_chunked_prefill=False)


OPTION_MISTAKES = {
    "removed": ("swap-space", 4, "vLLM 0.32.0 has no option --swap-space: vLLM no longer has CPU swap"),
    "misspelt": ("blok-size", 16, "did you mean 'block-size'?"),
    "unlike any": ("xyzzy", 1, "vLLM 0.32.0 has no option --xyzzy"),
    "negated": ("no-enforce-eager", True, "--no-enforce-eager must be written as enforce-eager: false"),
    "dashes": ("--seed", 1, "without leading dashes"),
    "underscores": ("block_size", 16, "is not an option"),
    "abbreviation": ("trust-remote", True, "has no option --trust-remote"),
    "second name": ("device-memory-utilization", 0.5, "has no option"),
    "remote code": ("trust-remote-code", True, "is not allowed in a profile: it can load code by name"),
    "code in a JSON value": ("compilation-config", '{"backend": "a.b"}', "it can load code by name"),
    "options file": ("config", "/etc/x.yaml", "nobody has checked"),
    "address": ("host", "0.0.0.0", "the site decides"),  # noqa: S104
    "egress": ("otlp-traces-endpoint", "http://a", "sends data elsewhere"),
    "sleep": ("enable-sleep-mode", True, "it opens routes that the gateway does not guard"),
    "unplanned memory": ("kv-cache-memory-bytes", 1, "the memory plan does not count it"),
    "own field": ("max-num-seqs", 1, "has a field of its own: max_num_seqs"),
    "flag with a value": ("enforce-eager", "yes", "--enforce-eager takes true or false"),
    "value without one": ("seed", True, "--seed takes a value"),
    "option in a value": ("reasoning-parser", "--trust-remote-code", "starts with '-'"),
    "two lines": ("reasoning-parser", "a\nb", "not one line of text"),
    "empty": ("reasoning-parser", "", "is empty"),
}


@pytest.mark.parametrize(("option", "value", "message"), OPTION_MISTAKES.values(), ids=OPTION_MISTAKES.keys())
def test_an_option_that_cannot_stand_is_refused_with_the_reason(option: str, value: object, message: str) -> None:
    assert message in refused(options={option: value})


def test_the_lists_of_options_agree() -> None:
    assert REFUSED.keys() <= OPTIONS
    assert not REMOVED.keys() & OPTIONS
    assert len(FLAGS) + len(SWITCHES) + len(VALUES) == len(OPTIONS)
    for reason in REMOVED.values():
        for successor in re.findall(r"^use ([a-z-]+)$", reason):
            assert successor in OPTIONS - REFUSED.keys()


def test_arguments_say_everything_that_the_profile_says() -> None:
    profile = ServingProfile(**{**GPU, "kv_cache_dtype": "fp8", "options": {"seed": 7, "block-size": 16}})
    assert arguments(profile, "llama") == (
        "--served-model-name",
        "llama",
        "--runner",
        "generate",
        "--load-format",
        "safetensors",
        "--dtype",
        "auto",
        "--tensor-parallel-size",
        "2",
        "--pipeline-parallel-size",
        "1",
        "--gpu-memory-utilization",
        "0.92",
        "--kv-cache-dtype",
        "fp8",
        "--max-model-len",
        "131072",
        "--max-num-seqs",
        "16",
        "--max-num-batched-tokens",
        "8192",
        "--max-num-queued-reqs",
        "64",
        "--enable-prefix-caching",
        "--enable-chunked-prefill",
        "--block-size",
        "16",
        "--seed",
        "7",
    )


def test_arguments_turn_flags_off_by_name_and_leave_switches_out() -> None:
    off = {"enable_prefix_caching": False, "options": {"enforce-eager": False, "disable-log-stats": False}}
    said = arguments(ServingProfile(**{**CPU, **off, "task": "embedding"}), "tiny")
    assert "--no-enable-prefix-caching" in said
    assert "--no-enforce-eager" in said
    assert "--disable-log-stats" not in said
    assert said[said.index("--runner") + 1] == "pooling"
    on = arguments(ServingProfile(**{**CPU, "options": {"disable-log-stats": True}}), "tiny")
    assert on[-1] == "--disable-log-stats"


def test_every_word_of_the_arguments_is_an_option_of_vllm_or_its_value() -> None:
    said = arguments(ServingProfile(**GPU), "llama")
    names = {word.removeprefix("--").removeprefix("no-") for word in said if word.startswith("--")}
    assert names <= OPTIONS


def test_a_parser_that_vllm_does_not_have_is_refused_in_a_definition() -> None:
    def problem(**options: object) -> str:
        with pytest.raises(ValidationError) as caught:
            WantedProfile(**{**CPU, "options": options})
        return str(caught.value.errors()[0]["msg"]).removeprefix("Value error, ")

    near = problem(**{"tool-call-parser": "llama3-json"})
    assert near == "vLLM 0.32.0 has no --tool-call-parser 'llama3-json': did you mean 'llama3_json'?"
    assert "it has cohere_command3" in problem(**{"reasoning-parser": "zzz"})
    assert "needs a tool-call-parser" in problem(**{"enable-auto-tool-choice": True})
    WantedProfile(**{**CPU, "options": {"enable-auto-tool-choice": True, "tool-call-parser": "hermes"}})
