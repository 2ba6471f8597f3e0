"""``appliance import``, ``switch``, ``state`` and ``policy``."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from appliance.cli.output import JsonOption, TerminalProgress, err, out, out_json, printable, size
from appliance.model.documents.override import Allowance
from appliance.model.documents.state import SiteState
from appliance.steps import import_bundle as import_step
from appliance.steps import switch as switch_step
from appliance.steps.documents.policy import POLICY_FILE, read_site_policy
from appliance.steps.site.state import Memory
from appliance.steps.verify import read_trusted
from appliance.store.site import DEFAULT_SITE, Site

state_app = typer.Typer(help="Show or rebuild what the site remembers.", no_args_is_help=True)
policy_app = typer.Typer(help="Show what the site demands.", no_args_is_help=True)

_OVERRIDDEN: dict[Allowance, str] = {
    "expired": "the bundle has expired",
    "rollback": "the site has accepted a newer version",
}
SiteOption = Annotated[Path, typer.Option("--site", help="The site's directory.")]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help=f"The site's policy.  [default: {POLICY_FILE}, if it is there]")
]
OverrideOption = Annotated[
    Path | None,
    typer.Option("--override", help="An override: what the signers let this site do with a bundle that it refuses."),
]


def import_(
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="The carried bundle; it may be read-only.")],
    root: Annotated[Path, typer.Option("--root", help="The root document you trust; not the bundle's own copy.")],
    site: SiteOption = DEFAULT_SITE,
    policy: PolicyOption = None,
    override: OverrideOption = None,
    switch: Annotated[
        bool, typer.Option("--switch/--no-switch", help="Make it the current one, unless an override lets it go back.")
    ] = True,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
) -> None:
    """Import a bundle into the site, verified while it is copied.

    A refused bundle changes nothing. What was accepted is remembered: an older version is refused from then on.
    The last line on standard output is the bundle's directory in the site.

    Example: `appliance import /media/carried/demo-1.0.0 --root release.root.json`
    """
    progress = TerminalProgress(quiet=quiet or as_json)
    imported = import_step.import_bundle(
        bundle, root, Site(site), progress, demands=read_site_policy(policy), override=override, switch=switch
    )
    if as_json:
        out_json(_summary(imported))
        return
    if not quiet:
        _tell(imported)
    _tell_overridden(imported.overridden)
    if _is_demo(imported):
        err().print("[bold yellow]  this is a DEMO key: anybody may have made this bundle[/]")
    out(str(imported.path))


def switch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The bundle's name.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version that the site holds.")],
    site: SiteOption = DEFAULT_SITE,
    policy: PolicyOption = None,
    override: OverrideOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch to a version that the site already holds; nothing is copied.

    Example: `appliance switch demo 1.0.0`
    """
    switched = switch_step.switch(
        Site(site), name, version, TerminalProgress(quiet=as_json), demands=read_site_policy(policy), override=override
    )
    if as_json:
        out_json(
            {
                "ok": True,
                "path": str(switched.path),
                "previous": switched.previous,
                "changed": switched.changed,
                "overridden": switched.overridden,
            }
        )
        return
    _tell_overridden(switched.overridden)
    was = switched.previous or "none"
    err().print(f"[green]{printable(name)} {printable(version)} is current[/], before: {printable(was)}")
    out(str(switched.path))


@policy_app.command("show")
def show_policy(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help=f"A policy.  [default: {POLICY_FILE}, if it is there]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a site's policy and show all of it, with the defaults for what it leaves out.

    Example: `appliance policy show /etc/appliance/policy.yaml`
    """
    demands = read_site_policy(file).model_dump(mode="json", by_alias=True)
    if as_json:
        out_json({"ok": True, "policy": demands})
        return
    out(yaml.safe_dump(demands, sort_keys=False).rstrip())


@state_app.command("show")
def show_state(site: SiteOption = DEFAULT_SITE, policy: PolicyOption = None, as_json: JsonOption = False) -> None:
    """Show what the site has accepted: root documents, the highest version of each bundle, the latest time.

    Example: `appliance state show`
    """
    memory = Memory(Site(site), read_site_policy(policy), TerminalProgress(quiet=as_json))
    _show_state(memory.load(), as_json=as_json)


@state_app.command("rebuild")
def rebuild_state(
    root: Annotated[Path, typer.Option("--root", help="The first root document of every bundle, which you trust.")],
    site: SiteOption = DEFAULT_SITE,
    policy: PolicyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild the state from the bundles that the site holds, after it was lost, damaged or rolled back.

    First find out why: versions that were accepted but are no longer held are forgotten.

    Example: `appliance state rebuild --root release.root.json`
    """
    memory = Memory(Site(site), read_site_policy(policy), TerminalProgress(quiet=as_json))
    _show_state(memory.rebuild(read_trusted(root)), as_json=as_json)


def _show_state(state: SiteState, *, as_json: bool) -> None:
    if as_json:
        out_json({"ok": True, "state": state.model_dump(mode="json", by_alias=True)})
        return
    out(f"root documents: {len(state.roots)}" + (f", newest {state.roots[-1]}" if state.roots else ""))
    for number, epoch in sorted(state.epochs.items()):
        out(f"since root document {number}, until {epoch.time}:")
        for name, bundle in sorted(epoch.bundles.items()):
            out(f"  {name} {bundle.version}  SHA256SUMS {bundle.sha256sums}")
    out(f"TPM counter: {'none' if state.counter is None else state.counter}")


def _tell_overridden(overridden: tuple[Allowance, ...]) -> None:
    for allowance in overridden:
        err().print(f"[bold yellow]  allowed only by an override: {_OVERRIDDEN[allowance]}[/]")


def _is_demo(imported: import_step.Imported) -> bool:
    return any(signer.use == "demo" for signer in imported.bundle.signers)


def _summary(imported: import_step.Imported) -> dict[str, object]:
    predicate = imported.bundle.statement.predicate
    return {
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
        "overridden": imported.overridden,
        "demo": _is_demo(imported),
    }


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
