"""What docs/recipes tells people to type exists, as far as that shows without a site.

tests/site/test_recipes.py and test_recipes_daily.py type all of it on a real one.
"""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.project import REPOSITORY
from tests.support.recipes import RECIPES, steps
from tests.support.role_files import SITE

PAGES = sorted(path.name for path in RECIPES.glob("*.md"))
KNOWN = {"appliance_models"} | {
    name
    for file in SITE.glob("roles/*/meta/argument_specs.yml")
    for name in yaml.safe_load(file.read_text())["argument_specs"]["main"].get("options", {})
}


def typed(page: str) -> list[str]:
    return [step.text for step in steps(page) if step.kind == "sh"]


def test_the_index_has_every_page() -> None:
    index = (RECIPES / "README.md").read_text()
    assert [page for page in PAGES if f"]({page})" not in index] == ["README.md"]


def test_every_page_is_followed_on_a_real_site() -> None:
    tests = "".join(file.read_text() for file in REPOSITORY.glob("tests/site/test_recipes*.py"))
    assert [page for page in PAGES if f'"{page}"' not in tests] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_those_of_a_shell(page: str) -> None:
    for text in typed(page):
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_playbooks_and_what_they_are_told_exist(page: str) -> None:
    text = (RECIPES / page).read_text()
    for command in re.findall(r"ansible-playbook (.*)", text):
        assert Path(SITE, command.split()[-1]).is_file(), command
    told = set(re.findall(r"--extra-vars (\w+)=", text))
    for step in steps(page):
        if step.kind == "yaml" and "group_vars" in step.text:
            told |= yaml.safe_load(step.text).keys()
    assert told <= KNOWN
