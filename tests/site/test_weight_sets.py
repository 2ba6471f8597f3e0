"""A site whose models have further weights: adapters with rights of their own, and a draft that guesses.

The demo's image and model, real vLLM; the adapters are made for this, and the model is its own draft.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.site.model_side import guesses
from tests.site.operator import ROOT, VARIABLES, Operator, recap
from tests.site.plan import MEDIUM
from tests.site.running import Site, running_site
from tests.support.adapters import BASE, tiny_chat_adapter
from tests.support.control_bundle import copy_sources
from tests.support.light_bundle import LightBundles
from tests.support.project import REPOSITORY

pytestmark = [pytest.mark.integration, pytest.mark.long]

NAME, VERSION = "sets", "1.0.0"
CLIENTS: list[dict[str, Any]] = [
    {"name": "operator", "roles": ["chat"]},
    {"name": "counsel", "roles": ["chat"], "models": ["tiny-legal"]},
]
GIVEN: dict[str, Any] = dict(VARIABLES) | {
    "appliance_bundle": NAME,
    "pki_clients": [client["name"] for client in CLIENTS],
    "gateway_clients": CLIENTS,
}


def definition(folder: Path) -> str:
    """The demo with an adapter of its model, and the same model once more with a draft in place of the embedder."""
    (folder / "bundles/legal").mkdir(parents=True)
    shutil.copytree(REPOSITORY / "bundles/include", folder / "bundles/include")
    shutil.copytree(REPOSITORY / "images/vllm-cpu", folder / "images/vllm-cpu")
    make("docs/build.py", folder / "bundles/manual")
    make("bundles/tiny-chat/make.py", folder / "bundles/tiny-chat/model")
    shutil.copytree(folder / "bundles/tiny-chat/model", folder / "bundles/draft")
    (folder / "bundles/draft/README.md").write_text("Guesses for tiny-chat.\n")
    for name, data in tiny_chat_adapter("legal", "q_proj", "v_proj").items():
        (folder / "bundles/legal" / name).write_bytes(data)
    demo: dict[str, Any] = yaml.safe_load((REPOSITORY / "bundles/demo.yaml").read_text())
    chat = demo["serving"]["tiny-chat"]
    del demo["weights"]["all-minilm-l6-v2"]
    demo["weights"] |= {
        "legal": {"directory": "legal", "adapter": {"of": "tiny-chat", "trained_on": BASE}, "licence": "CC0-1.0"},
        "draft": {"directory": "draft", "licence": "CC0-1.0"},
    }
    guessing = {"method": "draft_model", "weights": "draft", "num_speculative_tokens": 3}
    demo["serving"] = {
        "tiny-chat": chat | {"adapters": {"tiny-legal": "legal"}, "max_lora_rank": 8},
        "tiny-guess": chat | {"speculative_config": guessing},
    }
    return json.dumps(demo | {"name": NAME, "version": VERSION}, indent=1)  # YAML that names nothing twice


def make(script: str, folder: Path) -> None:
    """What `make bundle` makes first: a clone has it not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, script, str(folder)], cwd=REPOSITORY, check=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """After the first run."""
    folder = tmp_path_factory.mktemp("build host")
    copy_sources(folder)
    text = definition(folder)
    bundles = LightBundles(folder / "bundles", NAME)
    (bundles.folder / f"{NAME}.yaml").write_text(text)
    bundle = bundles.sign(NAME, VERSION)
    with running_site(bundle=bundle.parent) as site:
        Operator(site.depot).set_up(bundles.trusted, GIVEN, f"{MEDIUM}/{bundle.name}")
        yield site


@pytest.fixture(scope="module")
def operator(site: Site) -> Operator:
    return Operator(site.depot)


def test_model_and_adapter_answer_each_in_its_own_way(operator: Operator) -> None:
    alone = operator.ask("operator", "name", "tiny-chat")
    adapted = operator.ask("counsel", "name", "tiny-legal")
    assert (alone["model"], adapted["model"]) == ("tiny-chat", "tiny-legal")
    assert alone["text"] != adapted["text"]


def test_a_client_reaches_the_names_that_it_was_given_and_no_others(operator: Operator) -> None:
    for who, name in (("operator", "tiny-legal"), ("counsel", "tiny-chat"), ("counsel", "tiny-guess")):
        assert operator.ask(who, "name", name)["status"] == 404, (who, name)


def test_a_draft_guesses_and_the_answer_stays_the_models_own(site: Site, operator: Operator) -> None:
    said = operator.ask("operator", "name", "tiny-guess")
    assert said["text"] == operator.ask("operator", "name", "tiny-chat")["text"]
    drafted, accepted = guesses(site.gpu1, "tiny-guess")
    assert 0 < accepted <= drafted


def test_a_second_run_changes_nothing(operator: Operator) -> None:
    done = operator.attempt_playbook()
    assert [host.changed for host in recap(done.stdout).values()] == [0, 0], done.stdout


def test_an_auditor_finds_every_set_of_weights(operator: Operator) -> None:
    operator.depot.run(["cp", "/srv/appliance/receipts/site.pub.pem", "/root"])
    assert operator.appliance("log", "head", "--out", "/root/head.json").returncode == 0
    kept = ["--key", "/root/site.pub.pem", "--head", "/root/head.json"]
    audited = operator.appliance("audit", "--root", ROOT, *kept, "--json")
    report = json.loads(audited.stdout)
    assert (audited.returncode, report["fits"]) == (0, True), report["findings"]
    (host,) = (one for one in report["hosts"] if one["install"]["host"] == "gpu1")
    beside = {model["name"]: len(model["beside"]) for model in host["models"]}
    assert beside == {"tiny-chat": 1, "tiny-guess": 1}


@pytest.mark.parametrize("model", ["tiny-chat", "tiny-guess"])
def test_a_model_whose_further_weights_have_changed_does_not_start(site: Site, operator: Operator, model: str) -> None:
    gpu1, unit = site.gpu1, f"vllm-{model}.service"
    checks = re.findall(
        r"weights.py check (\S+) (\S+) ", gpu1.run(["cat", f"/etc/containers/systemd/vllm-{model}.container"])
    )
    (beside,) = (place for listed, place in checks if not listed.endswith(f"/{model}.sha256"))
    victim = f"{beside}/README.md"
    gpu1.run(["cp", "--preserve=all", victim, "/root/kept"])
    gpu1.run(["sh", "-c", 'cp "$1" "$1.new" && echo x >>"$1.new" && mv "$1.new" "$1"', "sh", victim])
    try:
        assert gpu1.attempt(["systemctl", "restart", unit], timeout=300).returncode != 0
        assert "README.md" in gpu1.run(["journalctl", f"--unit={unit}", "--lines=30", "--output=cat"])
    finally:
        gpu1.run(["mv", "/root/kept", victim])
        gpu1.run(["systemctl", "reset-failed", unit])
        gpu1.run(["systemctl", "start", unit], timeout=300)
    assert operator.ask("operator", "name", model)["model"] == model
