"""The demo's models answer: its image, its weights, its profiles, and no network."""

import json
import math
import stat
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.model.serving.profile import ServingProfile, arguments
from tests.support.demo import Demo
from tests.support.sboms import properties
from tests.support.vllm_host import Image, Server, serving

pytestmark = [pytest.mark.integration, pytest.mark.demo]

# What an image that only serves has no use for.
_NOT_NEEDED = {
    *("pip", "pip3", "gcc", "cc", "g++", "c++", "ld", "as", "make"),
    *("apt", "apt-get", "curl", "wget", "nc", "sudo"),
}


def served(demo: Demo, image: Image, name: str, folder: Path) -> AbstractContextManager[Server]:
    """The model that clients know as ``name``, by the profile that was signed."""
    profile = ServingProfile.model_validate(demo.document("bundle.json")["serving"][name])
    assert profile.image == "vllm-cpu"
    return serving(image, demo.path / "models" / profile.weights, arguments(profile, name), folder)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / (math.hypot(*one) * math.hypot(*other))


def test_the_image_is_for_serving_alone(demo_image: Image) -> None:
    user, group = demo_image.config["User"].split(":")
    assert int(user) > 0
    assert int(group) > 0
    programs = {
        path.name for folder in ("bin", "sbin", "local/bin") for path in (demo_image.root / "usr" / folder).iterdir()
    }
    assert programs & _NOT_NEEDED == set()
    assert not [path for kind in ("site", "dist") for path in demo_image.root.glob(f"usr/**/{kind}-packages/pip")]
    files = (path.lstat().st_mode for path in demo_image.root.rglob("*") if not path.is_symlink() and path.is_file())
    assert not any(mode & (stat.S_ISUID | stat.S_ISGID) for mode in files)


def test_the_sbom_lists_what_the_image_holds_and_nothing_else(demo: Demo, demo_image: Image) -> None:
    parts = demo.sbom("images/vllm-cpu")
    dpkg = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture} ${source:Package}\\n"]
    told = {
        (
            part["name"],
            part["version"],
            part["purl"].partition("arch=")[2].partition("&")[0],
            properties(part)["debian:source"],
        )
        for part in parts
        if part["purl"].startswith("pkg:deb/")
    }
    assert {tuple(line.split()) for line in within(demo_image, *dpkg).splitlines()} == told
    assert len(told) > 50

    # By Python's own eyes, which see what is on its path and not what a distribution has taken into itself.
    program = "import importlib.metadata as m; print(*(f'{d.name} {d.version}' for d in m.distributions()), sep='\\n')"
    seen = [tuple(line.split()) for line in within(demo_image, "python3", "-c", program).splitlines()]
    found = [
        (part["name"], part["version"])
        for part in parts
        if part["purl"].startswith("pkg:pypi/") and "appliance:vendored" not in properties(part)
    ]
    assert sorted(found) == sorted(seen)
    assert len(found) > 50


def within(image: Image, *command: str) -> str:
    """What a command of the image prints."""
    done = subprocess.run(
        ["chroot", image.root, *command],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_embedder_knows_what_is_alike(demo: Demo, demo_image: Image, tmp_path: Path) -> None:
    with served(demo, demo_image, "all-minilm-l6-v2", tmp_path) as server:
        server.wait("/v1/embeddings", {"model": "all-minilm-l6-v2", "input": "ready?"})
        texts = [
            "The cat sits on the mat.",
            "A feline is resting on a rug.",
            "Quarterly revenue grew by ten percent.",
        ]
        answer = server.post("/v1/embeddings", {"model": "all-minilm-l6-v2", "input": texts})
    assert answer.status == 200, answer.body
    cat, feline, revenue = (entry["embedding"] for entry in answer.json()["data"])
    assert cosine(cat, feline) > 0.5
    assert cosine(cat, feline) > cosine(cat, revenue) + 0.3


def test_the_chat_model_streams_an_answer(demo: Demo, demo_image: Image, tmp_path: Path) -> None:
    question = {"model": "tiny-chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
    with served(demo, demo_image, "tiny-chat", tmp_path) as server:
        server.wait("/v1/chat/completions", {**question, "max_tokens": 1})
        events = server.post("/v1/chat/completions", {**question, "stream": True}).events()
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]]
    assert "".join(deltas)
    assert len(deltas) > 2
