"""What uv's answers become; the answers here are in its own words."""

from pathlib import Path
from typing import Any

import pytest

from appliance.errors import BadInput, Failed
from appliance.model.documents.wheel_set import Index, WheelSet
from appliance.tools import uv

DIGEST = "5" * 64
PYLOCK = f"""\
lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "our-tool"
version = "1.0"
archive = {{ path = "/made/our_tool-1.0-py3-none-any.whl", hashes = {{ sha256 = "{DIGEST}" }} }}

[[packages]]
name = "torch"
version = "2.13.0+cpu"
wheels = [
    {{ url = "https://wheels.example/torch-2.13.0%2Bcpu-py3-none-any.whl", hashes = {{ sha256 = "{DIGEST}" }} }},
    {{ name = "torch-2.13.0+cpu-py2-none-any.whl", url = "https://x", size = 7, hashes = {{ sha256 = "{DIGEST}" }} }},
]
"""
LISTING = """\
our-tool @ file:///made/our_tool-1.0-py3-none-any.whl
    # via wheels-set (pyproject.toml)
redis[hiredis]==5.0.8
    # via our-tool
    # from https://pypi.org/simple
torch==2.13.0+cpu
    # via
    #   wheels-set (pyproject.toml)
    #   our-tool
    # from https://wheels.example/simple/
"""


def question(**fields: Any) -> uv.Resolution:
    index = Index(name="own", url="https://wheels.example/simple", packages=("torch",))
    wheels = WheelSet(
        python="3.13",
        platform="x86_64-manylinux_2_41",
        requirements=("redis",),
        **{"indexes": (index,), **fields},
    )
    return uv.Resolution("wheels/set", wheels, {}, (Path("/made/our_tool-1.0-py3-none-any.whl"),), {})


class Answers:
    """Stands in for ``run``: writes ``listing`` or ``pylock``, remembers the arguments."""

    def __init__(self, listing: str = LISTING, pylock: str = PYLOCK) -> None:
        self.listing = listing
        self.pylock = pylock
        self.argv: list[str] = []

    def __call__(self, argv: list[Any], **options: Any) -> str:
        self.argv = [str(word) for word in argv]
        text = self.pylock if "pylock.toml" in self.argv else self.listing
        Path(self.argv[self.argv.index("--output-file") + 1]).write_text(text)
        return ""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    fake = Answers()
    monkeypatch.setattr(uv, "run", fake)
    return fake


def test_packages_of_indexes_are_told_with_all_wheels(answers: Answers, tmp_path: Path) -> None:
    (package,) = uv.resolve(question(), tmp_path)
    assert (package.name, package.version) == ("torch", "2.13.0+cpu")
    assert [(wheel.filename, wheel.sha256, wheel.size) for wheel in package.wheels] == [
        ("torch-2.13.0+cpu-py3-none-any.whl", DIGEST, None),
        ("torch-2.13.0+cpu-py2-none-any.whl", DIGEST, 7),
    ]


def test_a_platform_newer_than_uv_knows_becomes_the_newest_known(answers: Answers, tmp_path: Path) -> None:
    uv.resolve(question(), tmp_path)
    assert answers.argv[answers.argv.index("--python-platform") + 1] == "x86_64-manylinux_2_40"
    assert answers.argv[answers.argv.index("--python-version") + 1] == "3.13"


@pytest.mark.parametrize(
    ("found", "other"),
    [("https://wheels.example/simple/", "https://pypi.org/simple"), ("https://pypi.org/simple", "https://x.example")],
    ids=["bound name elsewhere", "other name elsewhere"],
)
def test_a_name_from_another_index_is_refused(found: str, other: str, answers: Answers, tmp_path: Path) -> None:
    answers.listing = LISTING.replace(f"from {found}", f"from {other}")
    with pytest.raises(BadInput) as caught:
        uv.resolve(question(), tmp_path)
    assert caught.value.reference == "wheels-index-mixed"
    assert caught.value.found == other


def test_a_wheel_without_sha256_is_refused(answers: Answers, tmp_path: Path) -> None:
    answers.pylock = PYLOCK.replace("sha256", "md5")
    with pytest.raises(BadInput) as caught:
        uv.resolve(question(), tmp_path)
    assert caught.value.reference == "wheel-without-sha256"


@pytest.mark.parametrize(
    ("said", "reference", "told"),
    [
        (
            "error: No solution found when resolving dependencies\n  cause: Because all versions of docopt have no "
            "usable wheels and wheels-set depends on docopt, we can conclude that it is unsatisfiable.\n\n"
            "hint: Wheels are required for `docopt` because building from source is disabled for all packages",
            "sdist-refused",
            "docopt",
        ),
        (
            "error: No solution found when resolving dependencies\n  cause: Because only certifi<=1 is available",
            "wheels-unresolvable",
            "certifi<=1",
        ),
        (
            "error: Request failed after 3 retries in 9.6s\n  cause: Failed to fetch: http://127.0.0.1:9/simple/x/\n"
            "  cause: Connection refused (os error 111)",
            "source-unreachable",
            "Connection refused",
        ),
    ],
    ids=["sdist", "unsatisfiable", "unreachable"],
)
def test_what_uv_says_is_told_with_its_own_reference(
    said: str, reference: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(argv: list[Any], **options: Any) -> str:
        raise Failed("tool-failed", f"uv ended with 1:\n{said}")

    monkeypatch.setattr(uv, "run", refuse)
    with pytest.raises(BadInput, match=told) as caught:
        uv.resolve(question(), tmp_path)
    assert caught.value.reference == reference
