"""``appliance plan``."""

from collections.abc import Sequence
from typing import Annotated

import typer

from appliance.cli.build import CacheOption, DefinitionArgument, QuietOption, WeightsOption, open_cache
from appliance.cli.output import JsonOption, TerminalProgress, out, out_json, size
from appliance.errors import Failed
from appliance.model.serving.memory import GIB
from appliance.model.serving.sizing import Answer
from appliance.model.visible import shown
from appliance.steps import plan as plan_step
from appliance.steps.plan import DefinitionAnswers, PlannedModel

_HEADS = ("GPU", "n", "fits", "KV", "longest", "full", "one", "all", "RAM", "load")


def plan(
    definition: DefinitionArgument,
    gpu: Annotated[
        list[str] | None,
        typer.Option("--gpu", metavar="NAME", help="Plan for this GPU instead, such as L40S-48; repeatable."),
    ] = None,
    read_rate: Annotated[
        float, typer.Option("--read-rate", metavar="GB/S", min=0.01, help="What the host's disk reads in a second.")
    ] = 1.0,
    weights: WeightsOption = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say which GPUs a definition's models fit on, and what to expect, before anything is bought.

    Plans for the GPUs that the definition names, or with `--gpu` for the fewest of each type that hold the model. What
    has to be known of a model comes from the lock; without one, it is asked of the source as `appliance lock` does, and
    no lock is written. Speeds are upper bounds by memory bandwidth. Exit code 1 if a model does not fit.

    Example: `appliance plan bundles/llama-3.1-8b.yaml --gpu H100-80 --gpu L40S-48 --gpu RTX-4090-24`
    """
    progress = TerminalProgress(quiet=quiet or as_json)
    answers = plan_step.plan(definition, open_cache(cache), progress, gpus=gpu or (), weights=weights)
    if as_json:
        out_json(_as_json(answers, read_rate))
    else:
        _show(answers, read_rate)
    if not answers.fits:
        raise typer.Exit(Failed.exit_code)


def _show(answers: DefinitionAnswers, read_rate: float) -> None:
    for place, model in enumerate(answers.models):
        if place:
            out("")
        facts, wanted = model.facts, model.wanted
        form = f"{facts.quantization}, " if facts.quantization else ""
        out(f"{model.name}: {shown(facts.architecture)}, {form}{shown(facts.dtype)}, context {facts.context}")
        out(f"wants {wanted.max_model_len} tokens of context, {wanted.max_num_seqs} sequences at once\n")
        _show_table([_HEADS, *(_row(answer, model, read_rate) for answer in model.answers)])
        for answer in model.answers:
            if answer.problem:
                out(f"{answer.gpu}: {answer.problem}")
        image = "not locked" if model.image_size is None else size(model.image_size)
        out(f"\ndisk  {size(model.weights_size)} of weights; image {image}, as it is carried")
        out(f"n     GPUs that hold it together; full: sequences of {wanted.max_model_len} tokens at once")
        out("KV    GiB for keys and values on each GPU; longest: tokens of one sequence alone")
        out(f"one   tokens/s of one sequence; all: of {wanted.max_num_seqs} at once. Both are upper bounds")
        out("      by memory bandwidth: what you measure stays below")
        out(f"RAM   GiB of the host; load: seconds to read the weights at {read_rate:g} GB/s")
    for name in answers.on_cpus:
        out(f"{name}: on CPUs, for which there is no such plan")


def _row(answer: Answer, model: PlannedModel, read_rate: float) -> Sequence[str]:
    memory = answer.memory
    return (
        answer.gpu,
        str(answer.gpus),
        "yes" if answer.fits else "no",
        f"{memory.kv_available / GIB:.1f}" if memory else "-",
        str(answer.longest),
        f"{memory.sequences:.1f}" if memory and memory.keeps else "-",
        "-" if answer.most_one is None else f"{answer.most_one:.0f}",
        "-" if answer.most_all is None else f"{answer.most_all:.0f}",
        f"{model.ram(answer) / GIB:.0f}",
        f"{_load_seconds(model, read_rate):.0f}",
    )


def _load_seconds(model: PlannedModel, read_rate: float) -> float:
    return model.loaded_size / (read_rate * 10**9)


def _show_table(rows: Sequence[Sequence[str]]) -> None:
    """The first column to the left, the others to the right; as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        out("  ".join([row[0].ljust(widths[0]), *cells[1:]]))


def _as_json(answers: DefinitionAnswers, read_rate: float) -> dict[str, object]:
    return {
        "ok": answers.fits,
        "definition": answers.name,
        "models": [
            {
                "name": model.name,
                "facts": model.facts.model_dump(mode="json", exclude_none=True),
                "max_model_len": model.wanted.max_model_len,
                "max_num_seqs": model.wanted.max_num_seqs,
                "weights_size": model.weights_size,
                "image_size": model.image_size,
                "load_seconds": round(_load_seconds(model, read_rate), 1),
                "answers": [{**_answer_as_json(answer), "ram": model.ram(answer)} for answer in model.answers],
            }
            for model in answers.models
        ],
        "on_cpus": list(answers.on_cpus),
    }


def _answer_as_json(answer: Answer) -> dict[str, object]:
    memory = answer.memory
    return {
        "gpu": answer.gpu,
        "gpus": answer.gpus,
        "tensor_parallel_size": answer.split.tensor_parallel,
        "pipeline_parallel_size": answer.split.pipeline_parallel,
        "fits": answer.fits,
        "problem": answer.problem or None,
        "weights": memory and memory.weights,
        "overhead": memory and memory.overhead,
        "kv_available": memory and memory.kv_available,
        "kv_per_token": memory and memory.kv_per_token,
        "tokens": memory.tokens if memory and memory.keeps else None,
        "sequences": round(memory.sequences, 2) if memory and memory.keeps else None,
        "longest": answer.longest,
        "most_tokens_per_second_one": answer.most_one and round(answer.most_one, 1),
        "most_tokens_per_second_all": answer.most_all and round(answer.most_all, 1),
    }
