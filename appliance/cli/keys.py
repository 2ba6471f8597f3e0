"""``appliance keys``, ``appliance root`` and ``appliance sign``."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.output import err, out, out_json, printable
from appliance.cli.signers import KEY_HELP, PassphraseFile, load_public_key, load_signer, new_passphrase
from appliance.model.pkcs11 import is_pkcs11_uri
from appliance.steps import keys as keys_step
from appliance.steps.sign import sign_bundle, sign_statement
from appliance.trust.root import Root

keys_app = typer.Typer(help="Make and read keys.", no_args_is_help=True)
root_app = typer.Typer(help="Make and read root documents.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@keys_app.command("new")
def new(
    path: Annotated[Path, typer.Argument(metavar="KEY.pem", help="The private key to make; never overwritten.")],
    passphrase_file: PassphraseFile = None,
    no_passphrase: Annotated[bool, typer.Option("--no-passphrase", help="Leave the key unencrypted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an ECDSA P-256 key pair: KEY.pem (mode 0600) and KEY.pub.pem.

    Example: `appliance keys new keys/release.pem`
    """
    made = keys_step.new_key(path, None if no_passphrase else new_passphrase(passphrase_file))
    if as_json:
        out_json({"ok": True, "private": str(made.private), "public": str(made.public), "keyid": made.keyid})
        return
    err().print(
        f"private key: {printable(str(made.private))} (keep it secret)\npublic key:  {printable(str(made.public))}"
    )
    out(made.keyid)


@keys_app.command("show")
def show(
    key: Annotated[
        str, typer.Argument(metavar="KEY.pub.pem|URI", help="A public key, or the PKCS#11 URI of a key on a token.")
    ],
    out_file: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write the public key there, for root documents; never overwrites."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Show the id of a public key: the SHA-256 of its SPKI DER.

    A token is asked without its PIN; if it shows nothing so, it is asked again with a PIN that is given.

    Example: `appliance keys show 'pkcs11:token=release;object=first' --out first.pub.pem`
    """
    public = load_public_key(key, passphrase_file)
    if out_file is not None:
        keys_step.write_public_key(out_file, public)
    if as_json:
        out_json({"ok": True, "keyid": public.keyid, "type": public.type})
        return
    out(public.keyid)


@root_app.command("new")
def new_root(
    path: Annotated[Path, typer.Argument(metavar="ROOT.json", help="The root document to make; never overwritten.")],
    key: Annotated[str, typer.Option("--key", help=KEY_HELP)],
    public: Annotated[
        list[Path] | None, typer.Option("--public", help="Public key of a further signer; repeatable.")
    ] = None,
    years: Annotated[int, typer.Option("--years", min=1, max=20, help="How long the document is valid.")] = 5,
    demo: Annotated[
        bool, typer.Option("--demo", help="Mark the keys as demo keys, which everything then says.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make the first root document: who may sign bundles, and who may change that.

    Give it to sites and auditors by another way than the bundles.

    Example: `appliance root new keys/release.root.json --key keys/release.pem`
    """
    signer = load_signer(key, passphrase_file)
    own = [] if is_pkcs11_uri(key) else [keys_step.public_key_path(Path(key))]
    files = [*own, *(public or [])]
    root = keys_step.new_root_document(
        path, files, signer, threshold=1, use="demo" if demo else "production", years=years
    )
    _show_root(root, path, as_json=as_json)


@root_app.command("show")
def show_root(
    path: Annotated[Path, typer.Argument(metavar="ROOT.json", help="A root document.")],
    as_json: JsonOption = False,
) -> None:
    """Show the keys, roles and thresholds of a root document.

    Example: `appliance root show keys/release.root.json`
    """
    _show_root(keys_step.read_root_document(path), path, as_json=as_json)


def sign(
    target: Annotated[Path, typer.Argument(metavar="BUNDLE|STATEMENT", help="A bundle, or its statement.json alone.")],
    key: Annotated[str, typer.Option("--key", help=KEY_HELP)],
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where the signature file goes when signing a statement alone.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Add one signer's signature, now or later, here or on another machine.

    Given a bundle, the signature goes to its sigs/. Given statement.json alone, it goes to --out;
    copy it into sigs/ of the bundle.

    Example: `appliance sign statement.json --key keys/second.pem --out .`
    """
    signer = load_signer(key, passphrase_file)
    if target.is_dir():
        keyid = sign_bundle(target, signer)
        path = target / "sigs" / f"{keyid}.sigstore.json"
    else:
        signed = sign_statement(target, signer, out_dir)
        keyid, path = signed.keyid, signed.path
        predicate = signed.statement.predicate
        err().print(
            f"signed {predicate.name} {predicate.version}, SHA256SUMS {signed.statement.subject[0].digest.sha256}"
        )
    if as_json:
        out_json({"ok": True, "keyid": keyid, "signature": str(path)})
        return
    out(str(path))


def _show_root(root: Root, path: Path, *, as_json: bool) -> None:
    document = root.document
    if as_json:
        out_json({"ok": True, "root": str(path), "document": document.model_dump(mode="json", by_alias=True)})
        return
    console = err()
    console.print(f"root document version {document.version}, valid until {document.expires}")
    for keyid, entry in document.keys.items():
        roles = [
            name
            for name, role in (("root", document.roles.root), ("release", document.roles.release))
            if keyid in role.keyids
        ]
        console.print(f"  {keyid}  {printable(entry.label)}  ({entry.use}; {', '.join(roles) or 'no role'})")
    for name, role in (("root", document.roles.root), ("release", document.roles.release)):
        console.print(f"  {name}: {role.threshold} of {len(role.keyids)}")
    out(str(path))
