"""What stands a second time because no code of ours is where it is needed says the same as the table of tasks."""

import importlib.util
import re
from typing import get_args

import yaml

from appliance.model.serving.tasks import ENGINES, Engine, Task
from tests.support.project import REPOSITORY
from tests.support.role_files import SITE, render, role_file


def test_the_probe_asks_what_the_table_says() -> None:
    spec = importlib.util.spec_from_file_location("probe", role_file("vllm", "probe.py"))
    assert spec is not None
    assert spec.loader is not None
    probe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probe)
    assert {task: (form.paths[0], dict(form.question)) for task, form in ENGINES["vllm"].items()} == probe.QUESTIONS


def test_every_engine_and_task_has_its_entry() -> None:
    assert set(ENGINES) == set(get_args(Engine))
    assert all(set(tasks) == set(get_args(Task)) for tasks in ENGINES.values())


def test_clients_may_be_given_every_task_and_no_other() -> None:
    specs = yaml.safe_load((SITE / "roles/gateway/meta/argument_specs.yml").read_text())
    roles = specs["argument_specs"]["main"]["options"]["gateway_clients"]["options"]["roles"]
    assert set(roles["choices"]) == set(get_args(Task))
    maps = re.findall(r"\$appliance_may_(\w+) \{", render("gateway", "clients.conf.j2", __gateway_clients=[]))
    assert set(maps) == set(get_args(Task))


def test_verify_sh_knows_every_engine_and_task() -> None:
    script = (REPOSITORY / "appliance/verify.sh").read_text()
    for field, known in (("task", get_args(Task)), ("engine", get_args(Engine))):
        (listed,) = re.findall(rf'\.{field} \| IN\(([^)]*)\)|"{field}"; IN\(([^)]*)\)', script)
        assert set(re.findall(r'"([^"]+)"', "".join(listed))) == set(known)
