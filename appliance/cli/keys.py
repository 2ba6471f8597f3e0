"""``appliance keys``."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.key_options import PassphraseFile
from appliance.cli.output import JsonOption, err, out, out_json, printable
from appliance.cli.signers import load_public_key, new_passphrase
from appliance.steps import keys as keys_step
from appliance.trust.algorithms import DEFAULT_TYPE, KeyType

keys_app = typer.Typer(help="Make and read keys.", no_args_is_help=True)


@keys_app.command("new")
def new(
    path: Annotated[Path, typer.Argument(metavar="KEY.pem", help="The private key to make; never overwritten.")],
    key_type: Annotated[
        KeyType, typer.Option("--type", help="ML-DSA-87 keys co-sign, for sites that demand CNSA 2.0.")
    ] = DEFAULT_TYPE,
    passphrase_file: PassphraseFile = None,
    no_passphrase: Annotated[bool, typer.Option("--no-passphrase", help="Leave the key unencrypted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a key pair: KEY.pem (mode 0600) and KEY.pub.pem.

    Example: `appliance keys new keys/release.pem`
    """
    made = keys_step.new_key(path, None if no_passphrase else new_passphrase(passphrase_file), key_type)
    if as_json:
        files = {"private": str(made.private), "public": str(made.public)}
        out_json({"ok": True, **files, "keyid": made.keyid, "type": key_type})
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
        typer.Option("--out", "-o", help="File to write the public key to, for root documents; never overwritten."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Show the id of a public key: the SHA-256 of its SPKI DER.

    A token is read without a PIN first; if it shows nothing, it is read again with the PIN that you give.

    Example: `appliance keys show 'pkcs11:token=release;object=first' --out first.pub.pem`
    """
    public = load_public_key(key, passphrase_file)
    if out_file is not None:
        keys_step.write_public_key(out_file, public)
    if as_json:
        out_json({"ok": True, "keyid": public.keyid, "type": public.type})
        return
    out(public.keyid)
