"""``appliance inspect`` of a definition and of a lock, as people and programs see it."""

import csv
import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run
from appliance.model.documents.lock import LOCK_SCHEMA, Lock, LockedArtifact, LockedFile
from appliance.model.parts import Licences, Part, PartType
from appliance.steps.documents.definition import read_definition
from appliance.steps.documents.lock import lock_path, write_lock
from tests.support.bundles import FILES, FIRST, Recipe, keyid
from tests.support.known import HOLE, NEWS, PARTS, WAIVER, bundle, known, sbom_of
from tests.support.real_models import signed

BUNDLES = Path(__file__).parents[3] / "bundles"
LLAMA = BUNDLES / "llama-3.1-70b-fp8.yaml"
WEIGHTS = "include/llama-3.1-70b-instruct-fp8.yaml"
VLLM = BUNDLES / "include/vllm-openai.yaml"
VLLM_SHA256 = hashlib.sha256(VLLM.read_bytes()).hexdigest()


def inspect(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["inspect", *arguments]) == code
    return capsys.readouterr().out


def inspect_json(capsys: pytest.CaptureFixture[str], path: Path) -> Any:
    return json.loads(inspect(capsys, str(path), "--json"))


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A lock beside a copy of a definition, with one entry of seven files."""
    path = tmp_path / LLAMA.name
    path.write_bytes(LLAMA.read_bytes())
    shutil.copytree(BUNDLES / "include", tmp_path / "include")
    definition = read_definition(path)
    entry = LockedArtifact(
        kind="weights",
        name=definition.sections[0].name,
        definition=definition.sections[0].digest,
        licence="llama3.1",
        source={"commit": "c" * 40},
        files=tuple(LockedFile(path=f"{n}.json", sha256=str(n) * 64, size=1000 * n) for n in range(1, 8)),
    )
    profiles = signed(path)
    memory = {name: profile.memory for name, profile in profiles.items() if profile.memory}
    write_lock(lock_path(path), Lock(schema_=LOCK_SCHEMA, bundle=definition.head, memory=memory, artifacts=(entry,)))
    return path


def test_a_definition_shows_sources_and_licences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BUNDLES)
    shown = inspect(capsys, LLAMA.name)
    for part in (
        "lock: absent",
        "huggingface.repo=RedHatAI/Meta-Llama-3.1-70B-Instruct-FP8-dynamic",
        "licence: llama3.1",
        f"  | {WEIGHTS}:5\n",
        "  | include/site.yaml:5\n",
        f"includes {VLLM_SHA256}\n  | include/vllm-openai.yaml\n",
        "the memory plan comes from the model's files: lock them, or run appliance plan",
        "alerts beyond error_ratio 0.01, kv_cache_ratio 0.9, queue_depth 32",
        "vllm serve MODEL --served-model-name llama-3.1-70b-instruct-fp8",
    ):
        assert part in shown


def test_a_definition_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    told = inspect_json(capsys, LLAMA)
    assert (told["ok"], told["lock_state"], told["definition"]["name"]) == (True, "absent", "llama-3.1-70b-fp8")
    assert {artifact["artifact"]: artifact["files"] for artifact in told["artifacts"]}["images/vllm-openai"] is None
    assert {"path": "include/vllm-openai.yaml", "sha256": VLLM_SHA256} in told["included"]
    sections = {artifact["artifact"]: artifact["section"] for artifact in told["artifacts"]}
    assert sections["images/vllm-openai"] == {"file": str(VLLM), "line": 5}
    (served,) = told["serving"]
    assert served["arguments"][-3:] == ["--enable-auto-tool-choice", "--tool-call-parser", "llama3_json"]
    assert served["thresholds"] == {"error_ratio": 0.01, "kv_cache_ratio": 0.9, "queue_depth": 32}
    assert served["memory"] is None


def test_a_lock_knows_what_fits(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = inspect(capsys, str(locked))
    assert "weights 67.7 GiB" in shown
    assert "160 KiB of KV a token: 25991 tokens fit, 1.6 sequences of 16384" in shown
    (served,) = inspect_json(capsys, lock_path(locked))["serving"]
    memory = served["memory"]
    assert memory["budget"] == memory["weights"] + memory["overhead"] + memory["kv_available"]
    assert (memory["kv_per_token"], memory["tokens"], memory["sequences"]) == (163840, 25991, 1.59)


def test_entries_of_the_lock_beside_a_definition_are_told(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = inspect_json(capsys, locked)
    assert told["lock_state"] == "stale"
    states = [artifact["lock_state"] for artifact in told["artifacts"]]
    assert states == ["current", *["absent"] * 5]
    assert len(told["artifacts"][0]["files"]) == 7
    assert "7 files, 28.0 kB" in inspect(capsys, str(locked))


def test_a_lock_shows_its_largest_files_with_digests(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = inspect(capsys, str(lock_path(locked)))
    assert "7 files, 28.0 kB" in shown
    assert f"{'7' * 64}      7.0 kB  7.json" in shown
    assert "2.json" not in shown
    assert "and 2 more" in shown
    told = inspect_json(capsys, lock_path(locked))
    assert [file["sha256"] for file in told["artifacts"][0]["files"]] == [str(n) * 64 for n in range(1, 8)]


def test_what_is_not_there_is_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(inspect(capsys, str(tmp_path / "no.yaml"), "--json", code=2))
    assert told["error"]["reference"] == "definition-unreadable"


def test_text_of_a_lock_does_not_steer_the_terminal(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lock_path(locked)
    path.write_text(path.read_text().replace("licence: llama3.1", 'licence: "a\\e[2Jb [red]c"'))
    shown = inspect(capsys, str(path))
    assert "\x1b" not in shown
    assert "[red]c" in shown


def test_a_bundle_shows_its_signers_and_how_its_models_are_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = signed(LLAMA)["llama-3.1-70b-instruct-fp8"].model_dump(mode="json")
    recipe = Recipe(index=lambda index: index.update({"serving": {"llama": profile}}), signers=(FIRST,))
    bundle = recipe.write(tmp_path).path
    shown = inspect(capsys, str(bundle))
    for part in ("tiny 1.0.0", keyid(FIRST), "missing", "25991 tokens fit", "--served-model-name llama"):
        assert part in shown
    told = inspect_json(capsys, bundle)
    assert (told["verified"], told["statement"]["name"]) == (False, "tiny")
    assert [signer["keyid"] for signer in told["signers"]] == [keyid(FIRST)]
    assert told["serving"][0]["memory"]["tokens"] == 25991


def test_a_bundle_shows_its_contents_by_licence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    licences = [{"license": {"id": "MIT"}}, {"license": {"name": "a\x1b[2Jb [red]c"}}]
    parts: list[dict[str, object]] = [{"type": "library", "licenses": licences} for _ in range(2)]
    parts += [{"type": "library", "licenses": [{"license": {"id": f"X-{number:02}"}}]} for number in range(20)]
    document = {"bomFormat": "CycloneDX", "components": [*parts, {"type": "library"}, {"type": "file"}]}
    files = {**FILES, "evidence/sbom/bundle.cdx.json": json.dumps(document).encode()}
    bundle = Recipe(files=files).write(tmp_path).path
    shown = inspect(capsys, str(bundle))
    assert "       2  MIT\n" in shown
    assert "       1  none that could be read\n" in shown
    assert "          and 11 more: evidence/NOTICE.txt\n" in shown
    assert "\x1b" not in shown
    assert "[red]c" in shown
    assert inspect_json(capsys, bundle)["licences"]["MIT"] == 2


def test_a_bundle_without_sboms_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = Recipe().write(tmp_path).path
    assert "how many parts" not in inspect(capsys, str(bundle))
    assert inspect_json(capsys, bundle)["licences"] == {}


def test_an_sbom_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = Recipe(files={**FILES, "evidence/sbom/bundle.cdx.json": b"{"}).write(tmp_path).path
    assert json.loads(inspect(capsys, str(bundle), "--json", code=2))["error"]["reference"] == "bundle-unreadable"


def rows(capsys: pytest.CaptureFixture[str], path: Path, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(inspect(capsys, str(path), "--csv", table), newline="")))


def written(tmp_path: Path, *waivers: dict[str, str]) -> Path:
    """A bundle of three parts with a hole each; nginx's is known to be exploited."""
    return bundle(report=known(PARTS, NEWS, *waivers)).write(tmp_path).path


def test_a_bundle_shows_what_is_known_against_each_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, WAIVER)
    shown = inspect(capsys, str(path))
    assert "known vulnerabilities by advisories of 2026-11-01T00:00:00Z: 1 critical, 1 high, 1 medium\n" in shown
    first = f"{HOLE} in nginx 1.26.3-3, fixed in 1.26.3-3+deb13u1, exploited"
    assert f"  high      {first}" in shown
    assert shown.index(HOLE) < shown.index("CVE-2020-14343 in pyyaml 5.3.1, fixed in 5.4")
    assert ", waived until 2099-12-31  wheels/control\n" in shown
    assert "  CVE-2020-14343 for wheels/*, until 2099-12-31, lets 1 pass\n    | Never used. Ada.\n" in shown
    assert "  built by urn:appliance:builder:" in shown
    told = inspect_json(capsys, path)
    assert told["contents"]["severities"] == {"critical": 1, "high": 1, "medium": 1}
    artifacts = {one["artifact"]: one for one in told["contents"]["artifacts"]}
    assert artifacts["os-packages/debian13"]["parts"] == {"OS package": 1}
    assert artifacts["os-packages/debian13"]["vulnerabilities"] == {"high": 1}
    assert artifacts["weights/tiny"]["parts"] == {}
    assert told["contents"]["provenance"]["inputs"] == 0
    assert [one["id"] for one in told["vulnerabilities"]["known"]][:2] == [HOLE, "CVE-2020-14343"]


def test_a_set_is_no_part_wherever_parts_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It declares nothing itself, and would count as a part without a licence that could be read."""
    some = Part(ref="wheels/control", type=PartType.SET, name="control", version="1", parts=(PARTS[2],))
    path = bundle(sbom=sbom_of(some)).write(tmp_path).path
    told = inspect_json(capsys, path)
    assert told["licences"] == dict.fromkeys(PARTS[2].licences.declared, 1)
    (counted,) = (one for one in told["contents"]["artifacts"] if one["artifact"] == "wheels/control")
    assert counted["parts"] == {"Python distribution": 1}
    assert len(rows(capsys, path, "parts")) == 1


def test_a_waiver_that_has_ended_lets_nothing_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {**WAIVER, "until": "2026-01-01"})
    shown = inspect(capsys, str(path))
    assert "ended 2026-01-01" in shown
    assert "waived until" not in shown
    assert inspect_json(capsys, path)["contents"]["waivers"][0]["ended"] is True


def test_both_tables_come_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, WAIVER)
    parts = rows(capsys, path, "parts")
    assert [one["name"] for one in parts] == ["nginx", "Jinja2", "PyYAML"]
    assert parts[0] == {
        "bundle": "tiny 1.0.0",
        "artifact": "os-packages/debian13",
        "type": "OS package",
        "name": "nginx",
        "version": "1.26.3-3",
        "licences": "BSD-2-Clause; MIT",
        "purl": PARTS[0].purl,
        "part": PARTS[0].ref,
    }
    holes = rows(capsys, path, "vulnerabilities")
    assert [(one["id"], one["kev"], one["fixed"], one["waived_until"]) for one in holes] == [
        (HOLE, "yes", "1.26.3-3+deb13u1", ""),
        ("CVE-2020-14343", "no", "5.4", "2099-12-31"),
        ("CVE-2024-34064", "no", "3.1.4", ""),
    ]
    assert (holes[2]["package"], holes[2]["artifact"], holes[2]["aliases"]) == (
        "jinja2",
        "images/tiny",
        "GHSA-h75v-3vvj-5mfj",
    )


def test_a_table_is_no_formula_whatever_a_bundle_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = replace(PARTS[2], name='=HYPERLINK("http://x")', version="-1\n", licences=Licences(declared=("@a", "=b")))
    path = bundle(sbom=sbom_of(hostile)).write(tmp_path).path
    (one,) = rows(capsys, path, "parts")
    assert (one["name"], one["version"]) == ('\'=HYPERLINK("http://x")', "'-1\\n")
    assert one["licences"] == "'=b; '@a"


def test_a_table_of_what_nobody_has_looked_up_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Recipe().write(tmp_path).path
    for table in ("parts", "vulnerabilities"):
        assert inspect(capsys, str(path), "--csv", table, code=2) == ""
    assert "not said, because the bundle carries no advisories" in inspect(capsys, str(path))
    assert inspect_json(capsys, path)["vulnerabilities"] is None
    inspect(capsys, str(LLAMA), "--csv", "parts", code=2)
    inspect(capsys, str(path), "--csv", "parts", "--json", code=2)


@pytest.mark.parametrize("name", ["vulnerabilities.json", "provenance.json"])
def test_evidence_that_is_none_is_told(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Recipe(files={**FILES, f"evidence/{name}": b"{}"}).write(tmp_path).path
    error = json.loads(inspect(capsys, str(path), "--json", code=2))["error"]
    assert (error["reference"], error["where"]) == ("bundle-unreadable", str(path / "evidence" / name))
