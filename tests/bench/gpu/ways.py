"""The ways in which vLLM is started: by the signed profile, and by what is compared with it."""

import json
from collections.abc import Callable, Mapping, Sequence

from appliance.model.serving.profile import arguments
from tests.bench.gpu.models import Shape

PROFILE = "profile"
_NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_min": 2, "prompt_lookup_max": 4}


def profile_words(shape: Shape) -> list[str]:
    """What the site gives vLLM, but for the weights, which nobody has."""
    words = list(arguments(shape.profile, shape.served))
    words[words.index("--load-format") + 1] = "dummy"
    return words


def _defaults(shape: Shape) -> list[str]:
    """vLLM's own, for the same context: by default it takes the model's, which may not fit."""
    profile = shape.profile
    return [
        *("--served-model-name", shape.served, "--load-format", "dummy"),
        *("--tensor-parallel-size", str(profile.tensor_parallel_size), "--max-model-len", str(profile.max_model_len)),
    ]


def _without_prefix_caching(shape: Shape) -> list[str]:
    switch = {"--enable-prefix-caching": "--no-enable-prefix-caching"}
    return [switch.get(word, word) for word in profile_words(shape)]


def _ngram(shape: Shape) -> list[str]:
    return [*profile_words(shape), "--speculative-config", json.dumps(_NGRAM)]


WAYS: Mapping[str, Callable[[Shape], list[str]]] = {
    PROFILE: profile_words,
    "vLLM's defaults": _defaults,
    "without prefix caching": _without_prefix_caching,
    "n-gram speculation": _ngram,
}


def without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """``words`` less ``options`` and their values: an older vLLM ends at an option that it does not have."""
    left: list[str] = []
    leaving = False
    for word in words:
        if word.startswith("--"):
            leaving = word.removeprefix("--") in options
        if not leaving:
            left.append(word)
    return left
