"""``appliance override``: let one site take one bundle that it refuses."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.key_options import KEY_HELP, PassphraseFile
from appliance.cli.output import JsonOption, err, out, out_json, printable
from appliance.cli.signers import load_signer
from appliance.cli.tallies import show_tallies, tallies_as_json
from appliance.steps import override as override_step

override_app = typer.Typer(
    help="Make and read overrides: signed permission for one site to use one bundle that it refuses.",
    no_args_is_help=True,
)

RootOption = Annotated[
    Path | None,
    typer.Option("--root", help="The newest root document, or its chain, whose release role must sign."),
]


@override_app.command("new")
def new(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE|STATEMENT", help="The bundle, or its statement.json.")],
    site: Annotated[str, typer.Option("--site", help="The site's name, as in its policy.")],
    allow: Annotated[list[str], typer.Option("--allow", help="expired, or rollback to an older version; repeatable.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept in the site's log.")],
    key: Annotated[list[str] | None, typer.Option("--key", help=f"{KEY_HELP} Repeatable; others sign later.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long the site may use it.")] = 30,
    root: RootOption = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to make.  [default: NAME-VERSION.SITE.override.json]")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make an override. It is valid once the release threshold has signed it; the others use `appliance sign`.

    It never allows other bytes, signatures or keys: only an expired bundle, or one that is older than an accepted one.

    Example: `appliance override new dist/demo-1.0.0 --site plant-7 --allow rollback --reason "1.1.0 does not start"
    --key keys/release.pem`
    """
    signers = [load_signer(one, passphrase_file) for one in key or ()]
    wish = override_step.Wish(site, allow, reason, days)
    show_standing(override_step.new(bundle, wish, signers, root=root, out=out_file), as_json=as_json)


@override_app.command("show")
def show(
    path: Annotated[Path, typer.Argument(metavar="OVERRIDE", help="An override.")],
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an override allows and, by the root document, who has signed it.

    Example: `appliance override show demo-1.0.0.plant-7.override.json --root roots`
    """
    show_standing(override_step.show(path, root=root), as_json=as_json)


def show_standing(standing: override_step.Standing, *, as_json: bool) -> None:
    """Tell how far an override has come."""
    content = standing.signed.content
    complete = all(role.met for role in standing.tallies) if standing.tallies else None
    if as_json:
        out_json(
            {
                "ok": True,
                "target": str(standing.path),
                "override": content.model_dump(mode="json", by_alias=True),
                "keyids": [keyid for keyid, _ in standing.signed.envelope.signatures],
                "complete": complete,
                "roles": tallies_as_json(standing.tallies, standing.labels),
            }
        )
        return
    console = err()
    console.print(
        f"override for {printable(content.site)}: {content.name} {content.version}, although "
        f"{' and '.join(_ALTHOUGH[allowance] for allowance in content.allows)}; until {content.expires}"
    )
    console.print(f"  because: {printable(content.reason)}")
    if complete is None:
        console.print(f"  signed by {len(standing.signed.envelope.signatures)}; --root CHAIN shows who must sign")
    else:
        show_tallies(console, standing.tallies, standing.labels)
    out(str(standing.path))


_ALTHOUGH = {"expired": "it has expired", "rollback": "it is older than an accepted one"}
