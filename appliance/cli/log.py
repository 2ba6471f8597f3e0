"""``appliance log``: what a site has done, line by line, each holding the one before."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.output import JsonOption, err, out, out_json, printable
from appliance.cli.site import SiteOption
from appliance.model.documents.story import sentence
from appliance.steps import log as log_step
from appliance.store.site import DEFAULT_SITE, Site
from appliance.store.whole import write_whole

log_app = typer.Typer(help="Read, check and export a site's log.", no_args_is_help=True)
add_app = typer.Typer(help="Add what other programs have done; the playbook uses this.", no_args_is_help=True)
log_app.add_typer(add_app, name="add")


@log_app.command("show")
def show(site: SiteOption = DEFAULT_SITE, as_json: JsonOption = False) -> None:
    """Show what has been verified, imported, switched and installed, oldest first.

    Example: `appliance log show`
    """
    entries = log_step.entries(Site(site))
    if as_json:
        out_json({"ok": True, "entries": [entry.model_dump(mode="json", by_alias=True) for entry in entries]})
        return
    for entry in entries:
        out(f"{entry.seq:>6}  {entry.time}  {entry.event:<8}  {sentence(entry)}")


@log_app.command("check")
def check(
    site: SiteOption = DEFAULT_SITE,
    head: Annotated[
        list[Path] | None,
        typer.Option("--head", help="A head or a receipt, kept elsewhere; repeatable."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="The site's public key [default: the site's own copy].")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every line follows from the one before, and that no line covered by a signed head is missing.

    Example: `appliance log check --key site.pub.pem --head 2026-10.head.json`
    """
    checked = log_step.check(Site(site), head or [], key)
    if as_json:
        out_json(
            {
                "ok": True,
                "seq": checked.head.seq,
                "sha256": checked.head.sha256,
                "torn_bytes": checked.torn,
                "heads": [
                    {"file": str(one.path), "seq": one.head.seq, "sha256": one.head.sha256, "time": one.time}
                    for one in checked.heads
                ],
            }
        )
        return
    console = err()
    for one in checked.heads:
        console.print(f"  holds line {one.head.seq}, signed {one.time}: {printable(str(one.path))}")
    if checked.torn:
        console.print(f"  the last {checked.torn} bytes are not a whole line: they were never acknowledged")
    console.print(f"[green]the chain holds:[/] {checked.head.seq} lines")
    out(checked.head.sha256)


@log_app.command("head")
def head(
    site: SiteOption = DEFAULT_SITE,
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write it to [default: standard output].")
    ] = None,
) -> None:
    """Export the head of the log, signed by the site's key, to keep elsewhere.

    If the log is cut afterwards, `appliance log check --head FILE` shows it.

    Example: `appliance log head --out 2026-10.head.json`
    """
    data = log_step.export_head(Site(site))
    if out_file is None:
        out(data.decode("ascii"))
        return
    write_whole(out_file, data, mode=0o644)
    out(str(out_file))


@add_app.command("install")
def add_install(
    host: Annotated[str, typer.Option("--host", help="The host's name.")],
    bundle: Annotated[str, typer.Option("--bundle", help="Name of the bundle it was installed from.")],
    source: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="JSON of what the host runs [default: standard input].")
    ] = None,
    site: SiteOption = DEFAULT_SITE,
    as_json: JsonOption = False,
) -> None:
    """Add what a host runs, unless the log says so already.

    Example: `appliance log add install gpu1.json --host gpu1 --bundle demo`
    """
    _tell_added(log_step.add_install(Site(site), source, host=host, bundle=bundle), as_json=as_json)


@add_app.command("remove")
def add_remove(
    host: Annotated[str, typer.Option("--host", help="The host's name.")],
    source: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="JSON of what the host lost [default: standard input].")
    ] = None,
    site: SiteOption = DEFAULT_SITE,
    as_json: JsonOption = False,
) -> None:
    """Add that a host was taken out of the site, unless the log says so already.

    Example: `appliance log add remove gpu1.json --host gpu1`
    """
    _tell_added(log_step.add_removal(Site(site), source, host=host), as_json=as_json)


def _tell_added(changed: bool, *, as_json: bool) -> None:
    if as_json:
        out_json({"ok": True, "changed": changed})
        return
    err().print("added" if changed else "the log says so already")
