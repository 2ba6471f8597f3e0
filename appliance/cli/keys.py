"""``appliance keys``, ``appliance root`` and ``appliance sign``."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.output import err, out, out_json, printable
from appliance.errors import BadInput
from appliance.steps import keys as keys_step
from appliance.steps.sign import sign_bundle, sign_statement
from appliance.trust.keys import PrivateKey
from appliance.trust.root import Root

PASSPHRASE_VARIABLE = "APPLIANCE_KEY_PASSPHRASE"  # noqa: S105 - the name of the variable, not a passphrase

keys_app = typer.Typer(help="Make and read keys.", no_args_is_help=True)
root_app = typer.Typer(help="Make and read root documents.", no_args_is_help=True)

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", help=f"File whose first line is the passphrase; else {PASSPHRASE_VARIABLE}, else a prompt."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def load_key(path: Path, passphrase_file: Path | None) -> PrivateKey:
    """Read a private key, asking for its passphrase only when it has one."""
    passphrase = None
    if keys_step.is_encrypted(path):
        passphrase = _given_passphrase(passphrase_file)
        if passphrase is None and sys.stdin.isatty():
            passphrase = typer.prompt(f"Passphrase for {path}", hide_input=True, err=True).encode()
    return keys_step.read_private_key(path, passphrase)


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
    made = keys_step.new_key(path, None if no_passphrase else _new_passphrase(passphrase_file))
    if as_json:
        out_json({"ok": True, "private": str(made.private), "public": str(made.public), "keyid": made.keyid})
        return
    err().print(
        f"private key: {printable(str(made.private))} (keep it secret)\npublic key:  {printable(str(made.public))}"
    )
    out(made.keyid)


@keys_app.command("show")
def show(
    path: Annotated[Path, typer.Argument(metavar="KEY.pub.pem", help="A public key.")],
    as_json: JsonOption = False,
) -> None:
    """Show the id of a public key: the SHA-256 of its SPKI DER.

    Example: `appliance keys show keys/release.pub.pem`
    """
    keyid = keys_step.read_public_key(path).keyid
    if as_json:
        out_json({"ok": True, "keyid": keyid, "type": "ecdsa-p256"})
        return
    out(keyid)


@root_app.command("new")
def new_root(
    path: Annotated[Path, typer.Argument(metavar="ROOT.json", help="The root document to make; never overwritten.")],
    key: Annotated[Path, typer.Option("--key", help="Private key that signs the root document.")],
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
    signer = load_key(key, passphrase_file)
    files = [keys_step.public_key_path(key), *(public or [])]
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
    key: Annotated[Path, typer.Option("--key", help="Private key to sign with.")],
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
    signer = load_key(key, passphrase_file)
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


def _given_passphrase(file: Path | None) -> bytes | None:
    if file is not None:
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise BadInput(
                "passphrase-unreadable", f"the file cannot be read: {error.strerror}", where=str(file)
            ) from None
        if not lines or not lines[0]:
            raise BadInput("passphrase-empty", "the passphrase is empty", where=str(file))
        return lines[0]
    value = os.environ.get(PASSPHRASE_VARIABLE)
    return value.encode() if value else None


def _new_passphrase(file: Path | None) -> bytes:
    passphrase = _given_passphrase(file)
    if passphrase is None and sys.stdin.isatty():
        passphrase = typer.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True).encode()
    if not passphrase:
        raise BadInput(
            "key-passphrase-missing",
            "a new key needs a passphrase",
            hint=f"give --passphrase-file FILE, set {PASSPHRASE_VARIABLE}, or say --no-passphrase",
        )
    return passphrase
