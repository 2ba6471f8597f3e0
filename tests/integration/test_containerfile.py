"""Images that are built here, with the real mmdebstrap and buildah, from Debian's own packages."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.namespaces import needs_namespaces
from tests.support.processes import Running, below, mounts_below, wait_for
from tests.support.project import Project
from tests.support.umask import umask

MIRROR = "http://deb.debian.org/debian"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not all(map(shutil.which, ("mmdebstrap", "buildah", "skopeo"))), reason="needs mmdebstrap, buildah and skopeo"
    ),
    needs_namespaces,
]

DEFINITION = f"""\
schema: appliance.definition/v1
name: small
version: 1.0.0
description: one image that is made here
images:
  app:
    licence: various
    containerfile:
      context: image
      base:
        distribution: debian
        suite: trixie
        architecture: amd64
        mirror: {MIRROR}
        packages: [usr-is-merged]
      wheels:
        python: "3.13"
        platform: x86_64-manylinux_2_41
        requirements: ["idna==3.10"]
"""
# The one step writes down what it sees.
CONTAINERFILE = r"""
FROM scratch
ADD base.tar /
COPY greeting /srv/
RUN --mount=type=bind,from=wheels,source=.,target=/run/wheels set -eu; mkdir /report; \
    ls /run/wheels >/report/wheels; \
    sed -n 's/ *\([^ ]*\):.*/\1/p' /proc/net/dev >/report/interfaces; \
    bash -c 'if 3<>/dev/tcp/127.0.0.1/PORT; then echo reached; else echo nothing; fi' >/report/network; \
    hostname >/report/hostname
USER 10001:10001
ENTRYPOINT ["/bin/cat", "/srv/greeting"]
"""


@pytest.fixture(scope="module")
def outside() -> Iterator[int]:
    """Somebody outside of the build; the port, at which programs of this machine reach him."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        yield port


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, outside: int) -> Project:
    """A project whose image has been built."""
    try:
        httpx2.head(f"{MIRROR}/dists/trixie/InRelease", timeout=30).raise_for_status()
    except httpx2.HTTPError as error:
        pytest.skip(f"needs {MIRROR}: {error}")
    project = Project(tmp_path_factory.mktemp("first") / "a project")
    (project.folder / "image").mkdir(parents=True)
    (project.folder / "small.yaml").write_text(DEFINITION)
    (project.folder / "image/greeting").write_text("hello\n")
    write_containerfile(project, CONTAINERFILE.replace("PORT", str(outside)))
    project.run("keys", "new", "key.pem", "--no-passphrase").check_returncode()
    project.run("root", "new", "key.root.json", "--key", "key.pem").check_returncode()
    lock(project)
    built = project.build()
    assert built.returncode == 0, built.stderr
    return project


@pytest.fixture
def project(first: Project, tmp_path: Path) -> Project:
    """The same on another machine: it has the packages, and has built nothing."""
    other = Project(tmp_path / "another machine")
    shutil.copytree(first.folder, other.folder, ignore=shutil.ignore_patterns("cache", "dist"))
    inputs = set(re.findall("sha256: ([0-9a-f]{64})", (first.folder / "small.lock.yaml").read_text()))
    for digest in inputs:
        blob = Path("cache/blobs/sha256", digest[:2], digest)
        (other.folder / blob).parent.mkdir(parents=True, exist_ok=True)
        os.link(first.folder / blob, other.folder / blob)
    return other


def write_containerfile(project: Project, text: str) -> None:
    (project.folder / "image/Containerfile").write_text(text)


def lock(project: Project) -> None:
    locked = project.run("lock", "small.yaml")
    assert locked.returncode == 0, locked.stderr


def digest(project: Project) -> str:
    (entry,) = json.loads((project.bundle / "images/index.json").read_text())["manifests"]
    return str(entry["digest"])


def blob(project: Project, digest: str) -> Path:
    return project.bundle / "images/blobs" / digest.replace(":", "/")


def report(project: Project) -> dict[str, list[str]]:
    """What the step wrote down."""
    manifest = json.loads(blob(project, digest(project)).read_bytes())
    with tarfile.open(blob(project, manifest["layers"][0]["digest"])) as layer:
        files = {member.name: layer.extractfile(member) for member in layer if member.name.startswith("report/")}
        return {name.removeprefix("report/"): file.read().decode().splitlines() for name, file in files.items() if file}


def start_build(project: Project, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        project.command("build", "small.yaml", "--key", "key.pem"),
        cwd=project.folder,
        env={**project.environment, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupt(build: "subprocess.Popen[str]", at: tuple[str, ...]) -> list[Running]:
    """Press Ctrl-C once a process runs whose words begin with ``at``; returns all that ran then."""

    def there() -> bool:
        assert build.poll() is None, build.communicate()
        return any(process.words[: len(at)] == at for process in below(build.pid))

    wait_for(there)
    running = below(build.pid)
    build.send_signal(signal.SIGINT)
    _, stderr = build.communicate(timeout=60)
    assert build.returncode == 130, stderr
    return running


def assert_nothing_is_left(project: Project) -> None:
    assert mounts_below(project.folder) == []
    assert list((project.folder / "cache/work").iterdir()) == []
    assert not project.bundle.exists()


def test_skopeo_reads_it(first: Project, tmp_path: Path) -> None:
    image = f"oci:{first.bundle}/images:app"
    shown = json.loads(subprocess.run(["skopeo", "inspect", image], check=True, capture_output=True).stdout)
    assert (shown["Digest"], len(shown["Layers"]), shown["Architecture"]) == (digest(first), 1, "amd64")
    # Without --preserve-digests it would compress the layer, and so make another image of it.
    copy = ["skopeo", "copy", "--quiet", "--preserve-digests", image, f"oci:{tmp_path}/copy:app"]
    subprocess.run(copy, check=True, capture_output=True)
    copied = json.loads((tmp_path / "copy/index.json").read_text())["manifests"][0]["digest"]
    assert copied == digest(first)


def test_a_step_sees_wheels_and_no_network(first: Project) -> None:
    assert report(first) == {
        "wheels": ["idna-3.10-py3-none-any.whl", "requirements.txt"],
        "interfaces": ["lo"],
        "network": ["nothing"],
        "hostname": ["localhost"],
    }


def test_a_second_build_builds_nothing(first: Project) -> None:
    shutil.rmtree(first.bundle)
    again = first.run("--debug", "build", "small.yaml", "--key", "key.pem")
    assert again.returncode == 0, again.stderr
    assert "Fetching images/app" in again.stderr
    assert not re.search("buildah|mmdebstrap|Building", again.stderr)


def test_the_same_lock_gives_the_same_image_elsewhere_and_after_an_interruption(
    first: Project, project: Project
) -> None:
    scratch = project.folder / "scratch space"
    scratch.mkdir()
    variables = {"TMPDIR": str(scratch), "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    with umask(0o077):
        interrupt(start_build(project, **variables), at=("dpkg",))
        assert_nothing_is_left(project)
        built = project.build(**variables)
    assert built.returncode == 0, built.stderr
    assert digest(project) == digest(first)
    assert list(scratch.iterdir()) == []


def test_ctrl_c_ends_a_step_that_will_not_end(project: Project) -> None:
    write_containerfile(project, "FROM scratch\nADD base.tar /\nRUN trap '' INT TERM HUP; sleep 999; sleep 999\n")
    lock(project)
    running = interrupt(start_build(project), at=("sleep", "999"))
    wait_for(lambda: not any(process.alive for process in running), seconds=5)
    assert_nothing_is_left(project)


def test_a_step_that_fails_is_told_with_what_it_said(project: Project) -> None:
    write_containerfile(project, "FROM scratch\nADD base.tar /\nRUN echo 'the disk drive is on fire' >&2; exit 7\n")
    lock(project)
    failed = project.build()
    assert failed.returncode == 1
    assert "the disk drive is on fire" in failed.stderr
    assert "image/Containerfile" in failed.stderr
    assert "containerfile-failed" in failed.stderr
    assert_nothing_is_left(project)
    again = project.run("--debug", "build", "small.yaml", "--key", "key.pem")
    assert (again.returncode, "the disk drive is on fire" in again.stderr) == (1, True)
    assert "mmdebstrap" not in again.stderr, "the base is not made once more"


@pytest.mark.parametrize("name", ["Containerfile", "greeting"])
def test_a_changed_file_of_the_context_makes_the_lock_stale(project: Project, name: str) -> None:
    with (project.folder / "image" / name).open("a") as file:
        file.write("# more\n")
    refused = project.build()
    assert refused.returncode == 2
    assert f"image/{name}" in refused.stderr
    assert "appliance lock small.yaml --only images/app" in refused.stderr


def test_a_link_in_the_context_is_refused(project: Project) -> None:
    (project.folder / "image/shadow").symlink_to("/etc/shadow")
    for verb in (["lock", "small.yaml"], ["build", "small.yaml", "--key", "key.pem"]):
        refused = project.run(*verb)
        assert refused.returncode == 2
        assert "image/shadow" in refused.stderr
        assert "containerfile-context" in refused.stderr
