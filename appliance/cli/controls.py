"""``appliance controls``."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.output import err, out
from appliance.errors import BadInput
from appliance.steps.controls import component_definition
from appliance.steps.documents.controls import read_controls
from appliance.store.whole import write_whole


def controls(
    oscal: Annotated[
        Path | None, typer.Option("--oscal", help="Where the OSCAL component definition goes, as JSON.")
    ] = None,
) -> None:
    """Say which security controls this helps with, and what shows it.

    Controls are those of NIST SP 800-53 revision 5; the OSCAL file has requirements of other standards beside them. It
    is the same on every machine. `appliance audit --oscal` says what holds on a site.

    Example: `appliance controls --oscal component-definition.json`
    """
    found = read_controls()
    if oscal is None:
        for control in found.controls:
            audited = "yes" if control.needs else "no"
            out(f"{control.label}\t{control.title}\ttests: {len(control.tests)}\tlooked at by an audit: {audited}")
        return
    if not oscal.absolute().parent.is_dir():
        raise BadInput("not-writable", "the file's directory does not exist", where=str(oscal))
    write_whole(oscal, component_definition(found), mode=0o644)
    err().print(f"{len(found.controls)} controls")
    out(str(oscal))
