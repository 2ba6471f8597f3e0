"""What each model gets of its host, and that it gets no more."""

import json
import re
from pathlib import Path

import pytest

from tests.site.hosts import Host
from tests.site.installed import Installed

pytestmark = [pytest.mark.integration, pytest.mark.demo]

MODELS = ("tiny-chat", "all-minilm-l6-v2")
WRITABLE = Path(__file__).with_name("writable.py").read_text()
KIB, MIB, GIB = 1024, 1024**2, 1024**3


def in_container(host: Host, model: str, program: str, *arguments: str) -> str:
    return host.run(["podman", "exec", f"vllm-{model}", "python3", "-c", program, *arguments])


def properties(host: Host, unit: str, *names: str) -> dict[str, str]:
    said = host.run(["systemctl", "show", f"--property={','.join(names)}", unit])
    return dict(line.split("=", 1) for line in said.splitlines())


def test_models_compute_on_cores_of_their_own(installed: Installed) -> None:
    """Left to itself, vLLM binds the threads of each to the same ones."""
    bound = {}
    for model in MODELS:
        allowed = installed.gpu1.run(
            [
                *("sh", "-c", 'for pid in $(podman top "$1" hpid | tail -n +2); do cat /proc/$pid/task/*/status; done'),
                *("sh", f"vllm-{model}"),
            ]
        )
        cores = set(re.findall(r"^Cpus_allowed_list:\t([0-9]+)$", allowed, re.MULTILINE))
        assert cores, "of OpenMP's threads, each has one core"
        bound[model] = cores
    assert bound["tiny-chat"].isdisjoint(bound["all-minilm-l6-v2"]), bound


@pytest.mark.parametrize("model", MODELS)
def test_all_that_a_model_can_write_to_is_in_memory_and_has_a_size(installed: Installed, model: str) -> None:
    places = json.loads(in_container(installed.gpu1, model, WRITABLE))
    sizes = {"/run/vllm": 64 * KIB, "/tmp": 512 * MIB, "/var/cache/vllm": 4 * GIB, "/dev/shm": GIB}
    # Queues of messages are counted by the kernel, for each user.
    assert {place: size for place, (size, _) in places.items() if place != "/dev/mqueue"} == sizes


def test_a_model_that_fills_the_place_of_its_socket_takes_nothing_of_the_host(installed: Installed) -> None:
    gpu1 = installed.gpu1
    written, files = json.loads(in_container(gpu1, "all-minilm-l6-v2", WRITABLE, "/run/vllm"))
    assert 0 < written <= 64 * KIB
    assert 0 < files < 16
    assert "parts" in installed.operator.ask("operator", "chat")


def test_an_answer_has_the_form_that_its_client_demands(installed: Installed) -> None:
    """Through the gateway, by the stock client; the model itself knows nothing of JSON."""
    answer = installed.operator.ask("operator", "form", json.dumps({"enum": ["yes", "no"]}))
    assert json.loads(answer["text"]) in {"yes", "no"}
    far = {"type": "string", "pattern": "^" + "[^a]{1,999}" * 3 + "$"}
    refusal = installed.operator.ask("operator", "form", json.dumps(far))
    assert refusal["status"] == 400
    assert "counts beyond 32" in refusal["message"]


def test_units_carry_what_the_plan_gives(installed: Installed) -> None:
    gpu1 = installed.gpu1
    host = int(gpu1.run(["awk", "/^MemTotal/ {print $2}", "/proc/meminfo"])) * KIB
    for model in MODELS:
        unit = properties(gpu1, f"vllm-{model}.service", "MemoryMax", "MemorySwapMax", "TasksMax", "Slice", "OOMPolicy")
        assert 4 * GIB < int(unit["MemoryMax"]) < host
        assert 1024 < int(unit["TasksMax"]) < 4096
        assert (unit["MemorySwapMax"], unit["Slice"], unit["OOMPolicy"]) == ("0", "vllm.slice", "kill")
        assert gpu1.run(["podman", "exec", f"vllm-{model}", "cat", "/proc/1/oom_score_adj"]).strip() == "500"
    together = properties(gpu1, "vllm.slice", "MemoryMax", "CPUWeight", "IOWeight")
    assert host - int(together["MemoryMax"]) >= GIB - MIB
    assert (together["CPUWeight"], together["IOWeight"]) == ("50", "50")
