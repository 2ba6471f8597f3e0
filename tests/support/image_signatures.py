"""Signatures of images as cosign's specification has them, made by openssl.

Source: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md and BUNDLE_SPEC.md beside it.
"""

import base64
import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import tiny_images as tiny

SIGNATURE = "dev.cosignproject.cosign/signature"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "application/vnd.in-toto+json"
P256 = ("EC", "ec_paramgen_curve:P-256")
RSA = ("RSA", "rsa_keygen_bits:2048")
# BUNDLE_SPEC: the empty descriptor of the image specification
_EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest(),
    "size": 2,
}


@dataclass(frozen=True)
class Signer:
    """A publisher: ``NAME.key`` and ``NAME.pub`` in ``folder``."""

    folder: Path
    name: str

    @classmethod
    def make(cls, folder: Path, name: str = "upstream", kind: tuple[str, str] = P256) -> "Signer":
        signer = cls(folder, name)
        _openssl("genpkey", "-algorithm", kind[0], "-pkeyopt", kind[1], "-out", str(folder / f"{name}.key"))
        _openssl("pkey", "-in", str(folder / f"{name}.key"), "-pubout", "-out", str(folder / f"{name}.pub"))
        return signer

    @property
    def keyid(self) -> str:
        der = _openssl("pkey", "-pubin", "-in", str(self.folder / f"{self.name}.pub"), "-outform", "DER")
        return hashlib.sha256(der).hexdigest()

    @property
    def named(self) -> dict[str, str]:
        """``signed_by`` of a definition in ``folder``."""
        return {"key": f"{self.name}.pub", "keyid": self.keyid}

    def sign(self, message: bytes) -> bytes:
        return _openssl("dgst", "-sha256", "-sign", str(self.folder / f"{self.name}.key"), message=message)

    def layer(self, payload: bytes) -> tuple[bytes, dict[str, str]]:
        """A payload with the annotation that cosign gives it."""
        return payload, {SIGNATURE: base64.b64encode(self.sign(payload)).decode()}

    def envelope(self, statement: bytes) -> bytes:
        """A Sigstore bundle by a key, without an entry in a log."""
        message = b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(statement), statement)
        return json.dumps(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": {"publicKey": {"hint": self.keyid}, "tlogEntries": []},
                "dsseEnvelope": {
                    "payload": base64.b64encode(statement).decode(),
                    "payloadType": STATEMENT,
                    "signatures": [{"sig": base64.b64encode(self.sign(message)).decode()}],
                },
            }
        ).encode()


def payload(digest: str, **critical: Any) -> bytes:
    """What cosign signs in the older form."""
    named = {
        "identity": {"docker-reference": "registry.example/demo/app"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": {**named, **critical}, "optional": None}).encode()


def statement(digest: str, **fields: Any) -> bytes:
    """What cosign signs in the newer form."""
    whole = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.removeprefix("sha256:")}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    }
    return json.dumps({**whole, **fields}).encode()


def referrer(bundle: bytes, subject: tiny.Image) -> tiny.Image:
    """The manifest that carries a bundle; a registry without the referrers API has it in an index under a tag."""
    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.data)}
    return tiny.attachments((bundle, {}), layer_type=BUNDLE, config=_EMPTY, artifactType=BUNDLE, subject=about)


def _openssl(*words: str, message: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *words], input=message, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
