"""What becomes of a built image: hand-made tars in, our own form out."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.images.layer import normalise
from appliance.errors import Failed
from appliance.store.cache import Cache
from tests.support.tiny_images import sha256, to_json

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = {"User": "10001:10001", "Env": ["A=1"], "Entrypoint": ["/bin/cat"], "Labels": None, "WorkingDir": "/"}


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: Any
) -> tuple[tarfile.TarInfo, bytes]:
    """One entry as another tool would write it: with times and owners' names."""
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.size = len(content)
    entry.mtime = 1_700_000_000.25
    entry.uname = entry.gname = "somebody"
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry, content


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.DIRTYPE, mode=0o755)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.LNKTYPE, linkname=target)


class Host:
    """A cache, and images that lie as buildah leaves them."""

    def __init__(self, place: Path) -> None:
        self.cache = Cache(place / "cache")
        self.built = place / "built"
        self.built.mkdir()

    def image(self, *members: tuple[tarfile.TarInfo, bytes], layers: int = 1, media_type: str = LAYER) -> None:
        """Write an image of one layer; ``layers`` repeats it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry, content in members:
                archive.addfile(entry, io.BytesIO(content))
        config = to_json({"architecture": "amd64", "os": "linux", "created": "now", "author": "me", "config": CONFIG})
        manifest = {
            "config": self._write(config),
            "layers": [{**self._write(buffer.getvalue()), "mediaType": media_type}] * layers,
        }
        (self.built / "manifest.json").write_bytes(to_json(manifest))

    def normalise(self) -> dict[str, Any]:
        """Our manifest of the image."""
        with self.cache.work("test") as work:
            manifest = normalise(self.built, self.cache, work)
        return self._read(f"sha256:{manifest.sha256}")

    def config(self) -> dict[str, Any]:
        return self._read(self.normalise()["config"]["digest"])

    def members(self) -> list[tarfile.TarInfo]:
        """The entries of our layer, in their order."""
        with tarfile.open(self.path(self.normalise()["layers"][0]["digest"])) as archive:
            return archive.getmembers()

    def names(self) -> list[str]:
        return [entry.name for entry in self.members()]

    def _write(self, data: bytes) -> dict[str, str]:
        (self.built / sha256(data)).write_bytes(data)
        return {"digest": f"sha256:{sha256(data)}"}

    def path(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self.cache.root / "blobs" / "sha256" / name[:2] / name

    def _read(self, digest: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.path(digest).read_bytes())
        return document


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


FILES = (folder("etc"), member("etc/b", b"2"), member("etc/a", b"1"), member("etc-more", b"3"))


def digest_of(place: Path, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> str:
    place.mkdir()
    host = Host(place)
    host.image(*members)
    return str(host.normalise()["layers"][0]["digest"])


def test_entries_are_sorted_by_path_and_a_directory_comes_before_what_it_holds(host: Host) -> None:
    host.image(*FILES)
    assert host.names() == ["etc", "etc/a", "etc/b", "etc-more"]


def test_the_order_of_the_builder_does_not_show(tmp_path: Path) -> None:
    assert digest_of(tmp_path / "one", FILES) == digest_of(tmp_path / "two", FILES[::-1])


def test_no_time_and_no_name_of_an_owner_is_kept(host: Host) -> None:
    host.image(member("f", b"x", mode=0o4755, uid=10001, gid=3_000_000))
    (entry,) = host.members()
    assert (entry.mtime, entry.uname, entry.gname) == (0, "", "")
    assert (entry.mode, entry.uid, entry.gid) == (0o4755, 10001, 3_000_000)


def test_contents_and_links_are_kept(host: Host) -> None:
    long_name = "d/" + "è" * 90
    host.image(member(long_name, b"content"), member("s", kind=tarfile.SYMTYPE, linkname="../nowhere"))
    with tarfile.open(host.path(host.normalise()["layers"][0]["digest"])) as archive:
        file = archive.extractfile(long_name)
        assert file is not None
        assert file.read() == b"content"
        assert archive.getmember("s").linkname == "../nowhere"


def test_a_hard_link_comes_after_what_it_points_to(host: Host) -> None:
    host.image(member("usr/z", b"x"), hard_link("bin/a", "usr/z"))
    assert host.names() == ["usr/z", "bin/a"]


def test_what_the_runtime_fills_is_empty(host: Host) -> None:
    runtime = ("dev", "proc", "run", "sys", "tmp")
    left = [member(f"{name}/left", b"x") for name in runtime]
    host.image(*map(folder, runtime), *left, member("tmpfile", b"x"))
    assert host.names() == [*runtime, "tmpfile"]


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_a_special_file_is_refused(host: Host, kind: bytes) -> None:
    host.image(member("etc/odd", kind=kind))
    with pytest.raises(Failed, match="special file") as caught:
        host.normalise()
    assert (caught.value.reference, caught.value.where) == ("image-form", "etc/odd")


def test_extended_attributes_are_refused(host: Host) -> None:
    host.image(member("bin/ping", b"x", pax_headers={"SCHILY.xattr.security.capability": "cap_net_raw"}))
    with pytest.raises(Failed, match="extended attributes") as caught:
        host.normalise()
    assert caught.value.where == "bin/ping"


def test_only_one_uncompressed_layer_is_taken(host: Host) -> None:
    host.image(*FILES, layers=2)
    with pytest.raises(Failed, match="one uncompressed layer"):
        host.normalise()
    host.image(*FILES, media_type=f"{LAYER}+gzip")
    with pytest.raises(Failed, match="one uncompressed layer"):
        host.normalise()


def test_the_configuration_is_what_a_runtime_acts_on(host: Host) -> None:
    host.image(*FILES)
    config = host.config()
    assert config["config"] == {"User": "10001:10001", "Env": ["A=1"], "Entrypoint": ["/bin/cat"]}
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert config["rootfs"]["diff_ids"] == [host.normalise()["layers"][0]["digest"]]
    assert "author" not in config


def test_a_refused_image_leaves_nothing_behind(host: Host) -> None:
    host.image(member("a", b"x"), member("b", kind=tarfile.FIFOTYPE))
    with pytest.raises(Failed):
        host.normalise()
    assert list((host.cache.root / "work").iterdir()) == []
