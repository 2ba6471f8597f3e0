"""The site's playbooks, roles and inventories: what holds for every one of them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.role_readmes import readme

SITE = Path(__file__).parents[2] / "ansible" / "appliance_site"
ROLES = sorted(path for path in (SITE / "roles").iterdir() if path.is_dir())
INVENTORIES = sorted(path for path in (SITE / "inventories").iterdir() if path.is_dir())
PLAYBOOKS = sorted(SITE.glob("*.yml"))
TASK_FILES = sorted(file for part in ("tasks", "handlers") for file in SITE.glob(f"roles/*/{part}/*.yml"))
MOST_VARIABLES = 40

# What a task may have beside its module.
KEYWORDS = {
    *("any_errors_fatal", "args", "become", "changed_when", "check_mode", "delegate_to", "diff", "environment"),
    *("failed_when", "loop", "loop_control", "name", "no_log", "notify", "listen", "register", "run_once", "until"),
    *("retries", "delay", "vars", "when", "block", "rescue", "always", "delegate_facts", "timeout", "throttle"),
    *("async", "ignore_errors", "ignore_unreachable", "poll", "tags"),
}
# Actions of our own: action_plugins/.
OUR_ACTIONS = {path.stem for path in SITE.glob("action_plugins/*.py")}
# Each of them changes a file that belongs to someone else.
FOREIGN_HANDS = {"lineinfile", "blockinfile", "replace"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def tasks(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        yield entry
        for part in ("block", "rescue", "always"):
            yield from tasks(entry.get(part, []))


def modules(file: Path) -> set[str]:
    return {key for task in tasks(read(file)) for key in task if key not in KEYWORDS}


def ansible(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = shutil.which(program, path=path)
    if command is None:
        pytest.skip(f"needs {program}: it is among the development requirements")
    return subprocess.run(
        [command, *arguments],
        cwd=SITE,
        env={"PATH": path, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": os.environ["TMPDIR"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_variable_is_described_with_its_default(role: Path) -> None:
    specification = read(role / "meta/argument_specs.yml")["argument_specs"]["main"]
    described = specification.get("options", {})
    assert specification["short_description"]
    assert {name: option.get("default") for name, option in described.items()} == read(role / "defaults/main.yml")
    assert all(option["description"] and option["type"] for option in described.values())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_readme_says_what_the_specification_says(role: Path) -> None:
    assert (role / "README.md").read_text() == readme(role), "do: python -m tests.role_readmes"


def test_what_a_role_takes_for_another_ones_default_is_that() -> None:
    defaults: dict[str, Any] = {}
    for role in ROLES:
        defaults |= read(role / "defaults/main.yml")
    files = [path for role in ROLES for path in role.rglob("*") if path.suffix in {".yml", ".j2"}]
    taken = {found for path in files for found in re.findall(r"(\w+) \| default\((\d+)\)", path.read_text())}
    of_others = {(name, value) for name, value in taken if name in defaults}
    assert {name for name, _ in of_others} >= {"depot_port", "depot_registry_port", "gateway_port"}
    assert of_others == {(name, str(defaults[name])) for name, _ in of_others}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_are_few_and_named_after_their_role(role: Path) -> None:
    public = read(role / "defaults/main.yml")
    assert len(public) < MOST_VARIABLES
    assert not {name for name in public if not name.startswith(f"{role.name}_")}
    private = read(role / "vars/main.yml") if (role / "vars/main.yml").exists() else {}
    registered = {
        task["register"] for file in (role / "tasks").glob("*.yml") for task in tasks(read(file)) if "register" in task
    }
    assert not {name for name in {*private, *registered} if not name.startswith(f"__{role.name}_")}


@pytest.mark.parametrize("file", TASK_FILES, ids=lambda file: str(file.relative_to(SITE / "roles")))
def test_tasks_use_what_ansible_core_has_and_only_files_of_our_own(file: Path) -> None:
    used = modules(file) - OUR_ACTIONS
    assert not {name for name in used if not name.startswith("ansible.builtin.")}
    assert not {name.removeprefix("ansible.builtin.") for name in used} & FOREIGN_HANDS


@pytest.mark.parametrize("file", TASK_FILES, ids=lambda file: str(file.relative_to(SITE / "roles")))
def test_files_that_are_written_have_an_owner_and_a_mode(file: Path) -> None:
    for task in tasks(read(file)):
        for module in ("ansible.builtin.template", "ansible.builtin.copy"):
            if module in task:
                assert {"owner", "group", "mode"} <= task[module].keys(), task["name"]


@pytest.mark.parametrize("file", TASK_FILES, ids=lambda file: str(file.relative_to(SITE / "roles")))
def test_units_are_masked_without_a_look_at_the_owner_of_dev_null(file: Path) -> None:
    """It is whose container was entered last: a run would find it changed, and change it."""
    links = [task["ansible.builtin.file"] for task in tasks(read(file)) if "ansible.builtin.file" in task]
    assert all(link["follow"] is False for link in links if link.get("src") == "/dev/null")


def test_the_playbooks_name_roles_that_exist_and_all_of_them() -> None:
    plays = [play for file in PLAYBOOKS for play in read(file)]
    named = {role["role"] for play in plays for role in play.get("roles", [])}
    lists = [read(file) for file in TASK_FILES] + [play.get("tasks", []) for play in plays]
    included = {
        task["ansible.builtin.include_role"]["name"]
        for entries in lists
        for task in tasks(entries)
        if "ansible.builtin.include_role" in task
    }
    assert named | included == {role.name for role in ROLES}


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda inventory: inventory.name)
def test_example_inventories_are_what_preflight_demands(inventory: Path) -> None:
    groups = {name: set(group["hosts"]) for name, group in read(inventory / "hosts.yml").items()}
    depot = read(inventory / "hosts.yml")["depot"]["hosts"]
    assert [host["ansible_connection"] for host in depot.values()] == ["local"]
    assert groups["gateway"] <= groups["inference"]
    assert {"appliance_bundle", "appliance_root", "appliance_depot_host"} <= read(
        inventory / "group_vars/all.yml"
    ).keys()


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda inventory: inventory.name)
def test_the_playbooks_parse_with_each_inventory(inventory: Path) -> None:
    done = ansible("ansible-playbook", "--syntax-check", "--inventory", str(inventory), *map(str, PLAYBOOKS))
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr
    assert "DEPRECATION" not in done.stderr


@pytest.mark.integration
def test_no_role_breaks_the_strictest_rules_of_ansible_lint() -> None:
    done = ansible("ansible-lint", "--offline", "--profile=production", "--nocolor", "-q", *map(str, PLAYBOOKS))
    assert done.returncode == 0, done.stdout + done.stderr


def test_variables_in_templates_and_tasks_are_all_known() -> None:
    """A misspelt variable of a role would show only on the host that gets there."""
    known = {name for role in ROLES for name in read(role / "defaults/main.yml")}
    prefix = "|".join(role.name for role in ROLES)
    pattern = re.compile(rf"(?<![\w./-])(?:{prefix})_[a-z0-9_]+(?![\w./-])")
    files = [file for kind in ("*.j2", "*.yml") for file in SITE.glob(f"roles/*/t*/{kind}")]
    unknown = {
        (file.name, name)
        for file in files
        for expression in re.findall(r"\{[{%](.*?)[%}]\}", file.read_text(), re.DOTALL)
        for name in pattern.findall(re.sub(r"'[^']*'", "", expression))
        if name not in known
    }
    assert not unknown
