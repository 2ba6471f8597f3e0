"""Speculative decoding: what guesses the next tokens, which the model then checks all in one step.

Keys are those of vLLM's ``--speculative-config`` (``config/speculative.py`` of vLLM 0.32.0), except ``weights``: vLLM
takes a path or the name of a repository, a profile names weights of its own bundle.  What vLLM has beside these
methods either loads code by name (``custom_class``), needs a package that no image here has (``suffix``), or has
not been tried here; it is refused.
"""

import json
from typing import Literal

from pydantic import Field, model_validator

from appliance.model.base import Strict
from appliance.model.names import Name

DRAFT = "/srv/draft"
"""Where a container has the weights that guess; the role vllm mounts them there."""


class Speculation(Strict):
    """One way to guess.

    ``num_speculative_tokens`` are guessed for each step.  ``ngram`` looks for the last ``prompt_lookup_max`` (down to
    ``prompt_lookup_min``, else as many) tokens in what was said before, and guesses what followed there.  The others
    ask ``weights``: ``draft_model`` a small model with the same vocabulary, ``eagle`` and ``eagle3`` layers that were
    trained for this very model.
    """

    method: Literal["ngram", "draft_model", "eagle", "eagle3"]
    num_speculative_tokens: int = Field(ge=1, le=32)
    prompt_lookup_max: int | None = Field(default=None, ge=1, le=64)
    prompt_lookup_min: int | None = Field(default=None, ge=1, le=64)
    weights: Name | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "Speculation":
        if self.method != "ngram":
            if self.weights is None:
                raise ValueError(f"method {self.method} needs weights: name an entry of weights: that guesses")
            if self.prompt_lookup_max or self.prompt_lookup_min:
                raise ValueError(f"prompt_lookup_max and prompt_lookup_min are for ngram, not for {self.method}")
            return self
        if self.weights:
            raise ValueError("method ngram takes no weights: it looks into what was said before")
        if self.prompt_lookup_max is None:
            raise ValueError("method ngram needs prompt_lookup_max: how many tokens have to be the same")
        if self.prompt_lookup_min and self.prompt_lookup_min > self.prompt_lookup_max:
            raise ValueError(
                f"prompt_lookup_min is {self.prompt_lookup_min}, more than prompt_lookup_max {self.prompt_lookup_max}"
            )
        return self

    def argument(self) -> str:
        """The value of ``--speculative-config``: JSON in one line."""
        given = {
            "method": self.method,
            "num_speculative_tokens": self.num_speculative_tokens,
            "prompt_lookup_max": self.prompt_lookup_max,
            "prompt_lookup_min": self.prompt_lookup_min,
            "model": DRAFT if self.weights else None,
        }
        return json.dumps({key: value for key, value in given.items() if value is not None}, separators=(",", ":"))
