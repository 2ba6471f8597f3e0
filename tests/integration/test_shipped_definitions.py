"""Every production definition is locked and planned, at a hub and a registry that have all but the bytes.

The hub has the configurations of the real models and headers that follow from them, the registry small images
under the names of the real ones.  What the site itself carries is in every bundle alike, and tried by ``make bundle``.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.cli.main import run
from appliance.steps.documents.lock import lock_path, profiles_of, read_lock
from tests.support import tiny_images as tiny
from tests.support.hub_weights import chosen_hub
from tests.support.real_models import NAMES, real_model, signed
from tests.support.registry import NEEDS, installed, running
from tests.support.weights import model_files

pytestmark = [pytest.mark.integration, pytest.mark.skipif(not installed, reason=NEEDS)]

ROOT = Path(__file__).parents[2]
PRODUCTION = [path for path in sorted((ROOT / "bundles").glob("*.yaml")) if path.stem not in ("demo", "demo.lock")]
EACH = pytest.mark.parametrize("name", [path.stem for path in PRODUCTION])
IMAGES = ("include/vllm-openai.yaml", "include/dcgm-exporter.yaml")
# Built for minutes, with gigabytes: tests/integration/test_cuda_image.py.  A small one of its name stands in for it.
BUILT = "include/vllm-cuda.yaml"
STANDS_IN = """\
schema: appliance.include/v1
images:
  vllm-cuda:
    registry: {{image: "{image}"}}
    licence: Apache-2.0
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copies of all definitions, whose sources are the hub and the registry of this test."""
    folder = tmp_path_factory.mktemp("bundles")
    shutil.copytree(ROOT / "bundles/include", folder / "include")
    with pytest.MonkeyPatch.context() as environment, running(folder / "registry") as registry:
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"):
            environment.delenv(name, raising=False)
        environment.setenv("HOME", str(folder))
        environment.setenv("XDG_RUNTIME_DIR", str(folder))
        environment.setenv("APPLIANCE_CACHE", str(folder / "cache"))
        environment.setenv("SSL_CERT_FILE", str(registry.identity.authority))
        for place in IMAGES:
            included = (ROOT / "bundles" / place).read_text()
            image = re.search(r"image: [a-z.]+/(\S+):(\S+)", included)
            assert image
            pushed = tiny.push(registry, image[1], image[2], tiny.image(tiny.layer(place)))
            (folder / place).write_text(included.replace(image[0].removeprefix("image: "), pushed))
        pushed = tiny.push(registry, "own/vllm-cuda", "1", tiny.image(tiny.layer(BUILT)))
        (folder / BUILT).write_text(STANDS_IN.format(image=pushed))
        for path in PRODUCTION:
            lines = path.read_text().splitlines(keepends=True)
            (folder / path.name).write_text("".join(line for line in lines if "include/site.yaml" not in line))
        with chosen_hub(environment, folder) as hub:
            for name in NAMES:
                model = real_model(name)
                hub.add(model.repo, model.files)
            yield folder


def planned(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert run(["plan", str(path), "--json", *arguments]) == code
    return json.loads(capsys.readouterr().out)


@EACH
def test_it_is_planned_locked_and_planned_the_same(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / f"{name}.yaml"
    before = planned(path, capsys)
    assert run(["lock", str(path), "--quiet"]) == 0
    capsys.readouterr()
    after = planned(path, capsys)
    (early,), (late,) = before["models"], after["models"]
    assert early["image_size"] is None
    assert late["image_size"] > 0
    assert early | {"image_size": 0} == late | {"image_size": 0}
    locked = read_lock(lock_path(path))
    assert profiles_of(locked) == signed(ROOT / "bundles" / path.name)
    (answer,) = late["answers"]
    assert answer["fits"]
    assert locked.bundle.serving[late["name"]].gpu == answer["gpu"]


@EACH
def test_no_figure_of_a_definition_is_written_by_hand(name: str) -> None:
    (profile,) = yaml.safe_load((ROOT / "bundles" / f"{name}.yaml").read_text())["serving"].values()
    assert profile.get("memory", {}).keys() <= {"overhead_gib"}


def _kept(answer: Any) -> tuple[object, object]:
    """Tokens and sequences that have room; an encoder keeps none."""
    return ("-", "-") if answer["tokens"] is None else (answer["tokens"], f"{answer['sequences']:.1f}")


def table(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    rows = []
    for path in PRODUCTION:
        (model,) = planned(folder / path.name, capsys)["models"]
        (answer,) = model["answers"]
        one = [json.dumps(round(answer[key] / 1024**3, 1)).removesuffix(".0") for key in ("weights", "kv_available")]
        kib = json.dumps(round(answer["kv_per_token"] / 1024, 1)).removesuffix(".0")
        cells = [
            path.stem,
            f"{answer['gpus']} x {answer['gpu']}",
            *(*one, kib, model["max_model_len"], *_kept(answer)),
            "-" if answer["most_tokens_per_second_one"] is None else f"{answer['most_tokens_per_second_one']:.0f}",
        ]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return rows


def test_people_see_of_an_encoder_what_stays_free(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "bge-reranker-v2-m3.yaml"
    assert run(["lock", str(path), "--quiet"]) == 0
    capsys.readouterr()
    assert run(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "weights 2.1 GiB, overhead 4.0 GiB, left 14.0 GiB" in shown
    assert "an encoder: it reads each text whole, and keeps no keys and values" in shown
    assert run(["plan", str(path)]) == 0
    assert re.search(r"\nL4-24 +1 +yes +14\.0 +8192 +- +- +- ", capsys.readouterr().out)


def test_the_table_of_the_manual_is_what_is_planned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/serving-profiles.md").read_text()
    begin = page.index("| --- |", page.index("## The shipped profiles"))
    assert page[begin : page.index("\n\n", begin)].splitlines()[1:] == table(folder, capsys)


def test_the_example_of_the_manual_is_what_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/serving-profiles.md").read_text()
    shown = re.search(r"```console\n\$ (appliance plan .*?)\n(.*?)```", page, re.DOTALL)
    assert shown
    monkeypatch.chdir(folder.parent)
    (folder.parent / "bundles").symlink_to(folder)
    (folder / "llama-3.1-8b.lock.yaml").unlink(missing_ok=True)
    assert run([*shlex.split(shown[1])[1:], "--quiet"]) == 0
    assert capsys.readouterr().out == shown[2]


def test_other_gpus_are_answered_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "llama-3.1-8b.yaml"
    wanted = [word for name in ("H100-80", "L40S-48", "RTX-4090-24") for word in ("--gpu", name)]
    (model,) = planned(path, capsys, *wanted)["models"]
    assert [(each["gpu"], each["gpus"], each["fits"]) for each in model["answers"]] == [
        ("H100-80", 1, True),
        ("L40S-48", 1, True),
        ("RTX-4090-24", 2, True),
    ]
    large = planned(folder / "llama-3.1-405b-fp8.yaml", capsys, "--gpu", "RTX-4090-24", code=1)
    (answer,) = large["models"][0]["answers"]
    assert (large["ok"], answer["gpus"], answer["fits"], answer["longest"]) == (False, 8, False, 0)


def test_people_get_a_table_of_eighty_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "llama-3.1-8b.yaml")
    assert run(["plan", path, "--gpu", "RTX-6000-Ada-48", "--gpu", "H200-141", "--read-rate", "2"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "llama-3.1-8b-instruct: LlamaForCausalLM, bfloat16, context 131072" in shown
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("H200-141")]
    assert row == ["H200-141", "1", "yes", "109.6", "131072", "6.8", "320", "40933", "27", "8"]
    assert "Both are upper bounds" in shown


def test_a_gpu_that_is_not_known_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = planned(folder / "llama-3.1-8b.yaml", capsys, "--gpu", "H100", code=2)
    assert told["error"]["reference"] == "plan-gpu"
    assert "H100-80" in told["error"]["hint"]


TINY = """\
schema: appliance.definition/v1
name: tiny
version: 1.0.0
description: A model on a GPU
include: [include/vllm-openai.yaml]
weights:
  tiny:
    huggingface: {repo: tiny/model}
    licence: MIT
serving:
  tiny:
    weights: tiny
    image: vllm-openai
    task: chat
    gpu: L40S-48
    gpus: 1
    max_model_len: 4096
    gpu_memory_utilization: 0.92
    enable_prefix_caching: true
    enable_chunked_prefill: true
    max_num_seqs: 16
    max_num_batched_tokens: 4096
    max_num_queued_reqs: 64
"""


def test_the_plan_of_the_lock_is_what_is_signed(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a hub to a bundle that a verifier in shell accepts; facts that the files do not say end the build."""
    config = {**real_model("llama-3.1-8b").config, "num_hidden_layers": 2}
    with chosen_hub(monkeypatch, folder) as hub:
        hub.add("tiny/model", {**model_files(1), "config.json": json.dumps(config).encode()})
        path = folder / "tiny.yaml"
        path.write_text(TINY)
        key, dist = folder / "key.pem", folder / "dist"
        assert run(["keys", "new", str(key), "--no-passphrase"]) == 0
        assert run(["root", "new", str(folder / "key.root.json"), "--key", str(key)]) == 0
        assert run(["lock", str(path), "--quiet"]) == 0
        build = ["build", str(path), "--out", str(dist), "--key", str(key), "--quiet"]
        assert run(build) == 0
        bundle = dist / "tiny-1.0.0"
        memory = json.loads((bundle / "bundle.json").read_bytes())["serving"]["tiny"]["memory"]
        assert memory == {
            "gpu_gib": 44.3,
            "overhead_gib": 4,
            "weights_bytes": 64,
            "attention": [{"layers": 2, "kv_heads": 8, "head_dim": 128, "value_head_dim": None, "window": None}],
        }
        checked = [str(bundle / "verify.sh"), str(bundle), "--root", str(folder / "key.root.json")]
        assert subprocess.run(["sh", *checked], capture_output=True, check=False).returncode == 0
        assert run(["verify", str(bundle), "--root", str(folder / "key.root.json")]) == 0
        lock = lock_path(path)
        lock.write_text(lock.read_text().replace("context: 131072", "context: 131073"))
        capsys.readouterr()
        assert run([*build, "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["error"]["reference"] == "weights-facts"
