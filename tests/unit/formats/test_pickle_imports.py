"""Pickles are read and never loaded: what they import, in each form that loaders take."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import PurePosixPath

import pytest

from appliance.formats.pickle_imports import strange_imports
from appliance.model.limits import MAX_PICKLE

OLD_TORCH = 0x1950A86A20F9469CFC6C


class Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return (__import__("os").system, ("touch /tmp/somebody-loaded-it",))


def pickled(value: object, protocol: int = 4) -> bytes:
    return pickle.dumps(value, protocol)


def archive(members: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return data.getvalue()


def array(descr: str, content: bytes) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize("protocol", range(6))
def test_what_a_pickle_runs_is_named(protocol: int) -> None:
    assert strange_imports(pickled(Runs(), protocol)) == ("posix.system",)


@pytest.mark.parametrize("protocol", range(6))
def test_weights_need_nothing_strange(protocol: int) -> None:
    assert strange_imports(pickled(OrderedDict(a=1, b=[2.0, "text"]), protocol)) == ()


def test_tensors_as_torch_writes_them() -> None:
    # The opcodes of torch.save for one tensor: protocol 2, storages by persistent id.
    tensor = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQK\x00"
        b"K\x01\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR."
    )
    assert strange_imports(tensor) == ()
    assert strange_imports(archive({"archive/data.pkl": tensor, "archive/data/0": b"\x80\x02 no pickle"[2:]})) == ()


def test_archives_are_looked_into() -> None:
    assert strange_imports(archive({"a/data.pkl": pickled(Runs())})) == ("posix.system",)
    assert strange_imports(archive({"a/tensors.data": pickled(Runs())})) == ("posix.system",)
    assert strange_imports(archive({"a/x.npy": array("'|O'", pickled(Runs()))})) == ("posix.system",)
    assert strange_imports(archive({"a/code/model.py": b"import os"})) == ("the member a/code/model.py",)
    assert strange_imports(archive({"a/inner.bin": archive({})})) == ("the member a/inner.bin",)


@pytest.mark.parametrize("descr", ["'|O'", '"|O"', "[('a', '|O')]", "[('a', [('b', 'O')])]"])
def test_arrays_of_objects_are_pickles(descr: str) -> None:
    assert strange_imports(array(descr, pickled(Runs()))) == ("posix.system",)


def test_arrays_of_numbers_are_none() -> None:
    assert strange_imports(array("'<f4'", b"\x80\x04\x95\x00")) == ()


def test_older_files_of_torch_are_five_pickles_and_numbers() -> None:
    start = pickled(OLD_TORCH, 2) + pickled(1001, 2) + pickled({}, 2)
    assert strange_imports(start + pickled({}, 2) + pickled([], 2) + b"\xff" * 64) == ()
    assert strange_imports(start + pickled(Runs(), 2) + pickled([], 2) + b"\xff" * 64) == ("posix.system",)


def test_what_comes_after_the_first_pickle_is_read_too() -> None:
    assert strange_imports(pickled({}) + pickled(Runs())) == ("posix.system",)
    with pytest.raises(ValueError, match="not read to its end"):
        strange_imports(pickled({}) + b"\xff\xff")


def test_a_name_that_is_put_together_is_strange() -> None:
    # STACK_GLOBAL takes what a call left behind: no text of the pickle says what that is.
    made = b"\x80\x04cbuiltins\nset\n)R\x8c\x06system\x93."
    assert strange_imports(made) == ("something that cannot be told before it is loaded",)
    remembered = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93."
    assert strange_imports(remembered) == ("os.system",)
    assert strange_imports(b"\x80\x02\x82\x01.") == ("something that cannot be told before it is loaded",)


def test_a_name_that_only_begins_like_a_good_one_is_strange() -> None:
    assert strange_imports(b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.") == (
        "collections.OrderedDict.__init__",
    )
    assert strange_imports(pickled(PurePosixPath)) == ("pathlib.PurePosixPath",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04",
        b"no pickle",
        pickled([1])[:-1],
        archive({"data.pkl": b"\x80\x04"}),
        archive({})[:-4],
        b"PK\x03\x04",
    ],
)
def test_what_is_not_read_to_its_end_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"is"):
        strange_imports(data)


def test_what_is_too_large_to_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="looked into"):
        strange_imports(b"\x80\x04" + b"N" * MAX_PICKLE)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/data/0", bytes(MAX_PICKLE + 1))
    with pytest.raises(ValueError, match="unpacks to more"):
        strange_imports(packed.getvalue())
