"""What makes a file a wheel.

What makes it something that two readers read differently is data: tests/corpus/cases/wheel.yaml.
"""

import io
from collections.abc import Callable

import pytest

from appliance.errors import NotTrusted
from appliance.formats.wheel import check_wheel, write_metadata_only
from tests.support.wheels import members, pack

NAME = "our_tool-1.0-py3-none-any.whl"
INFO = "our_tool-1.0.dist-info"
METADATA = members("our-tool", "1.0")[f"{INFO}/METADATA"]


def contents() -> dict[str, str | bytes]:
    return {**members("our-tool", "1.0")}


def check(data: bytes, filename: str = NAME) -> None:
    check_wheel(io.BytesIO(data), filename)


@pytest.mark.parametrize(
    "data",
    [
        pack(contents()),
        pack({"our_tool/": "", **contents()}),
        pack({**contents(), f"{INFO}/": ""}),
        pack({**contents(), f"{INFO}/METADATA": METADATA.replace("our-tool", "Our.Tool")}),
    ],
    ids=["plain", "directory first", "directory last", "another spelling"],
)
def test_a_proper_wheel_passes(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("filename", ["our_tool-1.1-py3-none-any.whl", "tool-1.0-py3-none-any.whl", "our_tool.whl"])
def test_the_file_name_has_to_say_what_is_inside(filename: str) -> None:
    with pytest.raises(NotTrusted, match="not a valid wheel"):
        check(pack(contents()), filename)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data, position: data[:position],
        lambda data, position: data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :],
    ],
    ids=["cut", "flipped"],
)
def test_no_damage_leads_to_another_error(spoil: Callable[[bytes, int], bytes]) -> None:
    data = pack(contents())
    refused = 0
    for position in range(0, len(data), 9):
        try:
            check(spoil(data, position))
        except NotTrusted:
            refused += 1
    assert refused > len(data) // 18


def test_the_metadata_alone_is_what_resolvers_get() -> None:
    part = io.BytesIO()
    write_metadata_only(io.BytesIO(pack({**contents(), "large.bin": "x = 1\n"})), part)
    assert b"Name: our-tool" in part.getvalue()
    assert b"large.bin" not in part.getvalue().replace(b"large.bin,,", b"")
