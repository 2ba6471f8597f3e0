"""Who signs a build, and with which root: at once, later and elsewhere, with co-signatures."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import REPOSITORY, Project

pytestmark = pytest.mark.integration


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
    if not (REPOSITORY / ".venv/bin/appliance").exists():
        pytest.skip("needs the environment that make makes: make .venv/ready")
    (project.folder / "roots").mkdir()
    shutil.copy(project.folder / "key.root.json", project.folder / "roots/1.root.json")
    project.run("root", "rotate", "roots", "--key", "key.pem").check_returncode()

    def make(root: str) -> "subprocess.CompletedProcess[str]":
        bundle, out = (str(project.folder / name) for name in ("small.yaml", "dist"))
        variables = {**project.environment, "BUNDLE": bundle, "OUT": out, "KEY": "", "ROOT": root}
        command = [str(REPOSITORY / "bundles/build.sh")]
        return subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)

    missing = make("")
    assert (missing.returncode, "root-not-given" in missing.stderr) == (2, True)
    made = make(str(project.folder / "roots"))
    assert (made.returncode, made.stdout) == (0, f"{project.bundle}\n")
    assert "1 more of 1 must sign" in made.stderr
    project.run("sign", "dist/small-1.0.0", "--key", "key.pem").check_returncode()
    verified = project.run("verify", "dist/small-1.0.0", "--root", "key.root.json", "--json")
    assert json.loads(verified.stdout)["root_version"] == 2


def test_make_bundle_ends_with_a_verification(project: Project) -> None:
    if not (REPOSITORY / ".venv/bin/appliance").exists():
        pytest.skip("needs the environment that make makes: make .venv/ready")
    paths = {"BUNDLE": "small.yaml", "OUT": "dist", "KEY": "key.pem"}
    variables = {
        **project.environment,
        **{name: str(project.folder / path) for name, path in paths.items()},
        "ROOT": "",
    }
    command = [str(REPOSITORY / "bundles/build.sh")]
    made = subprocess.run(command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, check=False)
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


def test_a_key_of_another_root_is_refused_and_nothing_is_left(project: Project) -> None:
    project.run("keys", "new", "other.pem", "--no-passphrase").check_returncode()
    refused = project.run("build", "small.yaml", "--key", "other.pem", "--root", "key.root.json")
    assert refused.returncode == 2
    assert "key-not-in-root" in refused.stderr
