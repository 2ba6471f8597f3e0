from itertools import pairwise

import pytest

from appliance.model.versions import version_key

OLD_TO_NEW = [
    "0.9-rc.1",
    "0.9",
    "1.0.0-0",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-rc.2",
    "1.0.0-rc.10",
    "1.0.0",
    "1.0.0.1",
    "1.2",
    "1.10",
    "2026.11.1",
]


def test_versions_are_ordered_from_old_to_new() -> None:
    assert all(version_key(older) < version_key(newer) for older, newer in pairwise(OLD_TO_NEW))


def test_missing_numbers_are_zero() -> None:
    assert version_key("1.0") == version_key("1.0.0.0")


def test_what_is_no_version_has_no_place() -> None:
    with pytest.raises(ValueError, match="not a version"):
        version_key("latest")
