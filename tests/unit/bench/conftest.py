from pathlib import Path

import pytest

from tests.bench.cases import Case, cases
from tests.bench.stage import Sizes, Stage


@pytest.fixture
def every_case(tmp_path: Path) -> list[Case]:
    """All cases; nothing of what they need has been made."""
    return cases(Stage(tmp_path, Sizes(weights=100, one=100, small=1, tiny=1)))
