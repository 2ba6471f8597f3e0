"""``appliance sign``: signatures for bundles, root documents and overrides, made here or elsewhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.key_options import KEY_HELP, PassphraseFile
from appliance.cli.output import JsonOption, err, out, out_json
from appliance.cli.override import show_standing
from appliance.cli.signers import load_signer
from appliance.cli.tallies import show_tallies, tallies_as_json
from appliance.errors import BadInput
from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE
from appliance.model.documents.root import ROOT_PAYLOAD_TYPE
from appliance.model.limits import MAX_ENVELOPE
from appliance.steps import override as override_step
from appliance.steps.root import sign_root
from appliance.steps.sign import sign_bundle, sign_statement
from appliance.store.disk import read_bounded
from appliance.trust.keys import Signer

_Rebuilt = Annotated[
    Path | None,
    typer.Option("--rebuilt", help="For a bundle or its statement: your own build, which has to be the same."),
]
_ENVELOPES = (ROOT_PAYLOAD_TYPE, OVERRIDE_PAYLOAD_TYPE)


def sign(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="TARGET [FILE...]", help="What to sign; with --add, also the files whose signatures to add."
        ),
    ],
    key: Annotated[list[str] | None, typer.Option("--key", help=f"{KEY_HELP} Repeatable.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Add signatures made elsewhere, from FILE...")] = False,
    root: Annotated[
        Path | None, typer.Option("--root", help="For an override: the newest root document, or its chain.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="For a statement alone: directory for its signature file.")
    ] = None,
    rebuilt: _Rebuilt = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Add signatures, now or later, made here or on another machine.

    TARGET is a bundle: its signatures go to its sigs/. Or statement.json alone: its signature file goes to --out. Or a
    root document or an override: it is rewritten with the signature in it. FILE is a signature file, a copy of the same
    document with other signatures, or a bare signature made with openssl or pkcs11-tool. A signature that is not valid
    is not added.

    With --rebuilt DIR, which you have built from the same lock on a machine of your own, nothing is signed unless both
    builds came out the same: SHA256SUMS, and all that the statement says but when it was made.

    Examples: `appliance sign statement.json --key keys/second.pem --out .`,
    `appliance sign dist/demo-1.0.0 --add second.sigstore.json third.sig`
    """
    target, additions = _split(paths, add=add)
    if not key and not additions:
        raise BadInput("usage", "nothing to sign with", hint="give --key KEY.pem, or --add and signature files")
    if rebuilt and not key:
        raise BadInput("usage", "only signatures made here go by a build of your own", hint="give --key KEY.pem")
    contents = {str(path): _read(path) for path in additions}
    signers = [load_signer(one, passphrase_file) for one in key or ()]
    if target.is_dir():
        _sign_bundle(target, signers, contents, rebuilt, as_json=as_json)
    elif (payload_type := _payload_type(_read(target))) in _ENVELOPES and rebuilt:
        raise BadInput("usage", "--rebuilt is for bundles: nobody builds this document", where=str(target))
    elif payload_type == ROOT_PAYLOAD_TYPE:
        _sign_root(target, signers, contents, as_json=as_json)
    elif payload_type == OVERRIDE_PAYLOAD_TYPE:
        show_standing(override_step.sign(target, signers, contents, root=root), as_json=as_json)
    else:
        _sign_statement(target, signers, additions, out_dir, rebuilt, as_json=as_json)


def _split(paths: Sequence[Path], *, add: bool) -> tuple[Path, list[Path]]:
    """The target, and what is added to it: a bundle wherever it stands, otherwise the first."""
    folders = [path for path in paths if path.is_dir()]
    target = folders[0] if len(folders) == 1 else paths[0]
    others = list(paths)
    others.remove(target)
    if others and not add:
        raise BadInput(
            "usage",
            "only one target can be signed at a time",
            found=", ".join(str(path) for path in paths),
            hint="to add signatures made elsewhere, give --add",
        )
    return target, others


def _sign_bundle(
    bundle: Path, signers: Sequence[Signer], additions: dict[str, bytes], rebuilt: Path | None, *, as_json: bool
) -> None:
    signed = sign_bundle(bundle, signers, additions, rebuilt=rebuilt)
    complete = all(role.met for role in signed.tallies)
    if as_json:
        out_json(
            {
                "ok": True,
                "target": str(bundle),
                **_signatures(signed.paths),
                "complete": complete,
                "roles": tallies_as_json(signed.tallies, signed.labels),
            }
        )
        return
    console = err()
    predicate = signed.statement.predicate
    console.print(f"{predicate.name} {predicate.version}, {'complete' if complete else '[yellow]not complete yet[/]'}")
    show_tallies(console, signed.tallies, signed.labels)
    for path in signed.paths:
        out(str(path))


def _sign_root(path: Path, signers: Sequence[Signer], additions: dict[str, bytes], *, as_json: bool) -> None:
    link = sign_root(path, signers, additions)
    tallies = (*link.tallies.signing, *link.tallies.co_signing)
    if as_json:
        out_json(
            {
                "ok": True,
                "target": str(path),
                "complete": link.tallies.complete,
                "roles": tallies_as_json(tallies, link.labels),
            }
        )
        return
    console = err()
    state = "complete" if link.tallies.complete else "[yellow]not complete yet[/]"
    console.print(f"root document version {link.root.document.version}, {state}")
    show_tallies(console, tallies, link.labels)
    out(str(path))


def _sign_statement(
    path: Path,
    signers: Sequence[Signer],
    additions: Sequence[Path],
    out_dir: Path | None,
    rebuilt: Path | None,
    *,
    as_json: bool,
) -> None:
    if additions:
        raise BadInput(
            "usage",
            "signatures cannot be added to a statement alone: the bundle's root says who may sign",
            where=str(path),
            hint="appliance sign BUNDLE --add FILE",
        )
    signed = sign_statement(path, signers, out_dir, rebuilt)
    predicate, sums = signed.statement.predicate, signed.statement.subject[0].digest.sha256
    if as_json:
        out_json({"ok": True, "target": str(path), **_signatures(signed.paths)})
        return
    err().print(f"signed {predicate.name} {predicate.version}, SHA256SUMS {sums}")
    for one in signed.paths:
        out(str(one))


def _signatures(paths: Sequence[Path]) -> dict[str, object]:
    """All of them, and the one by itself where there is one."""
    fields: dict[str, object] = {
        "keyids": [path.name.split(".")[0] for path in paths],
        "signatures": [str(path) for path in paths],
    }
    if len(paths) == 1:
        fields |= {"keyid": paths[0].name.split(".")[0], "signature": str(paths[0])}
    return fields


def _read(path: Path) -> bytes:
    hint = "give a bundle, its statement.json or a root document, and files with signatures"
    return read_bounded(path, MAX_ENVELOPE, "statement-unreadable", hint=hint)


def _payload_type(data: bytes) -> object:
    """What an envelope says that it holds; its reader judges it strictly afterwards."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value.get("payloadType") if isinstance(value, dict) else None
