"""Pickles are read and never loaded: what they import, in each form that loaders take."""

import io
import pickle
import struct
import tarfile
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


class Named(pickle.Unpickler):
    """A loader that only says what it would import."""

    def find_class(self, module: str, name: str) -> object:
        raise LookupError(f"{module}.{name}")


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


@pytest.mark.parametrize(
    "descr",
    [
        "'|O'",
        '"|O"',
        "[('a', '|O')]",
        "[('a', [('b', 'O')])]",
        # NumPy makes objects of these too.
        "'object'",
        r"'\x4f'",
        "'f4,object'",
        "'<f4', 'descr': 'object'",
        "[('a', '<f4'), ('b', 'object')]",
        "('<f4', 'object')",
    ],
)
def test_arrays_of_objects_are_pickles(descr: str) -> None:
    assert strange_imports(array(descr, pickled(Runs()))) == ("posix.system",)


@pytest.mark.parametrize(
    "descr", ["'<f4'", "'>i8'", "'|b1'", "'<c16'", "'|V2'", "'<U12'", "[('a', '<f4'), ('b', '|u1', (2, 3))]"]
)
def test_arrays_of_numbers_are_none(descr: str) -> None:
    assert strange_imports(array(descr, b"\x80\x04\x95\x00")) == ()


def test_an_array_of_a_version_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        strange_imports(array("'<f4'", b"").replace(b"NUMPY\x01", b"NUMPY\x04"))


def test_older_files_of_torch_are_five_pickles_and_numbers() -> None:
    start = pickled(OLD_TORCH, 2) + pickled(1001, 2) + pickled({}, 2)
    assert strange_imports(start + pickled({}, 2) + pickled([], 2) + b"\xff" * 64) == ()
    assert strange_imports(start + pickled(Runs(), 2) + pickled([], 2) + b"\xff" * 64) == ("posix.system",)
    assert strange_imports(start + pickled({}, 2) + pickled([], 2) + pickled(Runs(), 2)) == ("posix.system",)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, None])
def test_an_archive_that_begins_like_an_older_file_of_torch_is_refused(form: int | None) -> None:
    """torch.load tries tarfile first, and a name in it is as good a place for five pickles as any."""
    name = (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + b"N." * 4).ljust(100, b"\x00")
    assert strange_imports(name) == ()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form or tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("pickle")
        member.size = len(pickled(Runs(), 2))
        tar.addfile(member, io.BytesIO(pickled(Runs(), 2)))
    header = bytearray(name + made.getvalue()[100:512])
    if form is None:  # as tar was before POSIX: without a magic
        header[257:265] = bytes(8)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data = bytes(header) + made.getvalue()[512:]
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as opened:
        assert opened.getmembers()
    for sure in (True, False):
        with pytest.raises(ValueError, match="is a tar archive"):
            strange_imports(data, sure=sure)
    assert strange_imports(archive({"a/inner": data})) == ("the member a/inner",)


def test_an_archive_is_found_where_zipfile_finds_it() -> None:
    assert strange_imports(archive({"a/data.pkl": pickled({})})) == ()
    for front in (b"#!/bin/sh\n", pickled({}), b"\x00" * 99):
        for content in (b"N.", pickled(Runs())):
            with pytest.raises(ValueError, match="bytes in front"):
                strange_imports(front + archive({"a/data.pkl": content}), sure=False)
    # As zipfile reads it, nothing stands in front of the second one; others take the place that its end tells.
    with pytest.raises(ValueError, match="bytes in front"):
        strange_imports(archive({"a/data.pkl": pickled(Runs())}) + archive({"a/data.pkl": b"N."}))


@pytest.mark.parametrize("protocol", range(6))
def test_no_name_of_a_member_hides_a_pickle(protocol: int) -> None:
    assert strange_imports(archive({"a/data/0": pickled(Runs(), protocol)})) == ("posix.system",)
    assert strange_imports(archive({"a/data/0": b"zip in front" + archive({})})) == ("the member a/data/0",)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"I0x10\n0",  # C reads such numbers, Python does not
        b"S'\xff'\n0",  # a text, for who asks for latin-1
        b"N.",
        b"\x80\x01",
        b"(p0\n0",
    ],
)
def test_what_may_be_anything_is_read_as_far_as_a_loader_gets(start: bytes) -> None:
    assert strange_imports(start + b"cos\nsystem\n(S'id'\ntR.", sure=False) == ("os.system",)
    assert strange_imports(start + b"cos\nsystem\n(S'id'\ntR\xff and no pickle", sure=False) == ("os.system",)
    assert strange_imports(start + b"(S'id'\nios\nsystem\n.", sure=False) == ("os.system",)


def test_what_reaches_over_the_end_of_a_frame_is_refused() -> None:
    """Python's own unpickler drops the rest of a frame there, and goes on at another place than pickletools."""
    hidden = b"cposix\nsystem\n(V touch /tmp/somebody-loaded-it\ntR."
    inside = hidden.ljust(ord("c") + 1, b" ")[1:]
    data = b"\x80\x04\x95" + struct.pack("<Q", 3) + b"\x8c\x01" + b"a" + b"N."
    assert strange_imports(data) == ()
    # The frame ends before the "a": the loader reads "U" in its place, and then an import of what is a text to us.
    data = b"\x80\x04\x95" + struct.pack("<Q", 3) + b"\x8c\x02a" + b"bU" + b"c" + inside + b"."
    loader = Named(io.BytesIO(data))
    with pytest.raises(LookupError, match=r"posix\.system"):
        loader.load()
    for sure in (True, False):
        with pytest.raises(ValueError, match="frame"):
            strange_imports(data, sure=sure)
    nested = b"\x80\x04\x95" + struct.pack("<Q", 10) + b"\x95" + struct.pack("<Q", 2) + b"NN."
    with pytest.raises(ValueError, match="frame"):
        strange_imports(nested)


@pytest.mark.parametrize("name", [b"system", b":x", b"syst\xc3\xa8me", b"syst\xe8me", b""])
@pytest.mark.parametrize("start", [b"c", b"(i"])
def test_a_module_is_imported_before_its_name_is_looked_for(start: bytes, name: bytes) -> None:
    (found,) = strange_imports(start + b"antigravity\n" + name + b"\n\xff", sure=False)
    assert found.startswith("antigravity.")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"import os\nimport sys\n",
        b"class Model(Base):\n    pass\n",
        b"GGUF\x03\x00\x00\x00\x23\x01" + bytes(99),
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        b"\x82\xa6params\x81\xa1a\x01",
        b"\x93\x93" + bytes(99),
        b"BZh91AY&SY" + bytes(99),
        b"\x08\x07\x12\x07pytorch",
        pickled(OrderedDict(a=1)),
    ],
)
def test_what_is_no_pickle_imports_nothing(data: bytes) -> None:
    assert strange_imports(data, sure=False) == ()


def test_what_may_be_anything_and_goes_on_behind_what_is_read_is_refused() -> None:
    long = b"X" + struct.pack("<I", MAX_PICKLE) + b"a" * (MAX_PICKLE + 1)
    with pytest.raises(ValueError, match="looked into"):
        strange_imports(long[: MAX_PICKLE + 1], sure=False)
    assert strange_imports((b"GGUF" + bytes(MAX_PICKLE))[: MAX_PICKLE + 1], sure=False) == ()


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
