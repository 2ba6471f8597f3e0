"""What a wheel set may say, and which of a release's wheels its target would take."""

import platform
import sys
from typing import Any

import pytest
from packaging.tags import sys_tags
from pydantic import ValidationError

from appliance.model.documents.wheel_set import WheelSet, read_projects, write_record

DEBIAN_13 = {"python": "3.13", "platform": "x86_64-manylinux_2_41"}


def wheel_set(**fields: Any) -> WheelSet:
    lists = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    return WheelSet.model_validate({"requirements": ["redis"], **DEBIAN_13, **lists}, strict=False)


def index(name: str, *packages: str, url: str = "https://wheels.example/simple") -> dict[str, Any]:
    return {"name": name, "url": url, "packages": list(packages)}


def test_the_tags_are_those_of_pip_on_the_target() -> None:
    libc, version = platform.libc_ver()
    if libc != "glibc" or platform.machine() != "x86_64" or sys.implementation.name != "cpython":
        pytest.skip("needs CPython on x86-64 with glibc, to compare with")
    target = {"python": "{}.{}".format(*sys.version_info), "platform": f"x86_64-manylinux_{version.replace('.', '_')}"}
    here = [tag for tag in sys_tags() if "musllinux" not in tag.platform]

    tags = wheel_set(**target).tags()

    assert set(tags) == set(here)
    many = [tag for tag in tags if tag.platform.startswith("many")]
    assert many == [tag for tag in here if tag.platform.startswith("many")]


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (["a-1-py3-none-any.whl", "a-1-cp313-cp313-manylinux_2_28_x86_64.whl"], 1),
        (["a-1-cp313-cp313-manylinux2014_x86_64.whl", "a-1-cp313-cp313-manylinux_2_41_x86_64.whl"], 1),
        (["a-1-cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "a-1-py3-none-any.whl"], 0),
        (["a-1-1-py3-none-any.whl", "a-1-2-py3-none-any.whl", "a-1-py3-none-any.whl"], 1),
        (["a-1-cp313-cp313-manylinux_2_42_x86_64.whl"], None),
        (["a-1-cp313-cp313t-manylinux_2_28_x86_64.whl", "a-1-cp314-cp314-manylinux_2_28_x86_64.whl"], None),
        (["a-1-cp313-cp313-manylinux_2_28_aarch64.whl", "a-1-cp313-cp313-musllinux_1_2_x86_64.whl"], None),
        (["a-1-cp313-cp313-win_amd64.whl", "a-1.tar.gz", "no wheel.whl"], None),
        (["a-1-py3-none-any.x/../../../y.whl"], None),
        ([], None),
    ],
    ids=["binary", "newer glibc", "abi3", "build", "glibc too new", "python", "platform", "others", "path", "none"],
)
def test_the_wheel_that_fits_best_is_taken(offered: list[str], taken: int | None) -> None:
    expected = None if taken is None else offered[taken]
    assert wheel_set().choose(offered) == expected
    assert wheel_set().choose(reversed(offered)) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"python": "3"}, "python"),
        ({"python": "3.13rc1"}, "python"),
        ({"platform": "linux"}, "not a platform"),
        ({"platform": "x86_64-manylinux_2_12"}, "not a platform"),
        ({"requirements": ["redis=5"]}, "not a requirement"),
        ({"requirements": ["--index-url https://wheels.example"]}, "not a requirement"),
        ({"requirements": ["redis @ https://wheels.example/redis.whl"]}, "has an address"),
        ({"requirements": []}, "nothing to resolve"),
        ({"projects": ["/srv/project"]}, "relative to the definition"),
        ({"index": "http://wheels.example/simple"}, "not the https address"),
        ({"index": "file:///srv/simple"}, "not the https address"),
        ({"index": "https://name:secret@wheels.example/simple"}, "a user or a password"),
        ({"indexes": [index("own", "redis"), index("other", "Redis")]}, "'redis' appears twice"),
        ({"indexes": [index("own", "redis"), index("own", "hiredis")]}, "'own' appears twice"),
        ({"indexes": [index("own", "redis==5")]}, "not the name of a Python distribution"),
        ({"indexes": [index("own")]}, "indexes"),
        ({"exclude": ["Redis"]}, "both required and excluded"),
        ({"sdists": ["docopt"]}, "docopt cannot be built from an sdist"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        wheel_set(**fields)
    assert "secret" not in caught.value.errors()[0]["msg"]


def test_the_record_keeps_what_people_ask_and_fetching_needs() -> None:
    wheels = wheel_set(
        projects=("..", "../with space"), exclude=("triton",), indexes=(index("pytorch", "torch", "torchvision"),)
    )
    record = write_record(wheels)
    assert record["wheels-index-pytorch"] == "https://wheels.example/simple for torch torchvision"
    assert record["wheels-exclude"] == "triton"
    assert read_projects(record) == ("..", "../with space")
    assert read_projects(write_record(wheel_set())) == ()
