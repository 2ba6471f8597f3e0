"""Whether weights can guess the tokens of a model, by the files of both; and what guessing takes of a GPU's memory.

Source of what vLLM 0.32.0 wants: ``config/speculative.py`` (``verify_equal_vocab_size_if_draft_model``) and
``model_executor/models/llama_eagle3.py``.  Where they do not match, vLLM does not start, or guesses what is
never right; an answer is the model's own in any case, because it checks each guess.
"""

from appliance.model.serving.facts import ModelFacts
from appliance.model.serving.memory import GuessFacts
from appliance.model.serving.speculation import Speculation


def guess_facts(speculation: Speculation, model: ModelFacts | None, draft: ModelFacts | None) -> GuessFacts:
    """What the memory plan counts.  Raises ValueError where something is not known, or the two do not match."""
    if model is None or model.vocabulary is None:
        raise ValueError(
            "speculative_config needs the model's vocab_size: its files were not read, or are of a lock from before; "
            "resolve the weights again"
        )
    if speculation.weights is None:
        return GuessFacts(vocabulary=model.vocabulary)
    if draft is None or draft.vocabulary is None:
        raise ValueError(
            f"the files of weights/{speculation.weights}, which are to guess, were not read, or do not say what a plan "
            "needs: resolve them again, which tells the reason"
        )
    _check_form(speculation, draft)
    if draft.vocabulary != model.vocabulary:
        raise ValueError(
            f"weights/{speculation.weights} guess among {draft.vocabulary} tokens, and the model has "
            f"{model.vocabulary}: both must have one vocabulary"
        )
    if speculation.method != "draft_model" and draft.hidden != model.hidden:
        raise ValueError(
            f"weights/{speculation.weights} were trained for a model with a hidden size of {draft.hidden}, and this "
            f"one has {model.hidden}: they belong to another model"
        )
    return GuessFacts(vocabulary=model.vocabulary, weights_bytes=draft.weights_bytes, attention=draft.attention)


def check_guessing_heads(speculation: Speculation, draft: ModelFacts, tensor_parallel: int) -> None:
    """Raise ValueError where vLLM cannot lay the weights that guess over the GPUs of the model."""
    try:
        draft.check_heads(tensor_parallel)
    except ValueError as error:
        raise ValueError(f"weights/{speculation.weights}, which guess: {error}") from None


def _check_form(speculation: Speculation, draft: ModelFacts) -> None:
    """By the name of the architecture, where that tells."""
    name = draft.architecture.lower()
    form = "eagle3" if "eagle3" in name else "eagle" if "eagle" in name else None
    if form and speculation.method != form:
        raise ValueError(
            f"speculative_config has method {speculation.method}, but weights/{speculation.weights} are "
            f"{draft.architecture}: write method: {form}"
        )
