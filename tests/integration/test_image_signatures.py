"""Signatures of images, made by openssl as cosign's specification says; the real skopeo and the real registry."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.artifacts.base import Context
from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.formats.attestations import parse_provenance
from appliance.model.documents.lock import LockedArtifact
from appliance.model.limits import MAX_IMAGE_SIGNATURE
from tests.support import tiny_images as tiny
from tests.support.attestations import PROVENANCE
from tests.support.documents import commands
from tests.support.image_kind import KIND, machine, section, write_bundle
from tests.support.image_signatures import RSA, SIGNATURE, Signer, payload, referrer, statement
from tests.support.locking import lock_one
from tests.support.registry import NEEDS, Registry, installed

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("no_login"),
    pytest.mark.skipif(not installed, reason=NEEDS),
]

IMAGE = tiny.image(tiny.layer("x"))
OTHER = tiny.image(tiny.layer("another"))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return machine(tmp_path, "first")


@pytest.fixture
def upstream(tmp_path: Path) -> Signer:
    return Signer.make(tmp_path)


def publish(registry: Registry, signature: tiny.Image | None, image: tiny.Image = IMAGE, suffix: str = ".sig") -> str:
    if signature:
        tiny.push(registry, "demo/app", image.digest.replace(":", "-") + suffix, signature)
    return tiny.push(registry, "demo/app", "1.0", image)


def locked(context: Context, reference: str, signer: dict[str, str], **more: Any) -> LockedArtifact:
    return lock_one(KIND, "app", section(reference, signed_by=signer, **more), context)


def refused(context: Context, reference: str, signer: dict[str, str]) -> ApplianceError:
    with pytest.raises(NotTrusted) as caught:
        locked(context, reference, signer)
    assert caught.value.where == reference
    return caught.value


@pytest.mark.parametrize("kind", [("EC", "ec_paramgen_curve:P-256"), RSA], ids=["P-256", "RSA"])
def test_what_the_named_key_has_signed_is_locked_and_carried_with_the_key(
    registry: Registry, context: Context, tmp_path: Path, kind: tuple[str, str]
) -> None:
    signer = Signer.make(tmp_path, "publisher", kind)
    reference = publish(registry, tiny.attachments(signer.layer(payload(IMAGE.digest))))

    entry = locked(context, reference, signer.named)

    (finding,) = entry.upstream
    assert (finding.state, finding.about) == ("verified", IMAGE.digest.replace(":", "-") + ".sig")
    assert finding.said == f"{IMAGE.digest} is signed by the key {signer.keyid}"
    (key,) = entry.evidence
    assert finding.evidence == (key.path,)
    assert context.sink.path(key).read_bytes() == (tmp_path / "publisher.pub").read_bytes()
    elsewhere = machine(tmp_path, "another")
    KIND.fetch(entry, elsewhere)
    write_bundle(elsewhere, tmp_path / "bundle", entry)
    blobs = {path.read_bytes() for path in (tmp_path / "bundle/evidence/images/app/blobs/sha256").iterdir()}
    assert payload(IMAGE.digest) in blobs


def test_a_signature_of_the_index_is_one_of_what_it_names(
    registry: Registry, context: Context, upstream: Signer
) -> None:
    index = tiny.index(IMAGE)
    reference = publish(registry, tiny.attachments(upstream.layer(payload(index.digest))), index)

    (finding,) = locked(context, reference, upstream.named).upstream

    assert finding.said.startswith(index.digest)


def test_a_signature_in_the_newer_form_is_found_among_the_referrers(
    registry: Registry, context: Context, upstream: Signer
) -> None:
    signature = referrer(upstream.envelope(statement(IMAGE.digest)), IMAGE)
    reference = publish(registry, tiny.index(signature), suffix="")

    findings = {finding.about: finding for finding in locked(context, reference, upstream.named).upstream}

    assert findings[signature.digest.replace("sha256:", "referrer-")].state == "verified"
    assert findings[IMAGE.digest.replace(":", "-")].state == "unchecked"


def test_others_may_have_signed_too(registry: Registry, context: Context, upstream: Signer, tmp_path: Path) -> None:
    other = Signer.make(tmp_path, "other")
    signed = payload(IMAGE.digest)
    more = payload(IMAGE.digest, identity={"docker-reference": "mirror.example/app"})
    reference = publish(registry, tiny.attachments(other.layer(signed), upstream.layer(more)))

    assert [finding.state for finding in locked(context, reference, upstream.named).upstream] == ["verified"]


def test_without_a_named_signer_a_signature_stays_unchecked(
    registry: Registry, context: Context, upstream: Signer
) -> None:
    reference = publish(registry, tiny.attachments(upstream.layer(payload(OTHER.digest))))

    entry = lock_one(KIND, "app", section(reference), context)

    assert [finding.state for finding in entry.upstream] == ["unchecked"]
    assert entry.evidence == ()


def test_an_image_that_nobody_has_signed_is_refused(registry: Registry, context: Context, upstream: Signer) -> None:
    error = refused(context, publish(registry, None), upstream.named)

    assert error.reference == "image-signature-missing"
    assert error.expected == f"the key {upstream.keyid}"


def test_an_sbom_alone_is_no_signature(registry: Registry, context: Context, upstream: Signer) -> None:
    reference = publish(registry, tiny.attachment(b"sbom", "application/spdx+json"), suffix=".sbom")

    assert refused(context, reference, upstream.named).reference == "image-signature-missing"


def unsigned(signed: tuple[bytes, dict[str, str]], **annotations: str) -> tuple[bytes, dict[str, str]]:
    return signed[0], annotations


@pytest.mark.parametrize(
    ("attached", "reason"),
    [
        (lambda _, other: other.layer(payload(IMAGE.digest)), "not a signature by this key"),
        (lambda key, _: key.layer(payload(OTHER.digest)), f"it signs another image: {OTHER.digest}"),
        (lambda key, _: (payload(IMAGE.digest), key.layer(payload(OTHER.digest))[1]), "not a signature by this key"),
        (lambda key, _: key.layer(payload(IMAGE.digest, type="atomic container signature")), "'atomic container sig"),
        (lambda key, _: key.layer(payload(IMAGE.digest, image={})), "is not a digest"),
        (lambda key, _: key.layer(b"[]"), "no JSON object"),
        (lambda key, _: unsigned(key.layer(payload(IMAGE.digest))), "is missing, or is not base64"),
        (lambda key, _: unsigned(key.layer(payload(IMAGE.digest)), **{SIGNATURE: "%"}), "is missing, or is not base64"),
    ],
    ids=[
        "another key",
        "another digest in the payload",
        "the signature of another image",
        "another type",
        "no digest",
        "no payload",
        "no signature",
        "no base64",
    ],
)
def test_what_the_key_has_not_signed_is_refused(
    registry: Registry, context: Context, upstream: Signer, tmp_path: Path, attached: Any, reason: str
) -> None:
    layer = attached(upstream, Signer.make(tmp_path, "other"))

    error = refused(context, publish(registry, tiny.attachments(layer)), upstream.named)

    assert error.reference == "image-signature-invalid"
    assert reason in error.found


@pytest.mark.parametrize(
    ("bundle", "reason"),
    [
        (lambda _, other: other.envelope(statement(IMAGE.digest)), "not a signature by this key"),
        (lambda key, _: key.envelope(statement(OTHER.digest)), f"it signs another image: {OTHER.digest}"),
        (lambda key, _: key.envelope(statement(IMAGE.digest, predicateType="https://spdx.dev/Document")), "spdx.dev"),
        (lambda key, _: key.envelope(statement(IMAGE.digest, subject=[])), "not about one image"),
        (lambda key, _: key.envelope(b"{}"), "no in-toto statement"),
        (lambda *_: b'{"dsseEnvelope": {"signatures": []}}', "has not one signature"),
        (lambda *_: b"no JSON", "is not JSON"),
    ],
    ids=["another key", "another digest", "an SBOM", "no subject", "no statement", "no signature", "no JSON"],
)
def test_what_the_key_has_not_signed_in_the_newer_form_is_refused(
    registry: Registry, context: Context, upstream: Signer, tmp_path: Path, bundle: Any, reason: str
) -> None:
    signature = referrer(bundle(upstream, Signer.make(tmp_path, "other")), IMAGE)

    error = refused(context, publish(registry, tiny.index(signature), suffix=""), upstream.named)

    assert error.reference == "image-signature-invalid"
    assert reason in error.found


def test_a_signature_that_is_too_large_is_refused_and_not_fetched(
    registry: Registry, context: Context, upstream: Signer
) -> None:
    large = payload(IMAGE.digest, padding=" " * MAX_IMAGE_SIGNATURE)
    reference = publish(registry, tiny.attachments(upstream.layer(large)))

    error = refused(context, reference, upstream.named)

    assert error.reference == "image-signature-invalid"
    assert f"more than the {MAX_IMAGE_SIGNATURE} that a signature may have" in error.found
    assert not any('"GET ' in line for line in registry.requests(tiny.sha256(large)))


def test_a_key_that_was_exchanged_is_refused(
    registry: Registry, context: Context, upstream: Signer, tmp_path: Path
) -> None:
    other = Signer.make(tmp_path, "other")
    reference = publish(registry, tiny.attachments(other.layer(payload(IMAGE.digest))))

    with pytest.raises(NotTrusted) as caught:
        locked(context, reference, {"key": "other.pub", "keyid": upstream.keyid})

    assert (caught.value.reference, caught.value.found) == ("image-key", other.keyid)


@pytest.mark.parametrize(
    ("name", "content", "reference"),
    [
        ("missing.pub", None, "image-key-missing"),
        ("text.pub", b"a key", "image-key-format"),
        ("small.pub", ("RSA", "rsa_keygen_bits:1024"), "image-key-format"),
        ("curve.pub", ("EC", "ec_paramgen_curve:P-384"), "image-key-format"),
    ],
)
def test_a_file_without_a_usable_key_is_refused(
    registry: Registry, context: Context, tmp_path: Path, name: str, content: Any, reference: str
) -> None:
    if isinstance(content, tuple):
        Signer.make(tmp_path, name.removesuffix(".pub"), content)
    elif content:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(BadInput) as caught:
        locked(context, publish(registry, None), {"key": name, "keyid": "0" * 64})

    assert caught.value.reference == reference


@dataclass(frozen=True)
class Host:
    """A directory with a definition of one image, and the command line to lock and build it."""

    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "appliance", *arguments],
            cwd=self.folder,
            env={**os.environ, "APPLIANCE_CACHE": str(self.folder / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )

    def lock(self, reference: str, signer: dict[str, str]) -> subprocess.CompletedProcess[str]:
        definition = {
            "schema": "appliance.definition/v1",
            "name": "small",
            "version": "1.0.0",
            "description": "one image",
            "images": {"app": {"registry": {"image": reference, "signed_by": signer}, "licence": "MIT"}},
        }
        (self.folder / "small.yaml").write_text(yaml.safe_dump(definition))
        return self.run("lock", "small.yaml")

    def build(self) -> Path:
        self.run("keys", "new", "key.pem", "--no-passphrase").check_returncode()
        self.run("root", "new", "key.root.json", "--key", "key.pem").check_returncode()
        built = self.run("build", "small.yaml", "--key", "key.pem")
        assert built.returncode == 0, built.stderr
        return self.folder / "dist/small-1.0.0"


def test_the_command_ends_with_3_and_writes_no_lock(registry: Registry, upstream: Signer, tmp_path: Path) -> None:
    reference = publish(registry, tiny.attachments(upstream.layer(payload(OTHER.digest))))

    done = Host(tmp_path).lock(reference, upstream.named)

    assert (done.returncode, "(image-signature-invalid)" in done.stderr) == (3, True), done.stderr
    assert not (tmp_path / "small.lock.yaml").exists()


def checked(bundle: Path) -> subprocess.CompletedProcess[str]:
    """What docs/provenance.md has auditors run."""
    script = commands("provenance.md", "Check again who has signed an image")[0]
    return subprocess.run(["sh", "-c", script], cwd=bundle, capture_output=True, text=True, check=False)


def older(signer: Signer, image: tiny.Image) -> tuple[tiny.Image, str]:
    layers = [
        Signer.make(signer.folder, "other").layer(payload(image.digest)),
        signer.layer(payload(image.digest, x=1)),
    ]
    return tiny.attachments(*layers), ".sig"


def newer(signer: Signer, image: tiny.Image) -> tuple[tiny.Image, str]:
    return tiny.index(referrer(signer.envelope(statement(image.digest)), image)), ""


@pytest.mark.parametrize("form", [older, newer])
@pytest.mark.parametrize("docker", [False, True], ids=["OCI", "Docker"])
@pytest.mark.parametrize("in_index", [False, True], ids=["alone", "index"])
def test_an_auditor_checks_it_again_with_openssl(
    registry: Registry, upstream: Signer, tmp_path: Path, form: Any, docker: bool, in_index: bool
) -> None:
    image = tiny.image(tiny.layer("x"), docker=docker)
    image = tiny.index(image, docker=docker) if in_index else image
    signature, suffix = form(upstream, image)
    locked = Host(tmp_path).lock(publish(registry, signature, image, suffix), upstream.named)
    assert locked.returncode == 0, locked.stderr
    bundle = Host(tmp_path).build()

    done = checked(bundle)

    assert done.stdout == f"images/app: {image.digest} is signed by {upstream.keyid}\n", done.stderr
    (key,) = (bundle / "evidence/upstream/image-keys").iterdir()
    Signer.make(tmp_path, "stranger")
    assert without(bundle, key, (tmp_path / "stranger.pub").read_bytes()) == (1, "")
    sums = bundle / "SHA256SUMS"
    digest = image.digest.removeprefix("sha256:").encode()
    assert without(bundle, sums, sums.read_bytes().replace(b"%b  " % digest, b"%b  " % (b"0" * 64))) == (1, "")
    if not docker:  # in Docker's form, what was signed lies beside what is carried
        heads = bundle / "images/index.json"
        (carried,) = json.loads(heads.read_bytes())["manifests"]
        others = heads.read_bytes().replace(carried["digest"].encode(), OTHER.digest.encode())
        assert without(bundle, heads, others) == (1, "")


def without(bundle: Path, file: Path, content: bytes) -> tuple[int, str]:
    """What the check says with other content of a file."""
    whole = file.rename(file.with_name("whole"))  # and not written over: it is a link to the cache
    file.write_bytes(content)
    assert content != whole.read_bytes()
    done = checked(bundle)
    whole.replace(file)
    return done.returncode, done.stdout


WORKFLOW = "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19"
GITHUB = "https://token.actions.githubusercontent.com"


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        ({"identity": WORKFLOW, "issuer": GITHUB}, "no signature of an image, but states 'https://docs.pypi.org/"),
        ({"identity": WORKFLOW, "issuer": "https://gitlab.com"}, "does not match"),
        ({"identity": f"{WORKFLOW}.1", "issuer": GITHUB}, "SANs do not match"),
    ],
    ids=["an attestation", "another issuer", "another identity"],
)
def test_what_an_identity_has_not_signed_is_refused(
    registry: Registry, context: Context, signer: dict[str, str], reason: str
) -> None:
    pytest.importorskip("sigstore", reason="needs the extra attestations")
    (attestation,) = parse_provenance(PROVENANCE)

    error = refused(context, publish(registry, tiny.index(referrer(attestation.bundle, IMAGE)), suffix=""), signer)

    assert error.reference == "image-signature-invalid"
    assert reason in error.found


def test_an_identity_in_the_older_form_is_refused(registry: Registry, context: Context, upstream: Signer) -> None:
    reference = publish(registry, tiny.attachments(upstream.layer(payload(IMAGE.digest))))

    error = refused(context, reference, {"identity": WORKFLOW, "issuer": GITHUB})

    assert "cosign's older form" in error.found
