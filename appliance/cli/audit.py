"""``appliance audit``."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.output import TerminalProgress, err, out, out_json, printable
from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.audit import Report
from appliance.steps import audit as audit_step
from appliance.steps.audit.oscal import assessment_results
from appliance.steps.documents.controls import read_controls
from appliance.store.site import DEFAULT_SITE, Site
from appliance.store.whole import write_whole

_Oscal = Annotated[
    Path | None, typer.Option("--oscal", help="Where OSCAL assessment results go: what the audit says of controls.")
]


def audit(
    root: Annotated[
        Path, typer.Option("--root", help="The root document you trust, or the directory with your copy of the chain.")
    ],
    site: Annotated[
        Path | None,
        typer.Option("--site", help=f"The site's directory, or a copy [default: {DEFAULT_SITE}; none with --bundle]."),
    ] = None,
    bundle: Annotated[
        list[Path] | None, typer.Option("--bundle", help="Another bundle, beside those of the site; repeatable.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="The site's public key, from the day it was set up.")
    ] = None,
    head: Annotated[
        list[Path] | None, typer.Option("--head", help="A head of the log, kept elsewhere; repeatable.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base", help="List of a fresh host's OS packages; a package in neither it nor the bundle does not fit."
        ),
    ] = None,
    auditor: Annotated[
        str | None, typer.Option("--auditor", help="Your name, for the report and its sign-off.")
    ] = None,
    out_file: Annotated[Path | None, typer.Option("--out", "-o", help="Where the report goes, as HTML.")] = None,
    oscal: _Oscal = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
) -> None:
    """Put a site's bundles, receipts and log into one report, and say what does not fit.

    Every bundle is verified again, and its parts are looked up in the newest advisories that any of them carries. Exit
    code 3 means that something does not fit; the report is still written.

    Example: `appliance audit --root 1.root.json --key site.pub.pem --head 2026-10.head.json --out report.html`
    """
    _check_places(out_file, oscal, as_json=as_json)
    held = _site(site or (None if bundle else DEFAULT_SITE))
    materials = audit_step.Materials(root, held, tuple(bundle or ()), key, tuple(head or ()), base, auditor or None)
    report = audit_step.audit(materials, TerminalProgress(quiet=quiet or as_json))
    files = _write(report, out_file, oscal, quiet=quiet)
    if as_json:
        out_json(report.model_dump(mode="json", by_alias=True))
    else:
        _tell(report, quiet=quiet)
        out("\n".join(files))
    if not report.fits:
        raise typer.Exit(NotTrusted.exit_code)


def _site(path: Path | None) -> Site | None:
    if path is not None and not path.is_dir():
        raise BadInput("directory-unreadable", "the site's directory does not exist", where=str(path))
    return Site(path) if path else None


def _check_places(out_file: Path | None, oscal: Path | None, *, as_json: bool) -> None:
    """Before an hour of verifying, not after it."""
    files = [file for file in (out_file, oscal) if file is not None]
    if not files and not as_json:
        raise BadInput("usage", "nothing says where the report goes", hint="give --out report.html, --oscal, or --json")
    if out_file is not None and oscal is not None and out_file.absolute() == oscal.absolute():
        raise BadInput("usage", "--out and --oscal name the same file", where=str(oscal))
    for file in files:
        if not file.absolute().parent.is_dir():
            raise BadInput("not-writable", "the report's directory does not exist", where=str(file))


def _write(report: Report, out_file: Path | None, oscal: Path | None, *, quiet: bool) -> tuple[str, ...]:
    """Write what was asked for; the names of the files."""
    page = None
    if out_file is not None:
        page = out_file, audit_step.page(report).encode("utf-8")
        write_whole(out_file, page[1], mode=0o644)
        if not quiet:
            err().print(f"SHA-256 of the report: {hashlib.sha256(page[1]).hexdigest()}", soft_wrap=True)
    if oscal is not None:
        write_whole(oscal, assessment_results(report, read_controls(), oscal.parent, page), mode=0o644)
    return tuple(str(file) for file in (out_file, oscal) if file is not None)


def _tell(report: Report, *, quiet: bool) -> None:
    console = err()
    for finding in report.findings:
        colour = "bold red" if finding.severity == "problem" else "dim"
        if not quiet or finding.severity == "problem":
            where = f"  {finding.where}" if finding.where else ""
            console.print(f"[{colour}]{finding.severity}:[/] {printable(finding.what)}{printable(where)}")
    if report.fits and not quiet:
        console.print("[green]everything fits together[/]")
