"""Locking and fetching weights from the test hub, as tests of several files do it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from appliance.artifacts.base import Context
from appliance.artifacts.weights.kind import Weights
from appliance.artifacts.weights.section import WeightsSection
from appliance.errors import ApplianceError
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.hub import Hub
from tests.support.locking import lock_one

KIND = Weights()
NAME = "tiny/model"
TOKEN = "hf_onlyForThisTest"
SHARD = "model-00001-of-00002.safetensors"
AT_ONCE = {"Retry-After": "0"}


@contextmanager
def chosen_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Hub]:
    """A hub that this process is set up for, with no token from the machine."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield running
        huggingface_hub.close_session()


def context_in(folder: Path) -> Context:
    """A context with a new cache below ``folder``."""
    return Context(folder, Cache(folder / "cache dir"), Silent())


def lock(context: Context, *, allow: dict[str, str] | None = None, **more: Any) -> LockedArtifact:
    """Lock the repository NAME; ``more`` are keys of ``huggingface``."""
    fields = {"huggingface": {"repo": NAME, **more}, "licence": "Apache-2.0", "allow": allow or {}}
    return lock_one(KIND, "tiny", WeightsSection.model_validate_json(json.dumps(fields)), context)


def refusal(context: Context, **more: Any) -> ApplianceError:
    """The error that locking ends with."""
    with pytest.raises(ApplianceError) as caught:
        lock(context, **more)
    return caught.value


def fetched(artifact: LockedArtifact, context: Context) -> dict[str, bytes]:
    """All files after fetching them."""
    KIND.fetch(artifact, context)
    return {file.path: context.sink.path(file).read_bytes() for file in artifact.files}


def digest_of(artifact: LockedArtifact, path: str) -> str:
    """The locked SHA-256 of one file."""
    return next(file.sha256 for file in artifact.files if file.path == path)
