"""``appliance sign-modules``: build the kernel modules of a definition, and sign them for Secure Boot.

The signatures go beside the definition, where ``appliance build`` finds and checks them.
Whoever has the key elsewhere takes the unsigned modules there and brings signature files
back.
"""

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.artifacts.base import Context
from appliance.artifacts.os_packages.kind import OsPackages
from appliance.artifacts.os_packages.module_build import BuiltModules, build_modules
from appliance.artifacts.os_packages.module_signatures import read_certificate, signature_path
from appliance.artifacts.os_packages.modules import read_origins
from appliance.artifacts.os_packages.section import ModulesSigning
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.formats.module_signature import ModulesSigner
from appliance.model.limits import MAX_KEY
from appliance.model.progress import Progress
from appliance.steps.documents.definition import read_definition
from appliance.steps.documents.lock import changes, lock_path, read_lock
from appliance.store.cache import Cache
from appliance.store.disk import make_directories, read_bounded
from appliance.store.whole import write_whole
from appliance.tools.module_keys import ModulesKey


@dataclass(frozen=True)
class ToSign:
    """Built modules, and who is to sign them."""

    signing: ModulesSigning
    built: BuiltModules


def read_modules_key(path: Path, passphrase: bytes | None) -> ModulesKey:
    """Read a private RSA key.  Raises BadInput (``key-unreadable``)."""
    try:
        return ModulesKey.from_pem(read_bounded(path, MAX_KEY, "key-unreadable"), passphrase)
    except ValueError as error:
        what = f"the key cannot be used for kernel modules: {error}"
        hint = "give an RSA key in PEM with its passphrase; docs/secure-boot.md says how to make one"
        raise BadInput("key-unreadable", what, where=str(path), hint=hint) from None


def sign_modules(definition: Path, cache: Cache, progress: Progress, signer: ModulesSigner) -> tuple[Path, ...]:
    """Sign every module that ``definition`` wants signed.  Returns the signature files.

    Raises what ``to_sign`` raises, and NotTrusted (``modules-key``) when the key is not
    that of the certificate: nothing is written then.
    """
    signed: dict[Path, bytes] = {}
    for modules in to_sign(definition, cache, progress):
        certificate = read_certificate(modules.signing, definition.parent)
        for name, content in modules.built.modules.items():
            digest = bytes.fromhex(content.sha256)
            pkcs7 = certificate.pkcs7(signer.sign_digest(digest))
            if not certificate.verifies(pkcs7, digest):
                raise NotTrusted(
                    "modules-key",
                    "the key is not that of the certificate that the definition names",
                    where=str(definition.parent / modules.signing.certificate),
                    hint="give the key of that certificate; nothing was signed with this one",
                )
            signed[signature_path(modules.signing, definition.parent, name)] = pkcs7
    for path, pkcs7 in signed.items():
        make_directories(path.parent)
        write_whole(path, pkcs7, mode=0o644)
    return tuple(signed)


def export_modules(definition: Path, cache: Cache, progress: Progress, folder: Path) -> tuple[Path, ...]:
    """Copy every module that is to be signed into ``folder``, which must not exist.  Returns the copies.

    Raises what ``to_sign`` raises, and BadInput (``output-exists``).
    """
    found = list(to_sign(definition, cache, progress))
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise BadInput("output-exists", "the directory exists", where=str(folder), hint="choose another name") from None
    copies = []
    for modules in found:
        for name, content in modules.built.modules.items():
            shutil.copyfile(cache.path(content), folder / name)
            copies.append(folder / name)
    return tuple(copies)


def to_sign(definition_path: Path, cache: Cache, progress: Progress) -> Iterator[ToSign]:
    """Build what the lock of a definition has of modules with ``signed_by``.

    Raises Stale when the lock is not of this definition, BadInput (``modules-none``) when
    nothing is to be signed, and what ``build_modules`` raises.
    """
    definition = read_definition(definition_path)
    lock = read_lock(lock_path(definition_path))
    if changed := changes(definition, lock):
        what = f"the definition has changed since it was locked: {changed}"
        raise Stale(what, where=str(definition_path), definition=shlex.quote(str(definition_path)))
    context = Context(definition_path.parent, cache, progress)
    wanted = [
        (origin, origin.signed_by, artifact)
        for artifact in lock.artifacts
        if artifact.kind == OsPackages.name
        for origin in read_origins(artifact)
        if origin.signed_by
    ]
    if not wanted:
        raise BadInput(
            "modules-none",
            "the definition has no kernel modules to sign",
            where=str(definition_path),
            hint="say who signs them: signed_by, under modules of os-packages",
        )
    for origin, signing, artifact in wanted:
        yield ToSign(signing, build_modules(origin, artifact, context))
