"""The definitions that are shipped: each validates and plans on a machine without a network."""

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.model.serving.memory import GIB
from appliance.model.serving.vllm_options import VLLM_VERSION
from appliance.steps.documents.definition import read_definition
from appliance.steps.inspect.definition import PlannedServing, plan_definition, plan_serving
from tests.support.real_models import signed

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "bundles" / "demo.yaml"
DEFINITIONS = sorted(path for path in (ROOT / "bundles").glob("*.yaml") if not path.name.endswith(".lock.yaml"))
PRODUCTION = [path for path in DEFINITIONS if path != DEMO]
ANY = pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
SIZES = (24, 48, 80, 141)
EACH = pytest.mark.parametrize("path", PRODUCTION, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a plan asks no one")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def sections(path: Path) -> dict[str, dict[str, Any]]:
    return {section.id: section.content.model_dump(mode="json") for section in read_definition(path).sections}


def served(path: Path) -> PlannedServing:
    (only,) = plan_serving(signed(path))
    return only


@ANY
def test_a_definition_validates_and_plans(path: Path) -> None:
    plan = plan_definition(path)
    assert plan.head.name == path.stem
    assert all(artifact.licence and artifact.source for artifact in plan.artifacts)


@EACH
def test_a_production_definition_serves_one_model_that_fits(path: Path) -> None:
    only = served(path)
    assert only.memory is not None
    assert only.memory.fits
    assert only.memory.sequences >= 1 or not only.memory.keeps
    assert only.profile.gpu


@EACH
def test_the_options_are_checked_against_the_vllm_that_is_carried(path: Path) -> None:
    carried = sections(path)
    if image := carried.get("images/vllm-openai"):
        assert image["registry"]["image"] == f"docker.io/vllm/vllm-openai:v{VLLM_VERSION}"
    else:
        assert f"vllm=={VLLM_VERSION}" in carried["images/vllm-cuda"]["containerfile"]["wheels"]["requirements"]


@EACH
def test_production_hosts_tell_of_their_gpus(path: Path) -> None:
    assert "images/dcgm-exporter" in sections(path)


def test_one_line_adds_grafana(tmp_path: Path) -> None:
    """No shipped definition has it: docs/adr/0035-grafana.md."""
    shutil.copytree(ROOT / "bundles/include", tmp_path / "include")
    text = PRODUCTION[0].read_text()
    with_it = text.replace("include:\n", "include:\n  - include/grafana.yaml\n")
    (tmp_path / PRODUCTION[0].name).write_text(with_it)
    carried = sections(tmp_path / PRODUCTION[0].name)
    assert carried.keys() - sections(PRODUCTION[0]).keys() == {"images/grafana"}
    assert "AGPL-3.0" in carried["images/grafana"]["licence"]
    assert not [path.name for path in DEFINITIONS if "images/grafana" in sections(path)]


def test_nothing_is_written_twice() -> None:
    """What several bundles carry stands once, in a file that their definitions include."""
    first: dict[tuple[str, str], str] = {}
    for section in (section for path in DEFINITIONS for section in read_definition(path).sections):
        place = f"{section.file.path}:{section.line}"
        assert first.setdefault((section.id, section.digest), place) == place


@ANY
def test_every_bundle_carries_what_the_site_runs(path: Path) -> None:
    assert {"wheels/control", "os-packages/debian13"} <= sections(path).keys()


def test_the_promised_variants_are_there() -> None:
    variants = {path.stem: served(path).profile for path in PRODUCTION}
    own = variants.pop("llama-3.1-8b-own-image")
    assert own.model_copy(update={"image": "vllm-openai"}) == variants["llama-3.1-8b"]
    assert variants["llama-3.1-8b"].gpus == 1
    assert (variants["llama-3.1-70b-bf16"].gpus, variants["llama-3.1-70b-bf16"].max_model_len) == (2, 131072)
    assert variants["llama-3.1-70b-awq"].gpus == 1
    assert (variants["llama-3.1-70b-fp8"].gpus, variants["llama-3.1-70b-fp8"].gpu) == (1, "H100-80")
    assert variants["llama-3.1-405b-fp8"].gpus == 8
    assert {"qwen3-8b", "qwen3-32b", "qwen2.5-72b"} <= variants.keys()
    of_size = {size: {stem for stem, one in variants.items() if str(one.gpu).endswith(f"-{size}")} for size in SIZES}
    assert {"bge-reranker-v2-m3", "llama-3.1-8b-awq", "llama-3.1-8b-fp8", "qwen3-embedding-8b"} == of_size[24]
    assert {"llama-3.1-8b-l40s", "qwen3-32b-awq"} == of_size[48]
    assert {"llama-3.1-70b-bf16", "llama-3.1-70b-fp8-h200", "llama-3.1-405b-fp8-h200"} == of_size[141]
    for many in ("llama-3.1-70b-awq", "llama-3.1-405b-fp8", "llama-3.1-405b-awq", "llama-3.1-405b-fp8-h200"):
        assert variants[many].max_num_seqs >= 128
    assert {"mistral-7b", "mistral-small-24b", "mixtral-8x22b"} <= variants.keys()


@EACH
def test_a_model_that_chats_calls_tools(path: Path) -> None:
    profile = served(path).profile
    told = {"enable-auto-tool-choice", "tool-call-parser"} & profile.options.keys()
    assert len(told) == (2 if profile.task == "chat" else 0)
    if path.stem.startswith("qwen3-") and profile.task == "chat":
        assert profile.options["reasoning-parser"] == "qwen3"


@EACH
def test_as_many_as_may_run_at_once_have_room_for_a_short_request_each(path: Path) -> None:
    """What max_num_seqs promises: 600 tokens each, where the memory of the tight 70B in FP8 is no exception."""
    only = served(path)
    assert only.memory is not None
    assert only.memory.tokens >= 600 * only.profile.max_num_seqs or not only.memory.keeps


@EACH
def test_the_table_in_the_documentation_is_what_is_planned(path: Path) -> None:
    only = served(path)
    memory, profile = only.memory, only.profile
    assert memory is not None
    figures = (memory.weights / GIB, memory.kv_available / GIB, memory.kv_per_token / 1024)
    weights, left, per_token = (json.dumps(round(figure, 1)).removesuffix(".0") for figure in figures)
    row = (
        f"| {path.stem} | {profile.gpus} x {profile.gpu} | {weights} | {left} | {per_token} | {profile.max_model_len} "
        f"| {f'{memory.tokens} | {memory.sequences:.1f}' if memory.keeps else '- | -'} | "
    )
    page = (ROOT / "docs" / "serving-profiles.md").read_text().splitlines()
    assert sum(line.startswith(row) for line in page) == 1


@pytest.mark.parametrize("path", sorted((ROOT / "bundles/include").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_no_definition_includes_yet_can_be_included(path: Path, tmp_path: Path) -> None:
    (tmp_path / path.name).write_bytes(path.read_bytes())
    head = "schema: appliance.definition/v1\nname: x\nversion: 1.0.0\ndescription: it includes one file\n"
    (tmp_path / "x.yaml").write_text(f"{head}include: [{path.name}]\n")
    assert read_definition(tmp_path / "x.yaml").sections


def test_the_drivers_packages_are_of_one_version_set() -> None:
    """What the file says is what is locked: exactly one version, and every package assigned to where it comes from."""
    nvidia = yaml.safe_load((ROOT / "bundles/include/nvidia-590.yaml").read_text())["os-packages"]["nvidia"]
    cuda = next(repository for repository in nvidia["repositories"] if repository["name"] == "cuda")
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+-\*", cuda["version"])
    offered = {name for repository in nvidia["repositories"] for name in repository["packages"]}
    assert {name for name in nvidia["packages"] if name.startswith("nvidia")} <= offered
    assert {modules["source"] for modules in nvidia["modules"]} <= offered
