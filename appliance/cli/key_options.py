"""The options that name a key and its secret; what they name is read by ``signers``, when it is asked for."""

from pathlib import Path
from typing import Annotated

import typer

PASSPHRASE_VARIABLE = "APPLIANCE_KEY_PASSPHRASE"  # noqa: S105 - the name of the variable, not a passphrase
KEY_HELP = "Private key to sign with: a file, or a PKCS#11 URI of a key on a token."

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"File whose first line is the passphrase or PIN; without it, {PASSPHRASE_VARIABLE} or a prompt.",
    ),
]
