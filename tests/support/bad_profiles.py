"""Bundles that are good enough for most sites, but not for one that demands the profile CNSA 2.0."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.trust.root import read_root
from tests.support.bundles import (
    CNSA,
    FIRST,
    FIRST_PQ,
    PLAIN,
    SECOND,
    SECOND_PQ,
    Recipe,
    root_document,
    sha384_list_from,
    sha384_list_of,
    sign_root,
)


@dataclass(frozen=True)
class ProfileCase:
    """A bundle that everybody accepts but a site that demands the profile, which calls it ``reference``."""

    name: str
    reference: str
    recipe: Recipe


_ALL = (FIRST, SECOND, FIRST_PQ, SECOND_PQ)
_FIRST_ROOT = CNSA.roots[0]


def _next(signed_by: tuple[int, ...], keys: tuple[int, ...] = _ALL) -> Recipe:
    """A chain of two documents; who signs the bundle is right."""
    return CNSA.but(roots=(_FIRST_ROOT, root_document(2, keys, signed_by=signed_by)))


def _edited(change: Callable[[bytes], bytes]) -> Recipe:
    """The list is another one, under the name that it has then."""

    def lists(files: Mapping[str, bytes]) -> dict[str, bytes]:
        (data,) = sha384_list_of(files).values()
        return sha384_list_from(change(data))

    return CNSA.but(lists=lists)


def _misnamed(files: Mapping[str, bytes]) -> dict[str, bytes]:
    (data,) = sha384_list_of(files).values()
    return {f"evidence/SHA384SUMS.{hashlib.sha384(b'another list').hexdigest()}": data}


def _one_hash(data: bytes) -> bytes:
    """The SHA-384 of the first file is another's."""
    return hashlib.sha384(b"").hexdigest().encode() + data[96:]


PROFILE_CASES = (
    ProfileCase("no co-signers in the root", "root-not-co-signed", PLAIN.but(lists=sha384_list_of)),
    ProfileCase(
        "co-signers of roots only",
        "release-not-co-signed",
        CNSA.but(
            roots=(
                root_document(1, _ALL, change=lambda document: document["roles"].__delitem__("release_post_quantum")),
            ),
            signers=(FIRST, SECOND),
        ),
    ),
    ProfileCase(
        "co-signers of bundles only",
        "root-not-co-signed",
        CNSA.but(
            roots=(
                root_document(
                    1,
                    _ALL,
                    signed_by=(FIRST, SECOND),
                    change=lambda document: document["roles"].__delitem__("root_post_quantum"),
                ),
            )
        ),
    ),
    ProfileCase(
        "trusted root is not co-signed",
        "root-threshold",
        CNSA.but(roots=(sign_root(read_root(_FIRST_ROOT, "").envelope.payload, (11, 12)),)),
    ),
    ProfileCase("next root is not co-signed", "root-threshold", _next((FIRST, SECOND))),
    ProfileCase("next root is co-signed by too few", "root-threshold", _next((FIRST, SECOND, FIRST_PQ))),
    ProfileCase(
        "next root has no co-signers",
        "root-not-co-signed",
        _next((*_ALL,), (FIRST, SECOND)).but(signers=(FIRST, SECOND)),
    ),
    ProfileCase(
        "next root has other co-signers, and the old ones did not agree",
        "root-threshold",
        _next((FIRST, SECOND, 1021, 1022), (FIRST, SECOND, 1021, 1022)).but(signers=(FIRST, SECOND, 1021, 1022)),
    ),
    ProfileCase("nobody has co-signed the bundle", "co-signatures-missing", CNSA.but(signers=(FIRST, SECOND))),
    ProfileCase(
        "too few have co-signed the bundle", "co-signatures-missing", CNSA.but(signers=(FIRST, SECOND, SECOND_PQ))
    ),
    ProfileCase("no list", "sha384-list-missing", CNSA.but(lists=lambda files: {})),
    ProfileCase("list under another name", "file-mismatch", CNSA.but(lists=_misnamed)),
    ProfileCase("a file is not in the list", "sha384-list-malformed", _edited(lambda data: data.split(b"\n", 1)[1])),
    ProfileCase(
        "a file too many is in the list",
        "sha384-list-malformed",
        _edited(lambda data: data + b"%b  zzz\n" % (b"0" * 96)),
    ),
    ProfileCase(
        "list is not sorted",
        "sha384-list-malformed",
        _edited(lambda data: b"\n".join(data.split(b"\n")[-2::-1]) + b"\n"),
    ),
    ProfileCase("no line break at the end", "sha384-list-malformed", _edited(lambda data: data[:-1])),
    ProfileCase("list is empty", "sha384-list-malformed", _edited(lambda data: b"")),
    ProfileCase(
        "list of SHA-256", "sha384-list-malformed", _edited(lambda data: data.replace(data[:96], data[:64], 1))
    ),
    ProfileCase("capitals in the list", "sha384-list-malformed", _edited(lambda data: data[:96].upper() + data[96:])),
    ProfileCase("another SHA-384", "file-mismatch", _edited(_one_hash)),
)
