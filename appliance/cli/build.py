"""``appliance lock`` and ``appliance build``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.key_options import KEY_HELP, PassphraseFile
from appliance.cli.output import JsonOption, TerminalProgress, err, out, out_json, printable, size
from appliance.cli.signers import load_signer
from appliance.errors import BadInput
from appliance.formats.pkcs11_uri import is_pkcs11_uri
from appliance.steps import build as build_step
from appliance.steps import lock as lock_step
from appliance.steps.documents.chain import read_chain
from appliance.steps.documents.lock import lock_path
from appliance.steps.keys import root_path
from appliance.store.cache import Cache

DefinitionArgument = Annotated[Path, typer.Argument(metavar="DEFINITION", help="The definition, bundles/NAME.yaml.")]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", envvar="APPLIANCE_CACHE", help="Content-addressed cache [default: ~/.cache/appliance]."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="DIRECTORY",
        envvar="APPLIANCE_WEIGHTS",
        help="Look here first for each `directory:` of weights, then beside the definition.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]


def open_cache(cache: Path | None) -> Cache:
    """The cache that was asked for, or the user's own."""
    if cache is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "appliance"
    return Cache(cache)


def lock(
    definition: DefinitionArgument,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KIND/NAME", help="Resolve this artifact, changed or not; repeatable."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Resolve every artifact, changed or not, to what is newest now.")
    ] = False,
    weights: WeightsOption = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Resolve every reference of a definition to digests and sizes.

    Writes NAME.lock.yaml beside the definition. An entry is resolved again when its section of the definition or a
    source on this host has changed, or when `--only` or `--all` asks for it. What was resolved before an error is kept.
    Of each model that is resolved, it says what its licences restrict, what its chat templates and tokenizer do, and
    what of that has changed.

    Example: `appliance lock bundles/demo.yaml --only os-packages/debian13`
    """
    if only and everything:
        raise BadInput("usage", "--only and --all cannot be used together", hint="give one of them")
    progress = TerminalProgress(quiet=quiet or as_json)
    result = lock_step.lock(
        definition, open_cache(cache), progress, weights=weights, only=only or (), everything=everything
    )
    path = lock_path(definition)
    rows = [
        {
            "artifact": artifact.id,
            "files": len(artifact.files),
            "inputs": len(artifact.inputs),
            "bytes": sum(file.size for file in (*artifact.files, *artifact.inputs)),
            "findings": [found.model_dump(mode="json") for found in artifact.review.findings]
            if artifact.review
            else [],
        }
        for artifact in result.artifacts
    ]
    if as_json:
        out_json({"ok": True, "lock": str(path), "artifacts": rows})
        return
    out(str(path))


def build(
    definition: DefinitionArgument,
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Where to make NAME-VERSION/.")] = Path("dist"),
    key: Annotated[
        str | None, typer.Option("--key", help=f"{KEY_HELP} Without one, the bundle stays unsigned.")
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="Root document, or directory of a root chain [default: KEY's .root.json]."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Resolve stale lock entries again. For trying things out, not for releases.")
    ] = False,
    weights: WeightsOption = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Build a bundle: fetch what the lock says, check it, list it, sign it.

    The last line on standard output is the bundle's directory.

    Example: `appliance build bundles/demo.yaml --out dist --key keys/release.pem`
    """
    chain = read_chain(root or _beside(key))
    signer = load_signer(key, passphrase_file) if key else None
    progress = TerminalProgress(quiet=quiet or as_json)
    built = build_step.build(
        definition, out_dir, open_cache(cache), progress, roots=chain, key=signer, renew=renew, weights=weights
    )
    if as_json:
        out_json(
            {
                "ok": True,
                "bundle": str(built.path),
                "files": built.files,
                "bytes": built.size,
                "written": built.written,
                "signed_by": built.signed_by,
                "complete": not built.missing,
                "renewed": list(built.renewed),
            }
        )
        return
    if not quiet:
        _tell(built)
    out(str(built.path))


def _beside(key: str | None) -> Path:
    if key is None or is_pkcs11_uri(key):
        raise BadInput(
            "root-not-given",
            "no root document is given, and a bundle carries its root chain",
            hint="give --root ROOT.json; with --key KEY.pem, KEY.root.json beside it is found by itself",
        )
    return root_path(Path(key))


def _tell(built: build_step.Built) -> None:
    console = err()
    state = "built" if built.written else "already there, unchanged"
    console.print(f"[green]bundle {state}:[/] {built.files} files, {size(built.size)}")
    if built.renewed:
        console.print(
            f"[yellow]lock renewed:[/] {', '.join(built.renewed)} - review the change before you release from it"
        )
    if built.signed_by:
        console.print(f"signed by key {built.signed_by}")
    for role in built.missing:
        lacking = role.threshold - len(role.signed)
        console.print(
            f"[yellow]{role.name}: {lacking} more of {len(role.missing)} must sign:[/] "
            f"appliance sign {printable(str(built.path))} --key KEY.pem",
            soft_wrap=True,
        )
