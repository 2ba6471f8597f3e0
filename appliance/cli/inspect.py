"""``appliance inspect``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from appliance.cli.output import err, out_json, printable, size
from appliance.model.bundle import BundleArtifact
from appliance.steps import inspect as inspect_step


def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Show artifacts, sizes, licences, sources and signers at a glance.

    What is shown is what the bundle says of itself; `appliance verify` checks it.

    Example: `appliance inspect dist/demo-1.0.0`
    """
    claim = inspect_step.inspect(bundle)
    if as_json:
        out_json(_as_json(claim))
        return
    console = Console(highlight=False)
    predicate = claim.predicate
    console.print(f"[bold]{predicate.name} {predicate.version}[/]  {printable(claim.index.description)}")
    console.print(f"created {predicate.created}, expires {predicate.expires}, previous {predicate.previous or 'none'}")
    console.print(f"{predicate.files} files, {size(predicate.bytes)}\n")
    table = Table("artifact", "files", "size", "licence", "source", box=None, pad_edge=False, header_style="bold")
    for artifact in claim.index.artifacts:
        total = size(sum(file.size for file in artifact.files))
        name = f"{artifact.kind}/{artifact.name}"
        table.add_row(name, str(len(artifact.files)), total, printable(artifact.licence), printable(_source(artifact)))
    console.print(table)
    if claim.index.serving:
        console.print()
        profiles = Table(
            "serves", "weights", "image", "task", "GPUs", "context", box=None, pad_edge=False, header_style="bold"
        )
        for name, profile in claim.index.serving.items():
            profiles.add_row(
                name, profile.weights, profile.image, profile.task, str(profile.gpus), str(profile.max_model_len)
            )
        console.print(profiles)
    console.print(f"\nroot version {claim.root_version}, {claim.threshold} signatures needed")
    for keyid, label in claim.signers:
        console.print(f"  [green]signed[/]   {keyid}  {printable(label)}", soft_wrap=True)
    for keyid, label in claim.missing:
        console.print(f"  [yellow]missing[/]  {keyid}  {printable(label)}", soft_wrap=True)
    if claim.demo:
        console.print("[bold yellow]this bundle's root holds DEMO keys: not for production[/]")
    err().print("not verified: run appliance verify DIR --root ROOT.json")


def _source(artifact: BundleArtifact) -> str:
    return " ".join(artifact.source.values())[:120]


def _as_json(claim: inspect_step.Claim) -> dict[str, object]:
    return {
        "ok": True,
        "verified": False,
        "statement": claim.predicate.model_dump(mode="json"),
        "bundle": claim.index.model_dump(mode="json", by_alias=True),
        "signers": [{"keyid": keyid, "label": label} for keyid, label in claim.signers],
        "missing": [{"keyid": keyid, "label": label} for keyid, label in claim.missing],
        "threshold": claim.threshold,
        "root_version": claim.root_version,
        "demo": claim.demo,
    }
