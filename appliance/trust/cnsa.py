"""The profile CNSA 2.0: for a site that believes neither ECDSA P-256 nor SHA-256 alone.

https://media.defense.gov/2022/Sep/07/2003071834/-1/-1/0/CSA_CNSA_2.0_ALGORITHMS_.PDF names
ML-DSA-87 and SHA-384.  What such a site demands comes on top of what every verifier checks:
the release role's co-signers over the statement, the root chain co-signed, and a list of
SHA-384 that leads from the signed statement to every byte.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

from appliance.errors import ApplianceError, NotTrusted
from appliance.model.documents.bundle import SHA384_LIST, SIGNATURES
from appliance.trust.algorithms import CO_SIGNING
from appliance.trust.root import Root
from appliance.trust.sums import parse_sums
from appliance.trust.threshold import tally

_LIST = re.compile(rf"{re.escape(SHA384_LIST)}\.([0-9a-f]{{96}})")


def check_co_signed(root: Root, signers: Iterable[str]) -> None:
    """Raise NotTrusted (``release-not-co-signed``, ``co-signatures-missing``).

    ``signers`` are the ids of the keys whose signatures over the statement hold.
    """
    role = root.document.roles.release_post_quantum
    if role is None:
        raise NotTrusted(
            "release-not-co-signed",
            f"the root document has no keys that co-sign bundles with {CO_SIGNING}, which the profile demands",
            where=f"trust/{root.document.version}.root.json",
            hint="the signers must add them: appliance root rotate CHAIN --add KEY.pub.pem",
        )
    signed = tally("release post quantum role", role, frozenset(signers))
    if not signed.met:
        raise NotTrusted(
            "co-signatures-missing",
            f"too few {CO_SIGNING} keys have co-signed the bundle, which the profile demands",
            where=f"{SIGNATURES}/",
            expected=f"{signed.threshold} signatures",
            found=str(len(signed.signed)),
            hint="ask the missing co-signers; appliance inspect BUNDLE shows who they are",
        )


def list_paths(paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` that are named as a list of SHA-384 is."""
    return [path for path in paths if _LIST.fullmatch(path)]


def list_path(paths: Iterable[str]) -> str:
    """The one list of SHA-384 among ``paths``.  Raises NotTrusted (``sha384-list-missing``)."""
    found = list_paths(paths)
    if len(found) != 1:
        raise NotTrusted(
            "sha384-list-missing",
            "the bundle does not have exactly one SHA-384 list, which the profile demands",
            where=f"{SHA384_LIST}.*",
            expected="1 list",
            found=str(len(found)),
            hint="the definition must have: profile: cnsa-2.0",
        )
    return found[0]


def read_list(data: bytes, path: str, digests: Mapping[str, str]) -> dict[str, str]:
    """Path to SHA-384 of every listed file but the list itself.

    ``path`` is the list's own, ``digests`` what SHA256SUMS says of all files.  Raises
    NotTrusted: ``file-mismatch``, ``sha384-list-malformed``.
    """
    match = _LIST.fullmatch(path)
    for expected, found in (
        (digests[path], hashlib.sha256(data).hexdigest()),
        (match[1] if match else "", hashlib.sha384(data).hexdigest()),
    ):
        if expected != found:
            raise NotTrusted(
                "file-mismatch", "the file is not the one that was signed", where=path, expected=expected, found=found
            )
    try:
        listed = parse_sums(data, digits=96)
    except ValueError as error:
        raise NotTrusted("sha384-list-malformed", str(error), where=path) from None
    if strange := sorted(set(listed) ^ (set(digests) - {path})):
        raise NotTrusted(
            "sha384-list-malformed", f"it and SHA256SUMS do not list the same files: {strange[0]!r}", where=path
        )
    return listed


def differing(listed: Mapping[str, str], found: Mapping[str, str]) -> list[ApplianceError]:
    """A problem for each file whose SHA-384 is not the listed one."""
    return [
        NotTrusted(
            "file-mismatch",
            "the file is not the one that was signed (SHA-384)",
            where=path,
            expected=digest,
            found=found.get(path, ""),
        )
        for path, digest in listed.items()
        if found.get(path) != digest
    ]
