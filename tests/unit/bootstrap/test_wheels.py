import hashlib
import sys
from pathlib import Path

import pytest

from appliance.bootstrap.problem import BAD_INPUT, NOT_TRUSTED, Problem
from appliance.bootstrap.wheels import Wheels, copy_wheels, find_wheels

OWN = f"cp{sys.version_info.major}{sys.version_info.minor}"
FILES = (
    "appliance-1.0-py3-none-any.whl",
    "pip-26.3-py3-none-any.whl",
    "requirements.txt",
    f"cffi-2.0-{OWN}-{OWN}-manylinux_2_17_x86_64.whl",
    "cryptography-50.0-cp311-abi3-manylinux_2_34_x86_64.whl",
)


def bundle(folder: Path, *names: str, wheels: str = "control") -> Path:
    """A directory with the files ``names`` in ``wheels/<wheels>`` and a list of them."""
    lines = []
    for name in names:
        path = folder / "wheels" / wheels / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        lines.append(f"{hashlib.sha256(name.encode()).hexdigest()}  wheels/{wheels}/{name}\n")
    with (folder / "SHA256SUMS").open("a") as file:
        file.write("".join(lines))
    return folder


def refusal(path: Path) -> Problem:
    with pytest.raises(Problem) as caught:
        find_wheels(path)
    assert caught.value.exit_code == BAD_INPUT
    return caught.value


def test_the_set_with_the_appliance_is_found(tmp_path: Path) -> None:
    bundle(tmp_path, "vllm-1.0-cp312-cp312-linux_x86_64.whl", wheels="gpu")
    wheels = find_wheels(bundle(tmp_path, *FILES))
    assert wheels.folder == tmp_path / "wheels/control"
    assert set(wheels.digests) == set(FILES)
    assert wheels.pip.name == "pip-26.3-py3-none-any.whl"
    assert wheels.size == sum(len(name) for name in FILES)


def test_only_plain_names_of_the_list_are_used(tmp_path: Path) -> None:
    bundle(tmp_path, *FILES)
    with (tmp_path / "SHA256SUMS").open("a") as file:
        for name in ("../x.whl", "control/../../x.whl", "control/sub/x.whl", "control/-x.whl", "../appliance-9.whl"):
            file.write(f"{'0' * 64}  wheels/{name}\n")
    assert set(find_wheels(tmp_path).digests) == set(FILES)


def test_a_bundle_without_a_control_side_is_told(tmp_path: Path) -> None:
    assert "lists 0" in refusal(bundle(tmp_path / "none", "other-1.0-py3-none-any.whl")).what
    two = bundle(bundle(tmp_path / "two", *FILES), *FILES, wheels="second")
    assert "lists 2" in refusal(two).what
    assert "does not carry pip" in refusal(bundle(tmp_path / "no pip", FILES[0], FILES[2])).what
    assert "does not carry pip" in refusal(bundle(tmp_path / "no list", *FILES[:2])).what


def test_wheels_for_another_python_are_told(tmp_path: Path) -> None:
    problem = refusal(bundle(tmp_path, *FILES[:3], "cffi-2.0-cp399-cp399-manylinux_2_17_x86_64.whl"))
    assert problem.what == f"the bundle's wheels are for cp399, this Python is {OWN}"


def test_a_directory_that_is_no_bundle_is_told(tmp_path: Path) -> None:
    assert "the one that holds SHA256SUMS" in refusal(tmp_path).hint


def test_copies_are_what_was_hashed(tmp_path: Path) -> None:
    wheels = find_wheels(bundle(tmp_path, *FILES))
    copies = copy_wheels(wheels, tmp_path / "copies")
    wheels.pip.write_bytes(b"other bytes now")
    assert copies.pip.read_bytes() == b"pip-26.3-py3-none-any.whl"
    assert sorted(path.name for path in copies.folder.iterdir()) == sorted(FILES)


def _flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"X")


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def test_other_bytes_are_not_trusted(tmp_path: Path) -> None:
    wheels = find_wheels(bundle(tmp_path, *FILES))
    _flip(wheels.pip)
    with pytest.raises(Problem) as caught:
        copy_wheels(wheels, tmp_path / "copies")
    assert (caught.value.exit_code, caught.value.where) == (NOT_TRUSTED, str(wheels.pip))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    wheels: Wheels = find_wheels(bundle(tmp_path, *FILES))
    _link(wheels.pip)
    with pytest.raises(Problem, match="cannot be read"):
        copy_wheels(wheels, tmp_path / "copies")
