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


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.make(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def project(template: Project, tmp_path: Path) -> Project:
    return copy_of(template, tmp_path / "with space")


def copy_of(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("cache", "dist"))
    return Project(folder)


def test_the_last_line_is_the_bundle_and_it_verifies(project: Project) -> None:
    built = project.build()
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines()[-1] == "dist/small-1.0.0"
    verified = project.run("verify", "dist/small-1.0.0", "--root", "key.root.json")
    assert (verified.returncode, verified.stdout) == (0, "verified\n"), verified.stderr
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=project.bundle, check=True)


def test_the_same_lock_gives_the_same_list_elsewhere(project: Project, tmp_path: Path) -> None:
    other = copy_of(project, tmp_path / "elsewhere")
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


def test_a_key_of_another_root_is_refused_and_nothing_is_left(project: Project) -> None:
    project.run("keys", "new", "other.pem", "--no-passphrase").check_returncode()
    refused = project.run("build", "small.yaml", "--key", "other.pem", "--root", "key.root.json")
    assert refused.returncode == 2
    assert "key-not-in-root" in refused.stderr


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


def test_signing_later_and_elsewhere(project: Project, tmp_path: Path) -> None:
    unsigned = project.run("build", "small.yaml", "--root", "key.root.json")
    assert unsigned.returncode == 0, unsigned.stderr
    assert project.run("verify", "dist/small-1.0.0", "--root", "key.root.json").returncode == 3
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(project.bundle / "statement.json", elsewhere)
    signed = project.run("sign", str(elsewhere / "statement.json"), "--key", "key.pem")
    assert signed.returncode == 0, signed.stderr
    shutil.copy(signed.stdout.strip(), project.bundle / "sigs")
    assert project.run("verify", "dist/small-1.0.0", "--root", "key.root.json").returncode == 0


def test_a_root_that_lacks_signatures_stops_a_build_before_it_begins(project: Project) -> None:
    project.run("root", "new", "unsigned.root.json", "--public", "key.pub.pem").check_returncode()
    refused = project.run("build", "small.yaml", "--root", "unsigned.root.json")
    assert (refused.returncode, "root-threshold" in refused.stderr) == (3, True)
    assert "Fetching" not in refused.stderr


def test_a_bundle_with_another_root_chain_is_another_bundle(project: Project) -> None:
    project.build().check_returncode()
    (project.folder / "roots").mkdir()
    shutil.copy(project.folder / "key.root.json", project.folder / "roots/1.root.json")
    project.run("root", "rotate", "roots", "--key", "key.pem").check_returncode()
    before = sorted(path.name for path in project.bundle.rglob("*"))
    refused = project.build("--root", "roots")
    assert (refused.returncode, "another root chain" in refused.stderr) == (2, True)
    assert sorted(path.name for path in project.bundle.rglob("*")) == before
    assert project.build("--root", "roots", "--out", "again").returncode == 0
    verified = project.run("verify", "again/small-1.0.0", "--root", "key.root.json", "--json")
    assert json.loads(verified.stdout)["root_version"] == 2


def test_make_bundle_where_nobody_signs(project: Project) -> None:
    """`make bundle KEY= ROOT=roots`, with the root chain's directory; without ROOT it says what is missing."""
    repository = Path(__file__).parents[2]
    if not (repository / ".venv/bin/appliance").exists():
        pytest.skip("needs the environment that make makes: make .venv/ready")
    (project.folder / "roots").mkdir()
    shutil.copy(project.folder / "key.root.json", project.folder / "roots/1.root.json")
    project.run("root", "rotate", "roots", "--key", "key.pem").check_returncode()

    def make(root: str) -> "subprocess.CompletedProcess[str]":
        bundle, out = (str(project.folder / name) for name in ("small.yaml", "dist"))
        variables = {**project.environment, "BUNDLE": bundle, "OUT": out, "KEY": "", "ROOT": root}
        command = [str(repository / "bundles/build.sh")]
        return subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=False)

    missing = make("")
    assert (missing.returncode, "root-not-given" in missing.stderr) == (2, True)
    made = make(str(project.folder / "roots"))
    assert (made.returncode, made.stdout) == (0, f"{project.bundle}\n")
    assert "1 more of 1 have to sign" in made.stderr
    project.run("sign", "dist/small-1.0.0", "--key", "key.pem").check_returncode()
    verified = project.run("verify", "dist/small-1.0.0", "--root", "key.root.json", "--json")
    assert json.loads(verified.stdout)["root_version"] == 2


def test_make_bundle_ends_with_a_verification(project: Project) -> None:
    repository = Path(__file__).parents[2]
    if not (repository / ".venv/bin/appliance").exists():
        pytest.skip("needs the environment that make makes: make .venv/ready")
    paths = {"BUNDLE": "small.yaml", "OUT": "dist", "KEY": "key.pem"}
    variables = {
        **project.environment,
        **{name: str(project.folder / path) for name, path in paths.items()},
        "ROOT": "",
    }
    command = [str(repository / "bundles/build.sh")]
    made = subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout) == (0, f"{project.bundle}\n"), made.stderr
    assert "verified: small 1.0.0" in made.stderr


def test_the_profile_is_for_roots_that_have_co_signers(project: Project) -> None:
    definition = project.folder / "small.yaml"
    definition.write_text(f"{definition.read_text()}profile: cnsa-2.0\n")
    project.run("lock", "small.yaml").check_returncode()
    refused = project.build()
    assert (refused.returncode, "root-not-co-signed" in refused.stderr) == (3, True)
    project.run("keys", "new", "pq.pem", "--no-passphrase", "--type", "ml-dsa-87").check_returncode()
    both = (
        "--public",
        "key.pub.pem",
        "--public",
        "pq.pub.pem",
        "--threshold",
        "1",
        "--key",
        "key.pem",
        "--key",
        "pq.pem",
    )
    project.run("root", "new", "roots", *both).check_returncode()
    built = project.build("--root", "roots")
    assert built.returncode == 0, built.stderr
    assert "release post quantum role" in built.stderr
    project.run("sign", "dist/small-1.0.0", "--key", "pq.pem").check_returncode()
    verified = project.run("verify", "dist/small-1.0.0", "--root", "roots/1.root.json", "--profile", "cnsa-2.0")
    assert verified.returncode == 0, verified.stderr
    (listed,) = (project.bundle / "evidence").glob("SHA384SUMS.*")
    checked = subprocess.run(
        ["sha384sum", "--check", "--strict", listed], cwd=project.bundle, capture_output=True, check=False
    )
    assert checked.returncode == 0
    sums = project.sums()
    shutil.rmtree(project.bundle)
    project.build("--root", "roots").check_returncode()
    assert project.sums() == sums


def test_keys(project: Project) -> None:
    assert stat.S_IMODE((project.folder / "key.pem").stat().st_mode) == 0o600
    again = project.run("keys", "new", "key.pem", "--no-passphrase")
    assert again.returncode == 2
    assert "key-exists" in again.stderr
    assert project.run("keys", "new", "locked.pem").returncode == 2, "no terminal, no passphrase: no key"
    (project.folder / "pass").write_text("secret words\n")
    project.run("keys", "new", "locked.pem", "--passphrase-file", "pass").check_returncode()
    assert "ENCRYPTED" in (project.folder / "locked.pem").read_text()
    wrong = project.run("root", "new", "locked.root.json", "--key", "locked.pem", APPLIANCE_KEY_PASSPHRASE="guess")
    assert wrong.returncode == 2
    assert "key-passphrase-wrong" in wrong.stderr
    right = project.run(
        "root", "new", "locked.root.json", "--key", "locked.pem", APPLIANCE_KEY_PASSPHRASE="secret words"
    )
    assert right.returncode == 0, right.stderr
    assert "secret" not in right.stderr + right.stdout


def test_inspect_shows_what_is_inside(project: Project) -> None:
    project.build().check_returncode()
    shown = project.run("inspect", "dist/small-1.0.0")
    assert shown.returncode == 0, shown.stderr
    assert "small 1.0.0" in shown.stdout
    assert "CC0-1.0" in shown.stdout
    report = json.loads(project.run("inspect", "dist/small-1.0.0", "--json").stdout)
    assert report["statement"]["files"] == len(project.sums().splitlines())


def test_errors_for_programs(project: Project) -> None:
    project.build().check_returncode()
    (project.bundle / "extra").write_text("")
    refused = project.run("verify", "dist/small-1.0.0", "--root", "key.root.json", "--json")
    assert refused.returncode == 3
    error = json.loads(refused.stdout)["error"]
    assert (error["reference"], error["where"]) == ("file-unlisted", "extra")


@pytest.mark.parametrize("arguments", [["build"], ["verify", "x"], ["nonsense"], ["build", "none.yaml", "--bad"]])
def test_wrong_usage_is_exit_2(project: Project, arguments: list[str]) -> None:
    assert project.run(*arguments).returncode == 2


def test_help_shows_examples(project: Project) -> None:
    for verb in ("lock", "build", "sign", "verify", "inspect"):
        shown = project.run(verb, "--help")
        assert shown.returncode == 0
        assert f"appliance {verb}" in shown.stdout
