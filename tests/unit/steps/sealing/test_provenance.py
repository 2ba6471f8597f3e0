"""The provenance of a bundle: what the bundle holds and what that was made of, and nothing of its builder's host.

The forms are those of in-toto's Statement v1 and ResourceDescriptor (https://github.com/in-toto/attestation,
spec/v1/statement.md and resource_descriptor.md) and of SLSA's predicate (https://slsa.dev/spec/v1.0/provenance).
"""

import hashlib
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from appliance import __version__
from appliance.artifacts.base import Context
from appliance.model.documents.definition import DEFINITION_SCHEMA, DefinitionHead
from appliance.model.documents.lock import LOCK_SCHEMA, IncludedFile, Lock, LockedArtifact, LockedFile
from appliance.model.progress import Silent
from appliance.steps.sealing.provenance import provenance
from appliance.steps.sealing.seal import BundlePlan, plan, seal
from appliance.store.cache import Cache
from appliance.trust.sums import parse_sums
from tests.support.documents import commands

PROVENANCE = "evidence/provenance.json"
URI = {"type": "string", "format": "uri", "pattern": "^[a-z][a-z0-9+.-]*:"}
RESOURCE = {
    "type": "object",
    "additionalProperties": False,
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}, {"required": ["content"]}],
    "properties": {
        "name": {"type": "string"},
        "uri": URI,
        "digest": {"type": "object", "minProperties": 1, "additionalProperties": {"pattern": "^[0-9a-f]{64}$"}},
        "content": {"type": "string"},
        "downloadLocation": URI,
        "mediaType": {"type": "string"},
        "annotations": {"type": "object"},
    },
}
STATEMENT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["_type", "subject", "predicateType", "predicate"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": {**RESOURCE, "required": ["digest"]}},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "additionalProperties": False,
            "required": ["buildDefinition", "runDetails"],
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["buildType", "externalParameters"],
                    "properties": {
                        "buildType": URI,
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": RESOURCE},
                    },
                },
                "runDetails": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["builder"],
                    "properties": {
                        "builder": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["id"],
                            "properties": {
                                "id": URI,
                                "version": {"type": "object", "additionalProperties": {"type": "string"}},
                                "builderDependencies": {"type": "array", "items": RESOURCE},
                            },
                        },
                        "metadata": {"type": "object"},
                        "byproducts": {"type": "array", "items": RESOURCE},
                    },
                },
            },
        },
    },
}


def locked(path: str, data: bytes, url: str | None = None) -> LockedFile:
    return LockedFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data), url=url)


def artifact(**fields: Any) -> LockedArtifact:
    common = {"kind": "docs", "name": "some", "definition": "1" * 64, "licence": "MIT", "source": {"type": "directory"}}
    return LockedArtifact.model_validate({**common, **fields})


SERVED = {
    **{"weights": "a", "image": "b", "task": "chat", "gpus": 0, "max_model_len": 256, "gpu_memory_utilization": 0.2},
    **{"enable_prefix_caching": False, "enable_chunked_prefill": False, "max_num_seqs": 1, "max_num_queued_reqs": 8},
}
PAGES = {"index.html": b"<p>Begin here", "next.html": b"<p>Go on"}
DOCS = artifact(
    source={"type": "directory", "directory": "manual"},
    files=tuple(locked(path, data) for path, data in PAGES.items()),
)


def lock(*artifacts: LockedArtifact, **head: Any) -> Lock:
    fields = {"schema": DEFINITION_SCHEMA, "name": "small", "version": "1.2.0", "description": "pages", **head}
    return Lock(
        schema_=LOCK_SCHEMA,
        locked="2026-11-22T08:00:00Z",
        bundle=DefinitionHead.model_validate(fields),
        included=(IncludedFile(path="include/pages.yaml", sha256="2" * 64),),
        artifacts=artifacts,
    )


def planned(folder: Path, of: Lock) -> tuple[BundlePlan, Cache]:
    """A bundle as a build lays it out, in a cache of its own."""
    cache = Cache(folder / "cache")
    for data in PAGES.values():
        cache.put(data)
    return plan(of, cache, Context(folder, cache, Silent())), cache


def written(folder: Path, of: Lock) -> tuple[dict[str, Any], dict[str, str]]:
    """The provenance of a bundle, and the bundle's SHA256SUMS."""
    bundle, cache = planned(folder, of)
    return json.loads(cache.path(bundle.files[PROVENANCE]).read_bytes()), parse_sums(bundle.sums)


def compared(folder: Path, change: str = ".") -> list[str]:
    """What docs/provenance.md's comparison says of a sealed bundle whose provenance jq has changed."""
    bundle, cache = planned(folder, lock(DOCS, profile="cnsa-2.0"))
    seal(folder / "bundle", bundle, [], cache, datetime.now(UTC))
    changing = f"jq '{change}' {PROVENANCE} >changed; rm {PROVENANCE}; mv changed {PROVENANCE}"
    for script in (changing, "\n".join(commands("provenance.md", "Compare it with the signed list")[:1])):
        shell = ["env", f"TMPDIR={folder}", "sh", "-c", script]
        done = subprocess.run(shell, cwd=folder / "bundle", capture_output=True, text=True, check=False)
    return [sentence for sentence in (NAMED, ALL, DIGEST) if sentence in done.stdout]


def told(resources: list[dict[str, Any]]) -> dict[str, str]:
    names = {resource["name"]: resource["digest"]["sha256"] for resource in resources}
    assert len(names) == len(resources), "a name appears twice"
    return names


def dependencies(of: Lock) -> list[dict[str, Any]]:
    data = provenance(of, {"evidence/lock.yaml": locked("lock.yaml", b"lock")})
    return list(json.loads(data)["predicate"]["buildDefinition"]["resolvedDependencies"])


def test_it_has_the_form_that_in_toto_and_slsa_demand(tmp_path: Path) -> None:
    statement, _ = written(tmp_path, lock(DOCS))
    Draft202012Validator(STATEMENT).validate(statement)
    predicate = statement["predicate"]
    assert predicate["buildDefinition"]["buildType"] == "urn:appliance:build:v1"
    assert predicate["runDetails"]["builder"]["id"] == f"urn:appliance:builder:{__version__}"
    external, internal = (predicate["buildDefinition"][f"{side}Parameters"] for side in ("external", "internal"))
    assert not external.keys() & internal.keys(), "SLSA: no name in both"


def test_it_names_every_file_of_the_bundle_but_those_that_name_it(tmp_path: Path) -> None:
    statement, sums = written(tmp_path, lock(DOCS, profile="cnsa-2.0"))
    names = told(statement["subject"]) | told(statement["predicate"]["runDetails"]["byproducts"])
    assert names.items() <= sums.items()
    left = {path.split(".")[0] for path in sums.keys() - names.keys()}
    assert left == {"bundle", "evidence/provenance", "evidence/SHA384SUMS"}
    assert list(told(statement["predicate"]["runDetails"]["byproducts"])) == ["evidence/lock.yaml"]


def test_two_builders_of_one_lock_write_the_same(tmp_path: Path) -> None:
    first, second = (planned(tmp_path / name, lock(DOCS))[0] for name in ("one", "another"))
    assert first.files[PROVENANCE] == second.files[PROVENANCE]
    assert first.sums == second.sums


def test_what_was_asked_for_is_in_it_and_jq_finds_its_digest() -> None:
    # A text beyond ASCII, a fraction, one with an exponent, and one that is a whole number.
    objectives = {"ttft_p50_seconds": 2.0, "inter_token_p95_seconds": 0.92, "error_ratio": 0.000025}
    serving = {"a": {**SERVED, "objectives": objectives}}
    asked = lock(DOCS, description="Ein Modell für alle \U0001f600", previous="1.1.0", serving=serving)
    data = provenance(asked, {"evidence/lock.yaml": locked("lock.yaml", b"lock")})
    external = json.loads(data)["predicate"]["buildDefinition"]["externalParameters"]
    assert (external["bundle"]["name"], external["bundle"]["version"]) == ("small", "1.2.0")
    assert external["bundle"]["serving"]["a"]["objectives"] == objectives
    assert external["sections"] == {"docs/some": "1" * 64}
    query = ".predicate.buildDefinition.externalParameters | del(.digest)"
    found = subprocess.run(["jq", "-acjS", query], input=data, capture_output=True, check=True).stdout
    assert hashlib.sha256(found).hexdigest() == external["digest"]["sha256"]


@pytest.mark.parametrize(
    "other",
    [
        lock(DOCS, version="1.2.1"),
        lock(DOCS.model_copy(update={"definition": "3" * 64})),
        lock(DOCS, artifact(name="more")),
    ],
)
def test_another_definition_has_another_digest(other: Lock) -> None:
    files = {"evidence/lock.yaml": locked("lock.yaml", b"lock")}
    one, another = (
        json.loads(provenance(of, files))["predicate"]["buildDefinition"]["externalParameters"]["digest"]
        for of in (lock(DOCS), other)
    )
    assert one != another


def test_what_came_from_outside_is_a_dependency_with_its_address() -> None:
    url = "https://example.org/a.whl"
    fetched = artifact(kind="wheels", files=(locked("a.whl", b"a", url), locked("ours.whl", b"ours")))
    found = dependencies(lock(fetched))
    assert found == [
        {"name": "definition/include/pages.yaml", "digest": {"sha256": "2" * 64}},
        {"name": "wheels/some/a.whl", "digest": {"sha256": hashlib.sha256(b"a").hexdigest()}, "uri": url},
        {"name": "wheels/some/ours.whl", "digest": {"sha256": hashlib.sha256(b"ours").hexdigest()}},
    ]


def test_what_was_made_of_inputs_is_none() -> None:
    url = "https://example.org/base.deb"
    made = artifact(
        kind="images",
        inputs=(locked("debs/base.deb", b"base", url), locked("context/Containerfile", b"FROM scratch")),
        files=(locked("blobs/sha256/x", b"made"), locked("extra.deb", b"fetched", url)),
    )
    _, *names = [one["name"] for one in dependencies(lock(made))]
    assert names == ["images/some/context/Containerfile", "images/some/debs/base.deb", "images/some/extra.deb"]


def test_what_upstream_said_of_itself_is_kept() -> None:
    said = {"archive-release-trixie": "2026-09-12T07:55:41Z sha256:05 signed by 4158"}
    data = provenance(lock(artifact(source=said)), {"evidence/lock.yaml": locked("lock.yaml", b"lock")})
    internal = json.loads(data)["predicate"]["buildDefinition"]["internalParameters"]
    assert internal == {"sources": {"docs/some": said}}


NAMED = "every file that it names is a signed file"
ALL = "every signed file is in it, but those that name it"
DIGEST = "what was asked for has the digest"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (".", [NAMED, ALL, DIGEST]),
        ("del(.subject[0])", [NAMED, DIGEST]),
        (f'.subject[0].digest.sha256 = "{"0" * 64}"', [DIGEST]),
        ('.predicate.buildDefinition.externalParameters.bundle.version = "1.2.1"', [NAMED, ALL]),
    ],
)
def test_an_auditor_compares_it_with_the_signed_list(tmp_path: Path, change: str, said: list[str]) -> None:
    assert compared(tmp_path, change) == said
