"""`appliance lock` from the command line: what moves, what stays, what is kept when it fails."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import yaml

from tests.support.project import DEFINITION, Project, tensor_file
from tests.support.simple_index import SimpleIndex, serving
from tests.support.wheels import write_wheel

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleIndex]:
    with serving(SimpleIndex(tmp_path_factory.mktemp("index"))) as index:
        yield index


@pytest.fixture
def index(served: SimpleIndex) -> SimpleIndex:
    """An index with the first release of one distribution."""
    for wheel in served.folder.iterdir():
        wheel.unlink()
    write_wheel(served.folder, "sealing-wax", "1.0")
    return served


@pytest.fixture(scope="module")
def template(served: SimpleIndex, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One model from a directory and one set of wheels, locked."""
    write_wheel(served.folder, "sealing-wax", "1.0")
    project = Project.make(tmp_path_factory.mktemp("template") / "project")
    define(project, served)
    project.run("lock", "small.yaml", PIP_FIND_LINKS="").check_returncode()
    return project


def define(
    project: Project,
    index: SimpleIndex,
    head: str = DEFINITION,
    requirements: Sequence[str] = ("sealing-wax",),
    **more: Any,
) -> None:
    tools = {
        "python": "3.13",
        "platform": "x86_64-manylinux_2_41",
        "requirements": list(requirements),
        "index": index.url,
        "licence": "MIT",
    }
    definition = {**yaml.safe_load(head), "wheels": {"tools": tools}, **more}
    (project.folder / "small.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))


def locked(project: Project) -> dict[str, list[str]]:
    """The files and inputs of each artifact."""
    lock = yaml.safe_load((project.folder / "small.lock.yaml").read_text())
    return {
        f"{artifact['kind']}/{artifact['name']}": [file["path"] for file in artifact["files"]]
        for artifact in lock["artifacts"]
    }


def test_a_new_version_moves_no_dependency(project: Project, index: SimpleIndex) -> None:
    write_wheel(index.folder, "sealing-wax", "2.0")
    define(project, index, DEFINITION.replace("1.0.0", "1.0.1"))
    again = project.run("lock", "small.yaml", PIP_FIND_LINKS="")
    assert again.returncode == 0, again.stderr
    assert locked(project)["wheels/tools"] == ["sealing_wax-1.0-py3-none-any.whl"]
    assert "version: 1.0.1" in (project.folder / "small.lock.yaml").read_text()
    assert "Resolving" not in again.stderr


def test_one_more_model_moves_no_dependency(project: Project, index: SimpleIndex) -> None:
    write_wheel(index.folder, "sealing-wax", "2.0")
    shutil.copytree(project.folder / "model", project.folder / "another")
    licence = {"licence": "CC0-1.0"}
    define(
        project, index, weights={"tiny": {"directory": "model", **licence}, "more": {"directory": "another", **licence}}
    )
    project.run("lock", "small.yaml", PIP_FIND_LINKS="").check_returncode()
    assert locked(project)["wheels/tools"] == ["sealing_wax-1.0-py3-none-any.whl"]
    assert locked(project)["weights/more"] == ["config.json", "model.safetensors"]


def test_a_file_of_this_host_that_has_changed_is_found(project: Project, index: SimpleIndex) -> None:
    write_wheel(index.folder, "sealing-wax", "2.0")
    before = (project.folder / "small.lock.yaml").read_text()
    (project.folder / "model/model.safetensors").write_bytes(tensor_file(8))
    project.run("lock", "small.yaml", PIP_FIND_LINKS="").check_returncode()
    assert locked(project)["wheels/tools"] == ["sealing_wax-1.0-py3-none-any.whl"]
    assert (project.folder / "small.lock.yaml").read_text() != before
    assert project.build().returncode == 0


def test_one_more_requirement_moves_no_other(project: Project, index: SimpleIndex) -> None:
    for name in ("sealing-wax", "string"):
        write_wheel(index.folder, name, "2.0")
    define(project, index, requirements=["sealing-wax", "string"])
    project.run("lock", "small.yaml", PIP_FIND_LINKS="").check_returncode()
    assert locked(project)["wheels/tools"] == ["sealing_wax-1.0-py3-none-any.whl", "string-2.0-py3-none-any.whl"]
    assert project.build().returncode == 0


def test_a_requirement_that_demands_it_moves_what_was_locked(project: Project, index: SimpleIndex) -> None:
    write_wheel(index.folder, "sealing-wax", "2.0")
    define(project, index, requirements=["sealing-wax>=1.5"])
    project.run("lock", "small.yaml", PIP_FIND_LINKS="").check_returncode()
    assert locked(project)["wheels/tools"] == ["sealing_wax-2.0-py3-none-any.whl"]


def test_what_an_index_has_no_more_is_replaced(project: Project, index: SimpleIndex) -> None:
    (index.folder / "sealing_wax-1.0-py3-none-any.whl").unlink()
    for name in ("sealing-wax", "string"):
        write_wheel(index.folder, name, "2.0")
    define(project, index, requirements=["sealing-wax", "string"])
    project.run("lock", "small.yaml", PIP_FIND_LINKS="").check_returncode()
    assert locked(project)["wheels/tools"] == ["sealing_wax-2.0-py3-none-any.whl", "string-2.0-py3-none-any.whl"]


def test_a_locked_release_that_was_yanked_is_never_kept_in_silence(project: Project, index: SimpleIndex) -> None:
    for name in ("sealing-wax", "string"):
        write_wheel(index.folder, name, "2.0")
    define(project, index, requirements=["sealing-wax", "string"])
    index.yanked = {"sealing_wax-1.0-py3-none-any.whl": "it eats letters"}
    done = project.run("lock", "small.yaml", PIP_FIND_LINKS="")
    index.yanked = {}
    assert done.returncode == 0, done.stderr
    kept = "sealing_wax-1.0-py3-none-any.whl" in locked(project)["wheels/tools"]
    assert kept == ("was yanked by its publisher: it eats letters" in done.stderr)


@pytest.mark.parametrize("option", [["--all"], ["--only", "wheels/tools"]])
def test_what_is_newest_is_taken_when_asked_for(project: Project, index: SimpleIndex, option: list[str]) -> None:
    write_wheel(index.folder, "sealing-wax", "2.0")
    project.run("lock", "small.yaml", *option, PIP_FIND_LINKS="").check_returncode()
    assert locked(project)["wheels/tools"] == ["sealing_wax-2.0-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("head", "more", "said"),
    [
        (DEFINITION.replace("1.0.0", "1.0.1"), {}, "what it says about the bundle as a whole"),
        (DEFINITION, {"wheels": {}}, "wheels/tools"),
        (DEFINITION.replace("CC0-1.0", "MIT"), {}, "weights/tiny"),
    ],
    ids=["the head", "one less", "another section"],
)
def test_the_command_that_renews_a_stale_lock_works(
    project: Project, index: SimpleIndex, head: str, more: dict[str, Any], said: str
) -> None:
    define(project, index, head, **more)
    stale = project.build()
    assert (stale.returncode, said in stale.stderr) == (2, True), stale.stderr
    command = stale.stderr.split("renew it: appliance ")[1].splitlines()[0]
    renewed = project.run(*command.split(), PIP_FIND_LINKS="")
    assert renewed.returncode == 0, renewed.stderr
    assert project.build().returncode == 0


def test_a_path_with_a_space_stays_one_word_in_what_to_do(project: Project) -> None:
    (project.folder / "small.yaml").rename(project.folder / "the definition.yaml")
    said = project.run("build", "the definition.yaml", "--key", "key.pem").stderr
    assert "do:       make it: appliance lock 'the definition.yaml'\n" in said


def test_what_was_resolved_before_an_error_is_kept(project: Project, index: SimpleIndex) -> None:
    """Weights come first; the wheels that come then are not there."""
    (project.folder / "small.lock.yaml").unlink()
    (gone,) = index.folder.glob("*.whl")
    content = gone.read_bytes()
    gone.unlink()
    failed = project.run("lock", "small.yaml", PIP_FIND_LINKS="")
    assert failed.returncode == 2, failed.stderr
    assert list(locked(project)) == ["weights/tiny"]
    stale = project.build()
    assert (stale.returncode, "wheels/tools" in stale.stderr) == (2, True), "what is missing is said"
    gone.write_bytes(content)
    again = project.run("lock", "small.yaml", PIP_FIND_LINKS="")
    assert again.returncode == 0, again.stderr
    assert "Resolving weights/tiny" not in again.stderr
    assert list(locked(project)) == ["weights/tiny", "wheels/tools"]
    assert project.build().returncode == 0


@pytest.mark.parametrize("reason", ["it eats letters", ""])
def test_a_yanked_release_is_told_of_and_the_lock_says_why(project: Project, index: SimpleIndex, reason: str) -> None:
    define(project, index)
    text = (project.folder / "small.yaml").read_text()
    (project.folder / "small.yaml").write_text(text.replace("- sealing-wax", "- sealing-wax==1.0"))
    index.yanked = {"sealing_wax-1.0-py3-none-any.whl": reason}
    done = project.run("lock", "small.yaml", PIP_FIND_LINKS="")
    index.yanked = {}
    said = f"sealing-wax==1.0 was yanked by its publisher: {reason or 'no reason given'}"
    assert (done.returncode, f"> warning: wheels/tools: {said}\n" in done.stderr) == (0, True), done.stderr
    artifacts = yaml.safe_load((project.folder / "small.lock.yaml").read_text())["artifacts"]
    assert [artifact.get("warnings") for artifact in artifacts] == [None, [said]]
    assert f"> warning: wheels/tools: {said}\n" in project.build(PIP_FIND_LINKS="").stderr


def test_a_set_of_which_nothing_is_left_is_told_of(project: Project, index: SimpleIndex) -> None:
    define(project, index)
    text = (project.folder / "small.yaml").read_text()
    (project.folder / "small.yaml").write_text(text.replace("- sealing-wax", "- sealing-wax; sys_platform == 'win32'"))
    done = project.run("lock", "small.yaml", PIP_FIND_LINKS="")
    assert done.returncode == 0, done.stderr
    assert "> warning: wheels/tools: it holds no wheel" in done.stderr


def test_a_definition_of_nothing_is_told_of(project: Project) -> None:
    (project.folder / "small.yaml").write_text(DEFINITION.split("weights:", maxsplit=1)[0])
    done = project.run("lock", "small.yaml")
    assert (done.returncode, "the definition names no artifact" in done.stderr) == (0, True), done.stderr


def test_wheels_for_other_pythons_are_not_called_source_distributions(project: Project, index: SimpleIndex) -> None:
    (wheel,) = index.folder.iterdir()
    wheel.unlink()
    write_wheel(index.folder, "sealing-wax", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    (index.folder / "sealing_wax-1.0.tar.gz").write_bytes(b"its source")
    refused = project.run("lock", "small.yaml", "--all", PIP_FIND_LINKS="")
    assert (refused.returncode, "(wheel-missing)" in refused.stderr) == (2, True), refused.stderr
    assert "sealing_wax-1.0-cp311-cp311-manylinux_2_17_x86_64.whl" in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs in a namespace of its own")
def test_a_full_disk_is_said_with_its_place(project: Project) -> None:
    (project.folder / "model/model.safetensors").write_bytes(tensor_file(2_000_000))
    (project.folder / "small disk").mkdir()
    script = 'mount -t tmpfs -o size=4m none "small disk"; "$@"'
    lock = ("lock", "small.yaml", "--only", "weights/tiny", "--cache", "small disk")
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *project.command(*lock)],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "(disk-full)" in done.stderr) == (2, True), done.stderr
    assert f"where:    {project.folder / 'small disk'}\n" in done.stderr
