"""The order of versions, so that a site does not take an older bundle for a newer one.

Numbers compare as numbers, missing ones are 0, and a pre-release comes before its release,
as in Semantic Versioning 2.0.0, section 11 (https://semver.org).
"""

from appliance.model.names import check_version

_NUMBERS = 4
VersionKey = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]


def version_key(version: str) -> VersionKey:
    """Sorts versions from old to new.  Raises ValueError for what is no version."""
    numbers, dash, before = check_version(version).partition("-")
    parts = [int(part) for part in numbers.split(".")]
    parts += [0] * (_NUMBERS - len(parts))
    identifiers = before.split(".") if dash else []
    return tuple(parts), 0 if dash else 1, tuple(_identifier(part) for part in identifiers)


def _identifier(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdecimal() else (1, 0, part)
