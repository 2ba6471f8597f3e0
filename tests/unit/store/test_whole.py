"""Small files are there whole, or as they were."""

from pathlib import Path

import pytest

from appliance.errors import BadInput
from appliance.store.whole import write_whole


def test_an_existing_file_is_not_replaced_when_it_must_not_be(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    with pytest.raises(BadInput, match="not overwritten"):
        write_whole(path, b"new", mode=0o600, replace=False)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
