import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.formats import oci
from appliance.formats.oci import Descriptor, Index, Manifest, Platform, parse_document
from tests.support import tiny_images as tiny

IMAGE = tiny.image(tiny.layer("one"), tiny.layer("two"))
DOCKER = tiny.image(tiny.layer("one"), docker=True)
DIGEST = "sha256:" + "a" * 64


def manifest(**changes: Any) -> bytes:
    return tiny.to_json({**json.loads(IMAGE.data), **changes})


def layer(**changes: Any) -> bytes:
    entry = {"mediaType": tiny.OCI_LAYER, "digest": DIGEST, "size": 1, **changes}
    return manifest(layers=[{key: value for key, value in entry.items() if value is not None}])


def read_image(data: bytes) -> Manifest:
    document = parse_document(data)
    assert isinstance(document, Manifest)
    document.check_is_image()
    return document


@pytest.mark.parametrize("image", [IMAGE, DOCKER], ids=["oci", "docker"])
def test_a_manifest_names_its_blobs(image: tiny.Image) -> None:
    assert {blob.sha256 for blob in read_image(image.data).blobs} == {tiny.sha256(blob) for blob in image.blobs}


def test_keys_that_nobody_knows_are_passed_over() -> None:
    assert read_image(manifest(annotations={"a": "b"}, newest={"x": 1})) == read_image(IMAGE.data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (manifest(manifests=[]), "either 'manifests' or 'config' and 'layers'"),
        (manifest(fsLayers=[]), "either 'manifests' or 'config' and 'layers'"),
        (manifest(history=[]), "either 'manifests' or 'config' and 'layers'"),
        (b'{"schemaVersion": 2}', "none of them"),
        (b'{"schemaVersion": 2, "config": {}}', "this one has 'config'"),
        (manifest(Manifests=[]), "some programs read as 'manifests'"),
        (manifest(LAYERS=[]), "some programs read as 'layers'"),
        (manifest(**{"layer\u017f": []}), "some programs read as 'layers'"),
        (IMAGE.data.replace(b'"schemaVersion"', b'"schemaVersion": 2, "schemaVersion"'), "duplicate key"),
        (manifest(schemaVersion=1), "schemaVersion is 1"),
        (manifest(schemaVersion=True), "schemaVersion is True"),
        (manifest(schemaVersion="2"), "schemaVersion is '2'"),
        (manifest(mediaType=tiny.OCI_INDEX), "built like another type"),
        (manifest(mediaType=["x"]), "built like another type"),
        (manifest(config=[]), "config is not a JSON object"),
        (manifest(layers={}), "not a list"),
        (manifest(layers=[{}] * 513), "at most 512"),
        (layer(digest="sha512:" + "a" * 128), "not a digest"),
        (layer(digest="sha256:" + "A" * 64), "not a digest"),
        (layer(digest="sha256:../" + "a" * 61), "not a digest"),
        (layer(digest=None), "no usable 'digest'"),
        (layer(size=-1), "no usable 'size'"),
        (layer(size=True), "no usable 'size'"),
        (layer(size=1.5), "no usable 'size'"),
        (layer(size=2**53), "is beyond"),
        (layer(Digest=DIGEST), "some programs read as 'digest'"),
        (layer(urls=["https://elsewhere.example/blob"]), "only from the registry"),
        (layer(annotations={"a": 1}), "annotations that are not text"),
        (layer(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), "foreign"),
        (layer(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "foreign"),
        (layer(mediaType=tiny.DOCKER_LAYER), "not an image layer's"),
        (layer(mediaType="application/vnd.dev.cosign.simplesigning.v1+json"), "not an image layer's"),
        (manifest(config={"mediaType": tiny.DOCKER_CONFIG, "digest": DIGEST, "size": 1}), "the configuration is"),
        (
            manifest(
                config={"mediaType": tiny.OCI_CONFIG, "digest": DIGEST, "size": 1},
                layers=[{"mediaType": tiny.OCI_LAYER, "digest": DIGEST, "size": 2}],
            ),
            "two sizes",
        ),
        (b"[]", "not a JSON object"),
        (b"", "Expecting value"),
        (b" " * (4 * 1024 * 1024 + 1), "larger than"),
    ],
)
def test_a_manifest_that_can_be_misread_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_image(data)


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.data())
def test_nonsense_in_any_key_is_refused_or_passed_over(value: Any, data: st.DataObject) -> None:
    document = json.loads(data.draw(st.sampled_from([IMAGE.data, tiny.index(IMAGE).data])))
    document[data.draw(st.sampled_from([*document, "subject", "urls"]))] = value
    with suppress(ValueError):  # any other exception fails the test
        assert isinstance(parse_document(json.dumps(document).encode()), Index | Manifest)


def index(*entries: Descriptor) -> Index:
    return Index(tiny.OCI_INDEX, entries)


def entry(platform: str, digit: str = "a") -> Descriptor:
    return Descriptor(tiny.OCI_MANIFEST, "sha256:" + digit * 64, 1, Platform.parse(platform))


def test_an_index_gives_the_entries_of_one_platform() -> None:
    entries = index(entry("linux/amd64", "a"), entry("linux/amd64", "a"), entry("linux/arm64/v8", "b"))

    assert [found.digest[-1] for found in entries.for_platform(Platform("linux", "amd64"))] == ["a"]
    assert [found.digest[-1] for found in entries.for_platform(Platform("linux", "arm64"))] == ["b"]
    assert entries.for_platform(Platform("linux", "arm")) == ()


def test_a_variant_has_to_be_named() -> None:
    entries = index(entry("linux/arm/v6", "a"), entry("linux/arm/v7", "b"))

    assert [found.digest[-1] for found in entries.for_platform(Platform("linux", "arm", "v7"))] == ["b"]
    assert entries.for_platform(Platform("linux", "arm")) == ()


def test_an_index_inside_an_index_stays_an_index() -> None:
    inner = tiny.index(IMAGE)
    outer = parse_document(tiny.index(inner).data)

    assert isinstance(outer, Index)
    assert outer.manifests[0].media_type == tiny.OCI_INDEX


def test_dockers_form_becomes_ocis_over_the_same_blobs() -> None:
    rewritten = read_image(read_image(DOCKER.data).as_oci())

    assert rewritten.media_type == tiny.OCI_MANIFEST
    assert rewritten.blobs == read_image(DOCKER.data).blobs
    assert rewritten == read_image(tiny.image(tiny.layer("one")).data)


@pytest.mark.parametrize("data", [b"{}", b'{"os": "linux"}', b'{"os": 1, "architecture": "amd64"}', b"[]", b"{"])
def test_a_configuration_without_platform_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        oci.config_platform(data)


def test_the_index_of_a_layout_does_not_depend_on_the_order() -> None:
    pairs = [("b", entry("linux/amd64", "b")), ("a", entry("linux/arm64/v8", "a"))]
    written = oci.layout_index(pairs)

    assert written == oci.layout_index(pairs[::-1])
    names = [item["annotations"][oci.REF_NAME] for item in json.loads(written)["manifests"]]
    assert names == ["a", "b"]
    assert isinstance(parse_document(written), Index)


@pytest.mark.parametrize("text", ["linux", "linux/", "Linux/amd64", "linux/amd64/v2/x", ""])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(ValueError, match="is not a platform"):
        Platform.parse(text)
