"""Wheels, from real indexes by the real uv to a target for which the real pip installs them."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from appliance.artifacts.base import Context, Layout
from appliance.artifacts.wheels.kind import Wheels
from appliance.artifacts.wheels.section import WheelsSection
from appliance.errors import BadInput, NotTrusted, Stale
from appliance.model.documents.lock import LockedArtifact
from appliance.model.progress import Silent
from appliance.store.cache import Cache
from tests.support.locking import lock_one
from tests.support.simple_index import SimpleIndex, serving
from tests.support.wheels import members, pack, write_wheel
from tests.unit.tools.test_flit import write_project

pytestmark = pytest.mark.integration

KIND = Wheels()
TARGET = {"python": "3.13", "platform": "x86_64-manylinux_2_41", "licence": "Apache-2.0"}


@pytest.fixture(autouse=True)
def _no_wheel_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    base = tmp_path / "definitions"
    base.mkdir()
    return Context(base, Cache(tmp_path / "the cache"), Silent())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda name, **options: stack.enter_context(serving(SimpleIndex(tmp_path / name, **options)))


def section(**fields: Any) -> WheelsSection:
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return WheelsSection.model_validate({**TARGET, **lists})


def index(served: SimpleIndex, *packages: str) -> dict[str, Any]:
    return {"name": served.folder.name, "url": served.url, "packages": packages}


def locked(context: Context, **fields: Any) -> LockedArtifact:
    return lock_one(KIND, "control", section(**fields), context)


def names(artifact: LockedArtifact) -> list[str]:
    return [file.path for file in artifact.files]


def elsewhere(context: Context, tmp_path: Path) -> Context:
    """The same definition on a host with an empty cache."""
    return Context(context.base, Cache(tmp_path / "another cache"), Silent())


def laid_out(artifact: LockedArtifact, context: Context, bundle: Path) -> Layout:
    (layout,), beside = KIND.lay_out([artifact], context)
    assert beside == ()
    for file in layout.files:
        target = bundle / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(context.sink.path(file), target)
    return layout


def install(bundle: Path, target: Path, *options: str) -> None:
    """What the target does, with neither an index nor this host's configuration."""
    wheels = bundle / "wheels" / "control"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--quiet", "install", "--no-index", "--find-links", wheels.as_uri()),
            *("--require-hashes", "--requirement", str(wheels / "requirements.txt"), "--target", str(target), *options),
        ],
        check=True,
        env={**clean, "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )


def test_markers_are_those_of_the_target(context: Context, tmp_path: Path) -> None:
    artifact = locked(context, requirements=["redis==5.0.8"], python="3.10", platform="x86_64-manylinux_2_28")

    assert names(artifact) == ["async_timeout-5.0.1-py3-none-any.whl", "redis-5.0.8-py3-none-any.whl"]
    KIND.fetch(artifact, context)
    laid_out(artifact, context, tmp_path / "bundle")
    install(tmp_path / "bundle", tmp_path / "site", "--python-version", "3.10", "--only-binary", ":all:")
    assert {path.name for path in (tmp_path / "site").iterdir()} >= {"redis", "async_timeout"}


def test_a_large_set_resolves_for_another_python(context: Context) -> None:
    artifact = locked(context, requirements=["vllm==0.32.0"], python="3.12", platform="x86_64-manylinux_2_39")
    assert len(artifact.files) > 150
    assert {"cp312", "abi3"} <= {tag for path in names(artifact) for tag in path.split("-")[-3:]}
    assert sum(file.size for file in artifact.files) > 2e9
    assert all(file.url and file.url.startswith("https://") for file in artifact.files)


@pytest.mark.parametrize("json_form", [False, True], ids=["HTML without sizes", "JSON with sizes"])
def test_a_set_is_locked_fetched_and_installed(json_form: bool, serve: Any, context: Context, tmp_path: Path) -> None:
    public = serve("public", json_form=json_form)
    write_wheel(public.folder, "Example.App", "2.0", requires=["example-lib>=1", "left-out"])
    lib = write_wheel(public.folder, "example-lib", "1.4", tag="cp313-cp313-manylinux_2_17_x86_64")
    write_wheel(public.folder, "example-lib", "1.4", tag="cp312-cp312-manylinux_2_17_x86_64")

    artifact = locked(context, requirements=["example.app"], index=public.url, exclude=["left-out"])

    digest = hashlib.sha256(lib.read_bytes()).hexdigest()
    (file,) = (file for file in artifact.files if file.path == lib.name)
    assert (file.sha256, file.size, file.url) == (digest, lib.stat().st_size, f"{public.origin}/files/{lib.name}")
    assert artifact.id == "wheels/control"
    assert artifact.source["wheels-exclude"] == "left-out"

    another = elsewhere(context, tmp_path)
    KIND.fetch(artifact, another)
    layout = laid_out(artifact, another, tmp_path / "bundle")
    assert [entry.path for entry in layout.files] == [
        "wheels/control/example_app-2.0-py3-none-any.whl",
        f"wheels/control/{lib.name}",
        "wheels/control/requirements.txt",
    ]
    assert layout.details.fields() == {"python": "3.13", "platform": "x86_64-manylinux_2_41", "exclude": "left-out"}
    lines = (tmp_path / "bundle" / "wheels" / "control" / "requirements.txt").read_text().splitlines()
    assert lines[1] == f"example-lib==1.4 --hash=sha256:{digest}"
    for_target = ["--python-version", "3.13", "--platform", "manylinux_2_41_x86_64", "--platform"]
    install(tmp_path / "bundle", tmp_path / "site", *for_target, "manylinux_2_17_x86_64", "--no-deps")
    assert (tmp_path / "site" / "example_lib.py").read_text() == "version = '1.4'\n"


def test_a_bound_name_comes_from_its_index_alone(serve: Any, context: Context) -> None:
    public, internal = serve("public"), serve("internal")
    write_wheel(public.folder, "app", requires=["internal-lib", "helper"])
    write_wheel(public.folder, "internal-lib", "99.0")
    write_wheel(public.folder, "helper", "1.0")
    write_wheel(internal.folder, "internal-lib", "1.2")
    write_wheel(internal.folder, "helper", "99.0")
    write_wheel(internal.folder, "not-needed", "1.0")

    artifact = locked(
        context,
        requirements=["app"],
        index=public.url,
        indexes=[index(internal, "Internal_Lib", "not-needed")],
    )

    assert names(artifact) == [
        "app-1.0-py3-none-any.whl",
        "helper-1.0-py3-none-any.whl",
        "internal_lib-1.2-py3-none-any.whl",
    ]
    assert not public.asked_for("internal-lib")
    assert not internal.asked_for("helper")


def test_a_bound_name_that_its_index_lacks_is_not_taken_from_another(serve: Any, context: Context) -> None:
    public, internal = serve("public"), serve("internal")
    write_wheel(public.folder, "internal-lib", "99.0")

    with pytest.raises(BadInput, match="internal-lib was not found") as caught:
        locked(context, requirements=["internal-lib"], index=public.url, indexes=[index(internal, "internal-lib")])
    assert caught.value.reference == "wheels-unresolvable"


def test_a_package_with_nothing_but_source_is_refused_by_name(serve: Any, context: Context) -> None:
    public = serve("public")
    write_wheel(public.folder, "app", requires=["only-source"])
    (public.folder / "only-source-1.0.tar.gz").write_bytes(b"not looked at")

    with pytest.raises(BadInput, match="only-source") as caught:
        locked(context, requirements=["app"], index=public.url)
    assert caught.value.reference == "sdist-refused"
    assert not any(path.endswith(".tar.gz") for path in public.asked)


@pytest.mark.parametrize("change", ["flip", "cut", "lengthen"])
def test_a_wheel_that_changed_on_the_index_is_not_trusted(
    change: str, serve: Any, context: Context, tmp_path: Path
) -> None:
    public = serve("public")
    path = write_wheel(public.folder, "app")
    artifact = locked(context, requirements=["app"], index=public.url)
    data = path.read_bytes()
    path.write_bytes({"flip": data[:-1] + b"x", "cut": data[:-1], "lengthen": data + b"x"}[change])

    with pytest.raises(NotTrusted) as caught:
        KIND.fetch(artifact, elsewhere(context, tmp_path))
    error = caught.value
    assert (error.exit_code, error.reference) == (3, "content-mismatch")
    assert error.expected in (artifact.files[0].sha256, f"{len(data)} bytes")
    assert error.found in (hashlib.sha256(path.read_bytes()).hexdigest(), f"{path.stat().st_size} bytes")
    assert path.name in error.where


def test_a_wheel_that_is_gone_makes_the_lock_stale(serve: Any, context: Context, tmp_path: Path) -> None:
    public = serve("public")
    path = write_wheel(public.folder, "app")
    artifact = locked(context, requirements=["app"], index=public.url)
    path.unlink()

    with pytest.raises(Stale) as caught:
        KIND.fetch(artifact, elsewhere(context, tmp_path))
    assert caught.value.artifact == "wheels/control"
    assert path.name in caught.value.where
    assert "--only wheels/control" in caught.value.hint


def test_a_malformed_wheel_of_the_index_is_not_carried(serve: Any, context: Context) -> None:
    public = serve("public")
    path = write_wheel(public.folder, "app")
    path.write_bytes(pack({**members("app", "1.0"), "../escape.py": ""}))
    artifact = locked(context, requirements=["app"], index=public.url)

    with pytest.raises(NotTrusted) as caught:
        KIND.fetch(artifact, context)
    assert (caught.value.reference, caught.value.where) == ("wheel-malformed", path.name)


def test_a_wheel_directory_stands_in_for_the_index_of_a_bound_name(
    serve: Any, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = serve("public")
    write_wheel(public.folder, "app", requires=["torch", "helper"])
    write_wheel(public.folder, "helper", "1.0")
    kept = tmp_path / "kept wheels"
    torch = write_wheel(kept, "torch", "2.0+cpu")
    write_wheel(kept, "torch", "3.0", tag="cp39-cp39-win_amd64")
    write_wheel(kept, "helper", "99.0")
    monkeypatch.setenv("PIP_FIND_LINKS", kept.as_uri())
    bound = {"name": "pytorch", "url": "https://unreachable.invalid/whl/cpu", "packages": ("torch",)}

    artifact = locked(context, requirements=["app"], index=public.url, indexes=[bound])

    assert names(artifact)[1:] == ["helper-1.0-py3-none-any.whl", torch.name]
    assert artifact.files[2].url == "https://unreachable.invalid/whl/cpu/torch-2.0%2Bcpu-py3-none-any.whl"
    assert artifact.files[2].sha256 == hashlib.sha256(torch.read_bytes()).hexdigest()
    assert str(kept) not in artifact.model_dump_json()
    KIND.fetch(artifact, elsewhere(context, tmp_path))


def test_a_wheel_directory_with_other_bytes_is_passed_over(
    serve: Any, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = serve("public")
    path = write_wheel(public.folder, "app")
    artifact = locked(context, requirements=["app"], index=public.url)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / path.name).write_bytes(bytes(path.stat().st_size))
    monkeypatch.setenv("PIP_FIND_LINKS", kept.as_uri())

    another = elsewhere(context, tmp_path)
    KIND.fetch(artifact, another)
    assert another.sink.path(artifact.files[0]).read_bytes() == path.read_bytes()


def test_a_wheel_of_an_own_project_is_made_again_and_equal(serve: Any, context: Context, tmp_path: Path) -> None:
    public = serve("public")
    write_wheel(public.folder, "our-tool", "99.0")
    write_wheel(public.folder, "helper")
    project = write_project(tmp_path / "our project")
    with (project / "pyproject.toml").open("a") as settings:
        settings.write('dependencies = ["helper"]\n')

    artifact = locked(context, projects=["../our project"], index=public.url)

    assert [(file.path, file.url is None) for file in artifact.files] == [
        ("helper-1.0-py3-none-any.whl", False),
        ("our_tool-1.0-py3-none-any.whl", True),
    ]
    another = elsewhere(context, tmp_path)
    KIND.fetch(artifact, another)
    laid_out(artifact, another, tmp_path / "bundle")
    install(tmp_path / "bundle", tmp_path / "site", "--python-version", "3.13", "--only-binary", ":all:")
    assert (tmp_path / "site" / "our_tool" / "data" / "words.txt").exists()

    (project / "our_tool" / "__init__.py").write_text('"""Another tool."""\n')
    with pytest.raises(Stale, match=r"source tree of our_tool-1.0-py3-none-any.whl has changed"):
        KIND.fetch(artifact, another)  # although the cache still has what the lock says
