"""``appliance verify``.

Every site waits for it, so what only some options need is imported when they are given.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.key_options import KEY_HELP, PassphraseFile
from appliance.cli.output import JsonOption, TerminalProgress, err, out, out_json, printable, size
from appliance.errors import BadInput
from appliance.model.documents.policy import DEFAULT_POLICY, Profile, SitePolicy
from appliance.model.times import format_time
from appliance.steps import verify as verify_step
from appliance.trust.verify import VerifiedBundle


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="DIR", help="The bundle.")],
    root: Annotated[Path, typer.Option("--root", help="The root document you trust; not the bundle's own copy.")],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="A site's policy to check against as well."),
    ] = None,
    profile: Annotated[
        Profile | None, typer.Option("--profile", help="Also demand what this profile requires.")
    ] = None,
    receipt: Annotated[
        Path | None, typer.Option("--receipt", help="Write the result to this file, a refusal too, signed by --key.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help=f"For the receipt. {KEY_HELP}")] = None,
    passphrase_file: PassphraseFile = None,
    site: Annotated[
        Path | None,
        typer.Option("--site", help="Record the result in this site's log, with a receipt signed by the site's key."),
    ] = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
) -> None:
    """Verify a bundle: root chain, policy, signatures, list, every file, nothing beside them.

    Exit code 0 means that every byte is what the signers signed, 3 that it is not.

    Example: `appliance verify dist/demo-1.0.0 --root keys/release.root.json`
    """
    progress = TerminalProgress(quiet=quiet or as_json)
    check = partial(verify_step.verify, bundle, root, progress, demands=_demands(policy, profile))
    if (receipt is None) != (key is None):
        raise BadInput("usage", "a receipt is signed: --receipt and --key go together")
    if receipt and key:
        from appliance.cli.signers import load_signer
        from appliance.steps.receipt import with_receipt

        signer = load_signer(key, passphrase_file)
        check = partial(with_receipt, check, bundle, root, progress, receipt=receipt, key=signer)
    if site:
        from appliance.steps.receipt import on_site
        from appliance.store.site import Site

        check = partial(on_site, check, bundle, root, progress, site=Site(site))
    verified = check()
    if as_json:
        out_json({"ok": True, "bundle": str(bundle), **_summary(verified)})
    elif not quiet:
        _tell(verified)


def _demands(policy: Path | None, profile: Profile | None) -> SitePolicy:
    demands = DEFAULT_POLICY
    if policy:
        from appliance.steps.documents.policy import read_site_policy

        demands = read_site_policy(policy)
    if profile and profile not in demands.profiles:
        return demands.model_copy(update={"profiles": (*demands.profiles, profile)})
    return demands


def _tell(verified: VerifiedBundle) -> None:
    predicate = verified.statement.predicate
    console = err()
    console.print(
        f"[green]verified:[/] {predicate.name} {predicate.version}, {predicate.files} files, {size(predicate.bytes)}"
    )
    for signer in verified.signers:
        console.print(f"  signed by {signer.keyid}  {printable(signer.label)}")
    console.print(f"  root version {verified.root.document.version}; the bundle expires {predicate.expires}")
    if predicate.created > (now := format_time(datetime.now(UTC))):
        console.print(f"[yellow]  it says it was created {predicate.created}, but this clock says {now}[/]")
    if _is_demo(verified):
        console.print("[bold yellow]  this is a DEMO key: anybody may have made this bundle[/]")
    out("verified")


def _is_demo(verified: VerifiedBundle) -> bool:
    return any(signer.use == "demo" for signer in verified.signers)


def _summary(verified: VerifiedBundle) -> dict[str, object]:
    predicate = verified.statement.predicate
    return {
        "name": predicate.name,
        "version": predicate.version,
        "created": predicate.created,
        "expires": predicate.expires,
        "files": predicate.files,
        "bytes": predicate.bytes,
        "root_version": verified.root.document.version,
        "sha256sums": verified.statement.subject[0].digest.sha256,
        "signers": [{"keyid": signer.keyid, "label": signer.label, "use": signer.use} for signer in verified.signers],
        "demo": _is_demo(verified),
    }
