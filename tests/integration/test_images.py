"""The kind ``images`` with the real skopeo against the real registry."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.base import Context
from appliance.errors import BadInput, NotTrusted, Stale
from tests.support import tiny_images as tiny
from tests.support.cut_line import CutLine
from tests.support.documents import commands
from tests.support.image_kind import KIND, Counter, lock, machine, skopeo, write_bundle
from tests.support.registry import NEEDS, Registry, installed, running

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("no_login"),
    pytest.mark.skipif(not installed, reason=NEEDS),
]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return machine(tmp_path, "first")


def test_a_tag_becomes_a_layout_that_stock_skopeo_pushes_with_the_same_digest(
    registry: Registry, context: Context, tmp_path: Path
) -> None:
    image = tiny.image(tiny.layer("base"), tiny.layer("app"))
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", image), name="vllm-cpu")
    KIND.fetch(locked, context)
    (layout,) = write_bundle(context, tmp_path / "bundle", locked)

    assert locked.source["manifest"] == layout.details.fields()["manifest_digest"] == image.digest
    assert locked.source["attached"] == "nothing"
    assert [(finding.about, finding.state) for finding in locked.upstream] == [(image.digest, "nothing")]
    assert skopeo("inspect", "--raw", "oci:images:vllm-cpu", cwd=tmp_path / "bundle") == image.data
    published = commands("../README.md", "If you run a site (operator)")[2].splitlines()[1]
    program, *words = shlex.split(published.replace("registry.example", f"{registry.address}/site"))
    assert program == "skopeo"
    skopeo(*words, cwd=tmp_path / "bundle")
    assert skopeo("inspect", "--raw", f"docker://{registry.address}/site/vllm-cpu@{image.digest}", cwd=tmp_path)


def test_of_an_index_the_platform_is_taken_and_the_index_kept(
    registry: Registry, context: Context, tmp_path: Path
) -> None:
    amd64, arm64 = tiny.image(tiny.layer("x")), tiny.image(tiny.layer("a"), architecture="arm64")
    index = tiny.index(amd64, arm64)
    reference = tiny.push(registry, "demo/app", "1.0", index)

    locked = lock(context, reference, platform="linux/arm64")

    assert (locked.source["index"], locked.source["manifest"]) == (index.digest, arm64.digest)
    KIND.fetch(locked, context)
    write_bundle(context, tmp_path / "bundle", locked)
    assert skopeo("inspect", "--raw", "oci:evidence/images/app:index", cwd=tmp_path / "bundle") == index.data
    with pytest.raises(BadInput, match="no image for the platform") as caught:
        lock(context, reference, platform="linux/s390x")
    assert caught.value.found == "linux/amd64, linux/arm64"


def test_a_digest_may_stand_for_the_tag(registry: Registry, context: Context) -> None:
    image = tiny.image(tiny.layer("x"))
    tiny.push(registry, "demo/app", "1.0", image)

    assert lock(context, f"{registry.address}/demo/app@{image.digest}").source["manifest"] == image.digest


def test_an_image_for_another_machine_is_refused_though_no_index_says_so(registry: Registry, context: Context) -> None:
    reference = tiny.push(registry, "demo/app", "1.0", tiny.image(tiny.layer("x"), architecture="arm64"))

    with pytest.raises(BadInput) as caught:
        lock(context, reference)

    assert (caught.value.reference, caught.value.found) == ("image-platform", "linux/arm64")


@pytest.mark.parametrize("in_index", [False, True])
def test_a_manifest_in_dockers_form_is_carried_in_ocis_over_the_same_blobs(
    registry: Registry, context: Context, tmp_path: Path, in_index: bool
) -> None:
    image = tiny.image(tiny.layer("base"), tiny.layer("app"), docker=True)
    pushed = tiny.index(image, docker=True) if in_index else image
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", pushed))
    elsewhere = machine(tmp_path, "another")
    KIND.fetch(locked, elsewhere)
    (layout,) = write_bundle(elsewhere, tmp_path / "bundle", locked)
    carried = json.loads(skopeo("inspect", "--raw", "oci:images:app", cwd=tmp_path / "bundle"))

    assert carried["mediaType"] == tiny.OCI_MANIFEST
    digests = [item["digest"] for item in (carried["config"], *carried["layers"])]
    assert digests == ["sha256:" + tiny.sha256(blob) for blob in image.blobs]
    evidence = tmp_path / "bundle/evidence/images/app/blobs/sha256" / image.digest.removeprefix("sha256:")
    assert evidence.read_bytes() == image.data
    target = f"{registry.address}/site/app"
    skopeo("copy", "oci:images:app", f"docker://{target}:1.0", cwd=tmp_path / "bundle")
    assert skopeo("inspect", "--raw", f"docker://{target}@{layout.details.fields()['manifest_digest']}", cwd=tmp_path)


def test_two_images_share_blobs_in_the_bundle_and_on_the_line(
    registry: Registry, context: Context, tmp_path: Path
) -> None:
    base = tiny.layer("base")
    one, two = tiny.image(base, tiny.layer("one")), tiny.image(base, tiny.layer("two"))
    locks = [
        lock(context, tiny.push(registry, "demo/one", "1", one), "one"),
        lock(context, tiny.push(registry, "demo/two", "1", two), "two"),
    ]
    for locked in locks:
        KIND.fetch(locked, context)
    write_bundle(context, tmp_path / "bundle", *locks)

    assert len(registry.requests(f'"GET /v2/demo/one/blobs/sha256:{tiny.sha256(base)}')) == 1
    assert not registry.requests(f'"GET /v2/demo/two/blobs/sha256:{tiny.sha256(base)}')
    expected = {tiny.sha256(data) for image in (one, two) for data in (image.data, *image.blobs)}
    assert {path.name for path in (tmp_path / "bundle/images/blobs/sha256").iterdir()} == expected
    for name in ("one", "two"):
        assert skopeo("inspect", f"oci:images:{name}", cwd=tmp_path / "bundle")


def test_progress_counts_the_bytes_that_arrive(registry: Registry, context: Context, tmp_path: Path) -> None:
    image = tiny.image(tiny.layer("x", 100_000))
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", image))
    counter = Counter()

    KIND.fetch(locked, Context(tmp_path, context.sink, counter))

    assert counter.total == len(image.blobs[1])
    assert counter.total <= counter.shown < counter.total + 4096


def test_a_second_fetch_asks_nobody(
    registry: Registry, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", tiny.image(tiny.layer("x"), docker=True)))
    KIND.fetch(locked, context)
    before = len(registry.requests())
    monkeypatch.setenv("PATH", str(tmp_path))  # no skopeo to be found

    KIND.fetch(locked, context)
    KIND.lay_out([locked], context)

    assert len(registry.requests()) == before


def test_the_same_lock_gives_the_same_files_on_two_machines(
    registry: Registry, context: Context, tmp_path: Path
) -> None:
    image = tiny.index(tiny.image(tiny.layer("x"), docker=True), docker=True)
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", image))
    elsewhere = machine(tmp_path, "another")
    for each in (context, elsewhere):
        KIND.fetch(locked, each)

    assert KIND.lay_out([locked], context) == KIND.lay_out([locked], elsewhere)


@pytest.mark.parametrize("part", ["manifest", "configuration", "layer"])
def test_a_registry_that_serves_other_bytes_is_not_believed(
    registry: Registry, context: Context, tmp_path: Path, part: str
) -> None:
    image = tiny.image(tiny.layer("x"))
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", image))
    data = {"manifest": image.data, "configuration": image.blobs[0], "layer": image.blobs[1]}[part]
    other = data + b" "
    registry.blob(tiny.sha256(data)).write_bytes(other)

    with pytest.raises(NotTrusted) as caught:
        KIND.fetch(locked, machine(tmp_path, "another"))

    assert caught.value.exit_code == 3
    assert caught.value.reference == "content-mismatch"
    assert caught.value.expected == "sha256:" + tiny.sha256(data)
    assert caught.value.found == "sha256:" + tiny.sha256(other)


def test_an_ambiguous_manifest_is_refused(registry: Registry, context: Context) -> None:
    image = tiny.image(tiny.layer("x"))
    reference = tiny.push(registry, "demo/app", "1.0", image)
    both = tiny.to_json({**json.loads(image.data), "manifests": []})
    registry.blob(image.digest.removeprefix("sha256:")).write_bytes(both)

    with pytest.raises(NotTrusted, match="either 'manifests' or 'config' and 'layers'"):
        lock(context, reference)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ((tiny.image(tiny.layer("x")), {"size": 1}), "the index calls it .* of 1 bytes"),
        ((tiny.image(tiny.layer("x")), {"mediaType": tiny.DOCKER_MANIFEST}), "the index calls it .*docker"),
        (
            (tiny.index(tiny.image(tiny.layer("x"))), {"platform": {"os": "linux", "architecture": "amd64"}}),
            "an index inside an index",
        ),
        (tiny.image(tiny.layer("x"), os=""), "no usable 'os'"),
    ],
    ids=["size", "type", "nested", "configuration"],
)
def test_an_index_that_lies_is_refused(
    registry: Registry, context: Context, entry: tuple[tiny.Image, dict[str, Any]] | tiny.Image, reason: str
) -> None:
    reference = tiny.push(registry, "demo/app", "1.0", tiny.index(entry))

    with pytest.raises(NotTrusted, match=reason):
        lock(context, reference)


def test_a_login_is_read_from_the_usual_file(tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "private registry", with_login=True) as registry:
        monkeypatch.setenv("SSL_CERT_FILE", str(registry.identity.authority))
        reference = tiny.push(registry, "demo/app", "1.0", tiny.image(tiny.layer("x")))
        with pytest.raises(BadInput, match="asks for a login") as caught:
            lock(context, reference)
        assert "home/containers/auth.json" in caught.value.hint

        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(registry.auth_file("wrong")))
        with pytest.raises(BadInput, match="asks for a login") as caught:
            lock(context, reference)
        assert "private registry/auth.json" in caught.value.hint

        registry.auth_file()
        locked = lock(context, reference)
        KIND.fetch(locked, context)
        assert KIND.lay_out([locked], context)


def test_an_unknown_tag_is_bad_input(registry: Registry, context: Context) -> None:
    tiny.push(registry, "demo/app", "1.0", tiny.image(tiny.layer("x")))

    with pytest.raises(BadInput) as caught:
        lock(context, f"{registry.address}/demo/app:2.0")

    assert caught.value.reference == "image-missing"


@pytest.mark.parametrize("part", ["manifest", "layer"])
def test_a_lock_is_stale_when_the_registry_has_lost_a_part(
    registry: Registry, context: Context, tmp_path: Path, part: str
) -> None:
    image = tiny.image(tiny.layer("x"))
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", image))
    registry.blob(tiny.sha256(image.data if part == "manifest" else image.blobs[1])).unlink()

    with pytest.raises(Stale, match="no such image") as caught:
        KIND.fetch(locked, machine(tmp_path, "another"))

    assert caught.value.artifact == "images/app"


def test_an_unreachable_registry_is_bad_input(registry: Registry, context: Context) -> None:
    reference = tiny.push(registry, "demo/app", "1.0", tiny.image(tiny.layer("x")))
    registry.stop()

    with pytest.raises(BadInput) as caught:
        lock(context, reference)

    assert caught.value.reference == "source-unreachable"


@pytest.mark.parametrize("called_insecure", ["false", "true"])
def test_a_certificate_of_a_stranger_is_refused(
    registry: Registry, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called_insecure: str
) -> None:
    reference = tiny.push(registry, "demo/app", "1.0", tiny.image(tiny.layer("x")))
    locked = lock(context, reference)
    monkeypatch.delenv("SSL_CERT_FILE")
    settings = tmp_path / "home/.config/containers/registries.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[[registry]]\nlocation = "{registry.address}"\ninsecure = {called_insecure}\n')

    with pytest.raises(BadInput) as resolving:
        lock(context, reference)
    with pytest.raises(BadInput) as fetching:
        KIND.fetch(locked, context)

    assert resolving.value.reference == fetching.value.reference == "registry-certificate"


def test_after_a_broken_line_only_the_rest_is_fetched(registry: Registry, context: Context, tmp_path: Path) -> None:
    small, large = tiny.layer("small"), tiny.layer("large", 2_000_000)
    image = tiny.image(small, large)
    tiny.push(registry, "demo/app", "1.0", image)

    def small_has_arrived() -> bool:
        return any((tmp_path / "cache of first/work").glob(f"*/layout/blobs/sha256/{tiny.sha256(small)}"))

    with CutLine(registry.port, 1_000_000, small_has_arrived) as line:
        locked = lock(context, f"127.0.0.1:{line.port}/demo/app:1.0")
        with pytest.raises(BadInput) as caught:
            KIND.fetch(locked, context)
    assert caught.value.reference == "source-unreachable"
    whole = locked.model_copy(update={"source": {**locked.source, "image": f"{registry.address}/demo/app:1.0"}})
    before = len(registry.requests())

    KIND.fetch(whole, context)

    asked = registry.requests()[before:]
    assert not any(tiny.sha256(small) in line for line in asked)
    assert any(tiny.sha256(large) in line for line in asked)
    assert not list((tmp_path / "cache of first/work").iterdir())


def test_what_upstream_attached_is_kept_as_evidence(registry: Registry, context: Context, tmp_path: Path) -> None:
    image = tiny.image(tiny.layer("x"))
    provenance = tiny.attachment(b"{}", "application/vnd.in-toto+json")
    link = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest}
    index = tiny.index(image, (provenance, {"annotations": link}))
    signature = tiny.attachment(b"signed", **{"dev.cosignproject.cosign/signature": "c2ln"})
    sbom = tiny.attachment(b"sbom", "application/spdx+json")
    reference = tiny.push(registry, "demo/app", "1.0", index)
    tag = index.digest.replace(":", "-")
    tiny.push(registry, "demo/app", f"{tag}.sig", signature)
    tiny.push(registry, "demo/app", image.digest.replace(":", "-"), tiny.index(sbom))
    locked = lock(context, reference)
    elsewhere = machine(tmp_path, "another")
    KIND.fetch(locked, elsewhere)
    write_bundle(elsewhere, tmp_path / "bundle", locked)

    assert locked.source[f"attached {tag}.sig"] == signature.digest
    attached = {digest for key, digest in locked.source.items() if key.startswith("attached ")}
    assert attached >= {signature.digest, sbom.digest, provenance.digest}
    unchecked = {finding.about for finding in locked.upstream if finding.state == "unchecked"}
    assert unchecked == {key.removeprefix("attached ") for key in locked.source if key.startswith("attached ")}
    blobs = {path.read_bytes() for path in (tmp_path / "bundle/evidence/images/app/blobs/sha256").iterdir()}
    assert blobs >= {index.data, signature.data, b"signed", sbom.data, b"sbom", provenance.data}
    named = f"oci:evidence/images/app:{tag}.sig"
    skopeo("copy", named, f"docker://{registry.address}/site/app:{tag}.sig", cwd=tmp_path / "bundle")


def test_signatures_that_skopeo_itself_would_look_for_do_not_stop_it(
    registry: Registry, context: Context, tmp_path: Path
) -> None:
    settings = tmp_path / "home/.config/containers/registries.d/all.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("default-docker:\n  use-sigstore-attachments: true\n")
    image = tiny.image(tiny.layer("x"))
    reference = tiny.push(registry, "demo/app", "1.0", image)
    signature = tiny.attachment(b"signed", **{"dev.cosignproject.cosign/signature": "c2ln"})
    tiny.push(registry, "demo/app", image.digest.replace(":", "-") + ".sig", signature)
    locked = lock(context, reference)

    KIND.fetch(locked, context)

    assert not context.sink.missing(locked.files)


def test_an_edited_lock_that_lacks_a_layer_is_refused(registry: Registry, context: Context) -> None:
    locked = lock(context, tiny.push(registry, "demo/app", "1.0", tiny.image(tiny.layer("x"))))
    layer = f"blobs/sha256/{tiny.sha256(tiny.layer('x'))}"
    edited = locked.model_copy(update={"files": tuple(file for file in locked.files if file.path != layer)})

    with pytest.raises(BadInput) as caught:
        KIND.lay_out([edited], context)

    assert caught.value.reference == "lock-inconsistent"
