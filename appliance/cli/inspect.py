"""``appliance inspect``: a bundle, a definition or a lock at a glance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from appliance.cli.contents import CsvTable, contents_as_json, csv_of, show_contents
from appliance.cli.output import JsonOption, err, out, out_json, printable, show_text, size
from appliance.cli.tallies import show_tallies, tallies_as_json
from appliance.errors import BadInput
from appliance.model.serving.memory import GIB, MemoryPlan
from appliance.steps.inspect import bundle as inspect_step
from appliance.steps.inspect.definition import (
    DefinitionPlan,
    PlannedArtifact,
    PlannedServing,
    plan_definition,
    plan_lock,
    plan_serving,
)

_SHOWN_FILES = 5  # of each locked artifact, the largest first
_SHOWN_SOURCE = 240  # characters
_STATE_STYLE = {"current": "green", "stale": "yellow", "absent": "yellow"}


def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A bundle (its directory), a definition or a lock.")],
    as_json: JsonOption = False,
    csv: Annotated[
        CsvTable | None, typer.Option("--csv", help="Print a table of the bundle as CSV on standard output.")
    ] = None,
) -> None:
    """Show what a bundle, a definition or a lock holds, without contacting any source.

    For a bundle: artifacts, sizes, sources, what is in each, known vulnerabilities, waivers, licences, provenance and
    signers, as the bundle itself claims; `appliance verify` checks them. For a definition: what it includes, where each
    artifact's section is, sources, licences, the state of the lock, and for each model vLLM's arguments and how much
    fits on its GPUs. For a lock: files, sizes and digests.

    Examples: `appliance inspect dist/demo-1.0.0`, `appliance inspect dist/demo-1.0.0 --csv parts`,
    `appliance inspect bundles/llama-3.1-8b.yaml`
    """
    if csv and (as_json or not path.is_dir()):
        raise BadInput("usage", "--csv is of a bundle, and without --json", where=str(path))
    if path.is_dir():
        claim = inspect_step.inspect(path)
        if csv:
            out(csv_of(claim, csv).removesuffix("\n"))
            _show_not_verified()
        elif as_json:
            out_json(_claim_as_json(claim))
        else:
            _show_claim(claim)
        return
    is_lock = path.name.endswith(".lock.yaml")
    plan = plan_lock(path) if is_lock else plan_definition(path)
    if as_json:
        out_json(_plan_as_json(plan, "lock" if is_lock else "definition"))
    elif is_lock:
        _show_lock(plan)
    else:
        _show_definition(plan)


def _show_claim(claim: inspect_step.Claim) -> None:
    console = _console()
    predicate = claim.predicate
    console.print(f"[bold]{predicate.name} {predicate.version}[/]")
    show_text(console, claim.index.description)
    console.print(f"created {predicate.created}, expires {predicate.expires}, previous {predicate.previous or 'none'}")
    console.print(f"{predicate.files} files, {size(predicate.bytes)}\n")
    table = Table("artifact", "files", "size", "licence", "source", box=None, pad_edge=False, header_style="bold")
    for artifact in claim.index.artifacts:
        total = size(sum(file.size for file in artifact.files))
        cells = (f"{artifact.kind}/{artifact.name}", artifact.licence, " ".join(artifact.source.values())[:120])
        name, licence, source = (printable(cell) for cell in cells)
        table.add_row(name, str(len(artifact.files)), total, licence, source)
    console.print(table)
    show_contents(console, claim)
    _show_serving(console, plan_serving(claim.index.serving))
    console.print(f"\nsignatures by root version {claim.root_version}")
    show_tallies(console, claim.tallies, claim.labels)
    for path, problem in claim.strays:
        console.print(f"  [red]refused[/] {printable(path)}: {printable(problem)}", soft_wrap=True)
    if claim.demo:
        console.print("[bold yellow]this bundle's root holds DEMO keys: not for production[/]")
    _show_not_verified()


def _show_not_verified() -> None:
    err().print("not verified: run appliance verify DIR --root ROOT.json")


def _show_definition(plan: DefinitionPlan) -> None:
    console = _console()
    _show_head(console, plan)
    console.print(f"lock: {_state(plan.state)}")
    for artifact in plan.artifacts:
        _show_artifact(console, artifact, f"lock {_state(artifact.state)}  ")
    for name in plan.dropped:
        console.print(f"\n[yellow]the lock has an entry that the definition lacks:[/] {printable(name)}")
    _show_serving(console, plan.serving)


def _show_lock(plan: DefinitionPlan) -> None:
    console = _console()
    _show_head(console, plan)
    for artifact in plan.artifacts:
        _show_artifact(console, artifact, "")
        files = artifact.locked.files if artifact.locked else ()
        for file in sorted(files, key=lambda entry: (-entry.size, entry.path))[:_SHOWN_FILES]:
            console.print(f"  {file.sha256}  {size(file.size):>10}  {printable(file.path)}", soft_wrap=True)
        if (more := len(files) - _SHOWN_FILES) > 0:
            console.print(f"  and {more} more")


def _show_artifact(console: Console, artifact: PlannedArtifact, state: str) -> None:
    sizes = ""
    if locked := artifact.locked:
        sizes = f"{len(locked.files)} files, {size(sum(file.size for file in locked.files))}"
        if locked.inputs:
            sizes += f", made from {size(sum(file.size for file in locked.inputs))}"
        sizes += "  "
    console.print(f"\n[bold]{printable(artifact.id)}[/]  {state}{sizes}".rstrip(), soft_wrap=True)
    if artifact.file:
        show_text(console, f"{artifact.file}:{artifact.line}")
    show_text(console, f"licence: {artifact.licence}")
    show_text(console, artifact.source[:_SHOWN_SOURCE])


def _state(state: str) -> str:
    return f"[{_STATE_STYLE[state]}]{state}[/]"


def _show_head(console: Console, plan: DefinitionPlan) -> None:
    console.print(f"[bold]{plan.head.name} {plan.head.version}[/]")
    show_text(console, plan.head.description)
    for file in plan.included:
        console.print(f"includes {file.sha256}", soft_wrap=True)
        show_text(console, file.path)


def _show_serving(console: Console, serving: Sequence[PlannedServing]) -> None:
    for served in serving:
        profile = served.profile
        where = f"{profile.gpus} x {profile.gpu or 'GPU'}" if profile.gpus else "CPU"
        console.print(f"\n[bold]serves {printable(served.name)}[/]  {profile.task}, {printable(where)}", soft_wrap=True)
        console.print(f"  weights {printable(profile.weights)}, image {printable(profile.image)}", soft_wrap=True)
        if served.memory:
            _show_memory(console, served.memory)
        elif profile.gpus:
            console.print("  the memory plan comes from the model's files: lock them, or run appliance plan")
        console.print(f"  alerts beyond {_figures(served.thresholds)}", soft_wrap=True)
        console.print(f"  vllm serve MODEL {printable(' '.join(served.arguments))}", soft_wrap=True)


def _figures(thresholds: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {figure:g}" for name, figure in thresholds.items())


def _show_memory(console: Console, memory: MemoryPlan) -> None:
    budget, weights, overhead, kv = (
        f"{count / GIB:.1f} GiB" for count in (memory.budget, memory.weights, memory.overhead, memory.kv_available)
    )
    left = "KV" if memory.keeps else "left"
    console.print(f"  of each GPU {budget}: weights {weights}, overhead {overhead}, {left} {kv}", soft_wrap=True)
    if not memory.keeps:
        console.print("  an encoder: it reads each text whole, and keeps no keys and values", soft_wrap=True)
        return
    console.print(
        f"  {memory.kv_per_token / 1024:.0f} KiB of KV a token: {memory.tokens} tokens fit, "
        f"{memory.sequences:.1f} sequences of {memory.max_model_len}",
        soft_wrap=True,
    )


def _console() -> Console:
    return Console(highlight=False)


def _keys(claim: inspect_step.Claim, keyids: Sequence[str]) -> list[dict[str, str]]:
    return [{"keyid": keyid, "label": claim.labels[keyid]} for keyid in keyids]


def _claim_as_json(claim: inspect_step.Claim) -> dict[str, object]:
    release = claim.tallies[0]
    return {
        "ok": True,
        "verified": False,
        "statement": claim.predicate.model_dump(mode="json"),
        "bundle": claim.index.model_dump(mode="json", by_alias=True),
        "serving": _serving_as_json(plan_serving(claim.index.serving)),
        "signers": _keys(claim, release.signed),
        "missing": _keys(claim, release.missing),
        "threshold": release.threshold,
        "complete": all(role.met for role in claim.tallies) and not claim.strays,
        "roles": tallies_as_json(claim.tallies, claim.labels),
        "refused": [{"path": path, "what": problem} for path, problem in claim.strays],
        "root_version": claim.root_version,
        "demo": claim.demo,
        **contents_as_json(claim),
    }


def _plan_as_json(plan: DefinitionPlan, what: str) -> dict[str, object]:
    return {
        "ok": True,
        what: plan.head.model_dump(mode="json", by_alias=True),
        "included": [file.model_dump(mode="json") for file in plan.included],
        "lock_state": plan.state,
        "artifacts": [_artifact_as_json(artifact) for artifact in plan.artifacts],
        "dropped": list(plan.dropped),
        "serving": _serving_as_json(plan.serving),
    }


_NO_FILES = {"inputs": None, "files": None}  # of an artifact that is not locked


def _artifact_as_json(artifact: PlannedArtifact) -> dict[str, object]:
    locked = artifact.locked
    return {
        "artifact": artifact.id,
        "section": {"file": str(artifact.file), "line": artifact.line} if artifact.file else None,
        "licence": artifact.licence,
        "source": artifact.source,
        "lock_state": artifact.state,
        **(locked.model_dump(mode="json", include={"inputs", "files"}, exclude_none=True) if locked else _NO_FILES),
    }


def _serving_as_json(serving: Sequence[PlannedServing]) -> list[dict[str, object]]:
    return [
        {
            "name": served.name,
            "arguments": list(served.arguments),
            "memory": _memory_as_json(served.memory),
            "thresholds": dict(served.thresholds),
        }
        for served in serving
    ]


def _memory_as_json(memory: MemoryPlan | None) -> dict[str, object] | None:
    """Bytes of each GPU, and what fits."""
    if memory is None:
        return None
    return {
        "budget": memory.budget,
        "weights": memory.weights,
        "overhead": memory.overhead,
        "kv_available": memory.kv_available,
        "kv_per_token": memory.kv_per_token,
        "kv_per_sequence": memory.kv_per_sequence,
        "tokens": memory.tokens if memory.keeps else None,
        "sequences": round(memory.sequences, 2) if memory.keeps else None,
    }
