"""``appliance import`` and ``appliance switch``."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.output import TerminalProgress, err, out, out_json, printable, size
from appliance.steps import import_bundle as import_step
from appliance.steps import switch as switch_step
from appliance.store.site import DEFAULT_SITE, Site

SiteOption = Annotated[Path, typer.Option("--site", help="The site's directory.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def import_(
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="The carried bundle; it may be read-only.")],
    root: Annotated[Path, typer.Option("--root", help="The root document you trust; not the bundle's own copy.")],
    site: SiteOption = DEFAULT_SITE,
    switch: Annotated[
        bool, typer.Option("--switch/--no-switch", help="Make it the current one, unless a newer one is.")
    ] = True,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
) -> None:
    """Take a bundle into the site, verified while it is copied.

    A refused bundle changes nothing. The last line on standard output is the bundle's directory in the site.

    Example: `appliance import /media/carried/demo-1.0.0 --root release.root.json`
    """
    progress = TerminalProgress(quiet=quiet or as_json)
    imported = import_step.import_bundle(bundle, root, Site(site), progress, switch=switch)
    predicate = imported.bundle.statement.predicate
    demo = any(signer.use == "demo" for signer in imported.bundle.signers)
    if as_json:
        out_json(
            {
                "ok": True,
                "path": str(imported.path),
                "name": predicate.name,
                "version": predicate.version,
                "files": predicate.files,
                "bytes": predicate.bytes,
                "written": imported.written,
                "linked": imported.linked,
                "switched": imported.switched,
                "current": imported.current,
                "sha256sums": imported.bundle.statement.subject[0].digest.sha256,
                "signers": [signer.keyid for signer in imported.bundle.signers],
                "demo": demo,
            }
        )
        return
    if not quiet:
        _tell(imported)
    if demo:
        err().print("[bold yellow]  this is a DEMO key: anybody may have made this bundle[/]")
    out(str(imported.path))


def switch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The bundle's name.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version that the site holds.")],
    site: SiteOption = DEFAULT_SITE,
    as_json: JsonOption = False,
) -> None:
    """Make a version that the site holds the current one: nothing is copied.

    Example: `appliance switch demo 1.0.0`
    """
    switched = switch_step.switch(Site(site), name, version)
    if as_json:
        out_json(
            {"ok": True, "path": str(switched.path), "previous": switched.previous, "changed": switched.changed},
        )
        return
    was = switched.previous or "none"
    err().print(f"[green]{printable(name)} {printable(version)} is current[/], before: {printable(was)}")
    out(str(switched.path))


def _tell(imported: import_step.Imported) -> None:
    console = err()
    predicate = imported.bundle.statement.predicate
    state = "imported" if imported.written else "already there, verified again"
    console.print(
        f"[green]{state}:[/] {predicate.name} {predicate.version}, {predicate.files} files, {size(predicate.bytes)}"
    )
    if imported.linked:
        console.print(f"  {imported.linked} files are shared with bundles that the site holds")
    for signer in imported.bundle.signers:
        console.print(f"  signed by {signer.keyid}  {printable(signer.label)}")
    console.print(f"  current: {imported.current or 'none'}; the bundle expires {predicate.expires}")
