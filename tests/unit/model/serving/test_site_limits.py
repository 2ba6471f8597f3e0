"""A site narrows a signed profile, and never widens it."""

import pytest

from appliance.errors import BadInput
from appliance.model.serving.profile import ServingProfile, arguments
from appliance.model.serving.site_limits import SiteLimits, narrow

PROFILE = ServingProfile(
    weights="tiny",
    image="vllm-cpu",
    task="chat",
    gpus=0,
    max_model_len=4096,
    enable_prefix_caching=True,
    enable_chunked_prefill=False,
    max_num_seqs=16,
    max_num_batched_tokens=4096,
    max_num_queued_reqs=64,
)


def test_smaller_figures_reach_the_command_line() -> None:
    words = arguments(narrow(PROFILE, SiteLimits(max_model_len=1024, max_num_seqs=2), "tiny"), "tiny")
    assert words[words.index("--max-model-len") + 1] == "1024"
    assert words[words.index("--max-num-seqs") + 1] == "2"


def test_nothing_said_leaves_the_profile_as_it_was_signed() -> None:
    assert narrow(PROFILE, SiteLimits(), "tiny") == PROFILE


@pytest.mark.parametrize("field", ["max_model_len", "max_num_seqs", "max_num_batched_tokens", "max_num_queued_reqs"])
def test_a_larger_figure_is_refused_and_the_signed_one_told(field: str) -> None:
    signed = getattr(PROFILE, field)
    assert narrow(PROFILE, SiteLimits(**{field: signed}), "tiny") == PROFILE
    with pytest.raises(
        BadInput, match=rf"{field} {signed + 1}, but the signed profile of tiny allows at most {signed}"
    ):
        narrow(PROFILE, SiteLimits(**{field: signed + 1}), "tiny")


def test_a_figure_that_was_not_signed_cannot_be_narrowed() -> None:
    with pytest.raises(BadInput, match="sets none"):
        narrow(PROFILE, SiteLimits(gpu_memory_utilization=0.2), "tiny")


def test_what_is_left_has_to_be_a_profile() -> None:
    with pytest.raises(BadInput, match="a prompt is one batch"):
        narrow(PROFILE, SiteLimits(max_num_batched_tokens=2048), "tiny")
