"""The layout, over documents that lie in the cache already: no registry is asked."""

import json
from pathlib import Path

import pytest

from appliance.artifacts.base import Context
from appliance.artifacts.images.documents import Document
from appliance.artifacts.images.kind import Images
from appliance.artifacts.images.section import RegistryOrigin
from appliance.errors import BadInput, NotTrusted
from appliance.formats.oci import REF_NAME
from appliance.model.documents.lock import LockedArtifact, LockedFile
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support import tiny_images as tiny

KIND = Images()


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path, Cache(tmp_path / "cache"), Silent())


def locked(context: Context, name: str, image: tiny.Image) -> LockedArtifact:
    """What ``fetch`` leaves of an image in OCI's form, which nothing is attached to."""
    contents = [context.sink.put(data) for data in (image.data, *image.blobs)]
    files = {LockedFile(path=f"blobs/sha256/{item.sha256}", sha256=item.sha256, size=item.size) for item in contents}
    origin = RegistryOrigin(image="registry.example/a:1", platform="linux/amd64", manifest=image.digest)
    return LockedArtifact(
        kind="images",
        name=name,
        definition="0" * 64,
        licence="MIT",
        source=origin.as_fields(),
        files=tuple(files),
    )


def test_all_images_lie_in_one_layout_under_their_names(context: Context) -> None:
    one, two = tiny.image(tiny.layer("base"), tiny.layer("one")), tiny.image(tiny.layer("base"))
    layouts, shared = KIND.lay_out([locked(context, "two", two), locked(context, "one", one)], context)
    heads = {file.path: context.sink.path(file).read_bytes() for file in shared}
    entries = json.loads(heads["images/index.json"])["manifests"]

    assert [(entry["annotations"][REF_NAME], entry["digest"]) for entry in entries] == [
        ("one", one.digest),
        ("two", two.digest),
    ]
    assert json.loads(heads["images/oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert layouts[0].details.fields() == {
        "manifest_digest": two.digest,
        "platform": "linux/amd64",
        "upstream_digest": two.digest,
    }
    base = f"images/blobs/sha256/{tiny.sha256(tiny.layer('base'))}"
    assert all(base in {file.path for file in layout.files} for layout in layouts)


def test_no_images_make_no_layout(context: Context) -> None:
    assert KIND.lay_out([], context) == ((), ())


def test_the_order_of_the_lock_does_not_show(context: Context) -> None:
    pair = [locked(context, name, tiny.image(tiny.layer(name))) for name in ("one", "two")]

    assert KIND.lay_out(pair, context)[1] == KIND.lay_out(pair[::-1], context)[1]


def test_a_lock_with_a_file_too_many_is_refused(context: Context) -> None:
    artifact = locked(context, "one", tiny.image(tiny.layer("x")))
    extra = LockedFile(path=f"blobs/sha256/{'a' * 64}", sha256="a" * 64, size=1)

    with pytest.raises(BadInput) as caught:
        KIND.lay_out([artifact.model_copy(update={"files": (*artifact.files, extra)})], context)

    assert (caught.value.reference, caught.value.where) == ("lock-inconsistent", "images/one")


def test_a_lock_cannot_pass_an_attachment_off_as_an_image(context: Context) -> None:
    with pytest.raises(NotTrusted, match="which is not an image layer's"):
        KIND.lay_out([locked(context, "one", tiny.attachment(b"signed"))], context)


def test_a_source_that_is_not_known_is_named(context: Context) -> None:
    artifact = locked(context, "one", tiny.image(tiny.layer("x"))).model_copy(update={"source": {"type": "floppy"}})

    with pytest.raises(BadInput, match="'floppy'"):
        KIND.fetch(artifact, context)


def test_a_web_page_is_not_taken_for_a_manifest() -> None:
    with pytest.raises(BadInput, match="the answer is a web page, not a manifest") as caught:
        Document.read(b"\n<!DOCTYPE html>\n<title>Log in</title>", "registry.example/a:1")
    assert (caught.value.reference, caught.value.where) == ("registry-page", "registry.example/a:1")
    assert "https_proxy" in caught.value.hint
