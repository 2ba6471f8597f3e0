"""`appliance build` from the command line: what is made, what is refused, what survives."""

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.project import DEFINITION, Project, tensor_file
from tests.support.umask import umask

pytestmark = pytest.mark.integration


def test_the_last_line_is_the_bundle_and_it_verifies(project: Project) -> None:
    built = project.build()
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines()[-1] == "dist/small-1.0.0"
    verified = project.run("verify", "dist/small-1.0.0", "--root", "key.root.json")
    assert (verified.returncode, verified.stdout) == (0, "verified\n"), verified.stderr
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=project.bundle, check=True)


def test_the_same_lock_gives_the_same_list_elsewhere(project: Project, tmp_path: Path) -> None:
    other = project.copy(tmp_path / "elsewhere")
    shutil.rmtree(other.folder / "cache")
    with umask(0o077):
        assert other.build(TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7").returncode == 0
    assert project.build().returncode == 0
    assert other.sums() == project.sums()
    for path in other.bundle.rglob("*"):
        wanted = 0o755 if path.is_dir() else 0o444
        assert stat.S_IMODE(path.stat().st_mode) & wanted == wanted, path


def test_a_second_build_writes_nothing(project: Project) -> None:
    assert project.build().returncode == 0
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in project.bundle.rglob("*")}
    again = project.build("--json")
    assert json.loads(again.stdout)["written"] is False
    after = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in project.bundle.rglob("*")}
    assert after == before


def test_files_are_links_into_the_cache(project: Project) -> None:
    assert project.build().returncode == 0
    weights = project.bundle / "models/tiny/model.safetensors"
    digest = project.sums().split("  models/tiny/model.safetensors")[0].split("\n")[-1]
    assert weights.samefile(project.folder / "cache/blobs/sha256" / digest[:2] / digest)


def test_other_content_at_the_output_is_kept(project: Project) -> None:
    project.bundle.mkdir(parents=True)
    (project.bundle / "notes.txt").write_text("mine")
    refused = project.build()
    assert refused.returncode == 2
    assert "bundle-exists" in refused.stderr
    assert [path.name for path in project.bundle.iterdir()] == ["notes.txt"]
    assert [path.name for path in project.bundle.parent.iterdir()] == ["small-1.0.0"]


def test_a_changed_file_in_the_bundle_is_not_taken_for_the_bundle(project: Project) -> None:
    assert project.build().returncode == 0
    changed = project.bundle / "models/tiny/config.json"
    changed.chmod(0o644)
    changed.write_text('{"model_type": "other"}\n')
    refused = project.build()
    assert refused.returncode == 2
    assert "bundle-exists" in refused.stderr


def test_a_changed_file_in_the_cache_is_fetched_again(project: Project) -> None:
    assert project.build().returncode == 0
    sums = project.sums()
    for blob in (project.folder / "cache/blobs").rglob("*"):
        if blob.is_file():
            blob.chmod(0o644)
            with blob.open("r+b") as file:
                file.write(b"\xff")
    shutil.rmtree(project.bundle)
    assert project.build().returncode == 0
    assert project.sums() == sums
    assert project.run("verify", "dist/small-1.0.0", "--root", "key.root.json").returncode == 0


def test_a_changed_model_makes_the_lock_stale(project: Project) -> None:
    (project.folder / "model/model.safetensors").write_bytes(tensor_file(8))
    refused = project.build()
    assert refused.returncode == 2
    assert "lock-stale" in refused.stderr
    assert "--only weights/tiny" in refused.stderr
    assert not project.bundle.exists()
    renewed = project.build("--renew", "--json")
    assert json.loads(renewed.stdout)["renewed"] == ["weights/tiny"]


def test_a_changed_definition_makes_the_lock_stale(project: Project) -> None:
    (project.folder / "small.yaml").write_text(DEFINITION.replace("CC0-1.0", "MIT"))
    refused = project.build()
    assert refused.returncode == 2
    assert "weights/tiny" in refused.stderr
    assert project.run("lock", "small.yaml").returncode == 0
    assert project.build().returncode == 0


def test_a_lock_that_does_not_say_when_it_was_made_is_stale_once(project: Project) -> None:
    lock = project.folder / "small.lock.yaml"
    dated = lock.read_text()
    lock.write_text("".join(line for line in dated.splitlines(keepends=True) if not line.startswith("locked:")))
    refused = project.build()
    assert refused.returncode == 2
    assert "the lock does not say when it was made" in refused.stderr
    again = project.run("lock", "small.yaml")
    assert (again.returncode, "Resolving" in again.stderr) == (0, False), again.stderr
    assert [line for line in lock.read_text().splitlines() if not line.startswith("locked:")] == [
        line for line in dated.splitlines() if not line.startswith("locked:")
    ]
    assert project.build().returncode == 0


def test_a_bundle_says_what_is_in_it(project: Project) -> None:
    assert project.build().returncode == 0
    (lock_time,) = (
        line.split(maxsplit=1)[1].strip("'")
        for line in (project.folder / "small.lock.yaml").read_text().splitlines()
        if line.startswith("locked:")
    )
    sbom = json.loads((project.bundle / "evidence/sbom/bundle.cdx.json").read_bytes())
    assert sbom["metadata"]["timestamp"] == lock_time
    assert [component["name"] for component in sbom["components"]] == ["tiny", "verify.sh", "evidence/check-log.sh"]
    assert (project.bundle / "evidence/sbom/weights/tiny.spdx.json").is_file()
    explained = json.loads((project.bundle / "bundle.json").read_bytes())["shared"]
    assert {"evidence/NOTICE.txt", "evidence/sbom/bundle.cdx.json"} <= {file["path"] for file in explained}


def test_a_bundle_says_what_it_comes_from(project: Project) -> None:
    assert project.build().returncode == 0
    statement = json.loads((project.bundle / "evidence/provenance.json").read_bytes())
    asked = statement["predicate"]["buildDefinition"]["externalParameters"]["bundle"]
    assert (asked["name"], asked["version"]) == ("small", "1.0.0")
    listed = dict(line.split("  ", 1)[::-1] for line in (project.bundle / "SHA256SUMS").read_text().splitlines())
    for subject in statement["subject"]:
        assert listed[subject["name"]] == subject["digest"]["sha256"]
    assert "models/tiny/config.json" in {subject["name"] for subject in statement["subject"]}


def test_a_licence_that_the_definition_refuses_is_not_carried(project: Project) -> None:
    definition = project.folder / "small.yaml"
    definition.write_text(f"{DEFINITION}licences:\n  refused: [CC0-*]\n")
    project.run("lock", "small.yaml").check_returncode()
    refused = project.build()
    assert refused.returncode == 2
    assert "weights/tiny is under 'CC0-1.0', which the definition does not allow" in refused.stderr
    assert not project.bundle.exists()
    definition.write_text(f"{DEFINITION}licences:\n  refused: [CC0-*]\n  reviewed: {{weights/tiny: Ours.}}\n")
    project.run("lock", "small.yaml").check_returncode()
    assert project.build().returncode == 0
    assert "  note: Ours.\n" in (project.bundle / "evidence/NOTICE.txt").read_text()


def test_locking_again_changes_nothing(project: Project) -> None:
    before = (project.folder / "small.lock.yaml").read_bytes()
    assert project.run("lock", "small.yaml").returncode == 0
    assert (project.folder / "small.lock.yaml").read_bytes() == before


def test_two_builds_at_once(project: Project) -> None:
    """Whoever comes second is told so, or finds the finished bundle; both are never half."""
    # A file that takes a while keeps the first build busy.
    (project.folder / "model/model.safetensors").write_bytes(tensor_file(40_000_000))
    project.run("lock", "small.yaml").check_returncode()
    builds = [
        subprocess.Popen(
            project.command("build", "small.yaml", "--key", "key.pem"),
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [(process.communicate()[1], process.returncode) for process in builds]
    assert 0 in {code for _, code in results}
    for message, code in results:
        assert code == 0 or (code == 2 and "build-running" in message), message
    assert project.run("verify", "dist/small-1.0.0", "--root", "key.root.json").returncode == 0


def test_a_build_that_comes_second_leaves_the_first_ones_work(project: Project) -> None:
    staging = project.bundle.parent / ".small-1.0.0.building"
    staging.mkdir(parents=True)
    (staging / "half a model").touch()
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        refused = project.build()
    finally:
        os.close(descriptor)
    assert refused.returncode == 2
    assert "build-running" in refused.stderr
    assert (staging / "half a model").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_an_interrupted_build_goes_on(project: Project, number: signal.Signals, code: int) -> None:
    (project.folder / "model/model.safetensors").write_bytes(tensor_file(60_000_000))
    project.run("lock", "small.yaml").check_returncode()
    shutil.rmtree(project.folder / "cache")
    process = subprocess.Popen(
        project.command("build", "small.yaml", "--key", "key.pem"),
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(files for _, _, files in os.walk(project.folder / "cache/work")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    process.communicate()
    assert process.returncode == code
    assert not project.bundle.exists()
    assert project.build().returncode == 0
    assert project.run("verify", "dist/small-1.0.0", "--root", "key.root.json").returncode == 0
    assert not list((project.folder / "cache/work").iterdir())
    assert [path.name for path in (project.folder / "dist").iterdir()] == ["small-1.0.0"]


def test_a_full_disk_is_said_before_it_is_full(project: Project) -> None:
    lock = project.folder / "small.lock.yaml"
    lock.write_text(lock.read_text().replace("size: 24\n", f"size: {2**52}\n"))
    refused = project.build()
    assert refused.returncode == 2
    assert "disk-full" in refused.stderr
    assert not project.bundle.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs in a namespace of its own")
def test_a_disk_that_fills_up_is_survived(project: Project) -> None:
    """The output lies on a file system too small for a copy of the model."""
    (project.folder / "model/model.safetensors").write_bytes(tensor_file(2_000_000))
    project.run("lock", "small.yaml").check_returncode()
    (project.folder / "small disk").mkdir()
    script = (
        'mount -t tmpfs -o size=4m none "small disk"; '
        '"$@" build small.yaml --key key.pem --out "small disk"; code=$?; ls -A "small disk"; exit $code'
    )
    result = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *project.command()],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert "disk-full" in result.stderr


def test_another_file_system_gets_copies(project: Project) -> None:
    shared_memory = Path("/dev/shm")
    if not os.access(shared_memory, os.W_OK) or shared_memory.stat().st_dev == project.folder.stat().st_dev:
        pytest.skip("needs /dev/shm as a second file system")
    out = shared_memory / f"appliance-test-{os.getpid()}"
    try:
        assert project.build("--out", str(out)).returncode == 0
        assert project.run("verify", str(out / "small-1.0.0"), "--root", "key.root.json").returncode == 0
        assert project.build("--out", str(out)).returncode == 0
    finally:
        shutil.rmtree(out, ignore_errors=True)
