"""What more than one file of tests here begins with; each is made when it is first asked for."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.debian_archive import SigningKey
from tests.support.demo import Demo
from tests.support.project import Project
from tests.support.registry import Registry, running
from tests.support.vllm_host import Image


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project."""
    return Project.make(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    """A copy of it for one test."""
    return template.copy(tmp_path / "with space")


@pytest.fixture(scope="session")
def demo_image(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The demo's image, unpacked."""
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)  # a model is not served as the user who unpacks
    try:
        yield Image.unpack(demo.path / "images", "vllm-cpu", folder / "root")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the user who runs the tests, for any registry."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def registry(no_login: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry that is trusted."""
    with running(tmp_path / "a registry") as started:
        monkeypatch.setenv("SSL_CERT_FILE", str(started.identity.authority))
        yield started


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SigningKey]]:
    """Keys of repositories, by name; ``expired`` is what its name says."""
    folder = tmp_path_factory.mktemp("keys")
    made = {
        name: SigningKey(folder / name, f"{name} <{name}@example.org>", expired=name == "expired")
        for name in ("archive", "vendor", "other", "expired")
    }
    yield made
    for key in made.values():
        key.close()
