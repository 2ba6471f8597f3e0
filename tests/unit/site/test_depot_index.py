"""What the depot generates from ``bundle.json``, and how images reach the registry's storage."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.model.documents.bundle import BundleIndex
from tests.support.site_modules import site_module

INDEX = site_module("depot_index")
REGISTRY = site_module("registry_tree")
CONVERGE = site_module("converge")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def artifact(kind: str, name: str, files: dict[str, bytes], **more: Any) -> dict[str, Any]:
    listed = [{"path": path, "sha256": sha256(data), "size": len(data)} for path, data in files.items()]
    return {"kind": kind, "name": name, "licence": "MIT", "source": {}, "files": listed, **more}


def bundle(*artifacts: dict[str, Any]) -> BundleIndex:
    values = {
        "schema": "appliance.bundle/v1",
        "name": "demo",
        "version": "1.2.3",
        "description": "",
        "serving": {},
        "artifacts": artifacts,
    }
    return BundleIndex.model_validate_json(json.dumps(values))


def wheel(name: str, data: bytes = b"wheel", folder: str = "control") -> dict[str, bytes]:
    return {f"wheels/{folder}/{name}": data}


def test_simple_pages_name_projects_as_pip_asks_for_them() -> None:
    files = INDEX.depot_files(bundle(artifact("wheels", "control", wheel("Zope.Interface_x-1.0+cpu-py3-none-any.whl"))))
    page = files["simple/zope-interface-x/index.html"].decode()
    link = "../../wheels/control/Zope.Interface_x-1.0%2Bcpu-py3-none-any.whl"
    assert f'href="{link}#sha256={sha256(b"wheel")}"' in page
    answer = json.loads(files["simple/zope-interface-x/index.json"])
    assert answer["files"] == [
        {
            "filename": "Zope.Interface_x-1.0+cpu-py3-none-any.whl",
            "url": link,
            "hashes": {"sha256": sha256(b"wheel")},
        }
    ]
    assert json.loads(files["simple/index.json"])["projects"] == [{"name": "zope-interface-x"}]


def test_a_wheel_of_two_sets_is_listed_once_and_two_of_one_name_are_refused() -> None:
    name = "pip-1-py3-none-any.whl"
    same = bundle(artifact("wheels", "control", wheel(name)), artifact("wheels", "cuda", wheel(name, folder="cuda")))
    assert len(json.loads(INDEX.depot_files(same)["simple/pip/index.json"])["files"]) == 1
    other = bundle(
        artifact("wheels", "control", wheel(name)), artifact("wheels", "cuda", wheel(name, b"other", folder="cuda"))
    )
    with pytest.raises(ValueError, match="two wheels are called pip-1-py3-none-any"):
        INDEX.depot_files(other)


def test_models_are_told_as_the_hub_does() -> None:
    model = artifact("weights", "tiny", {"models/tiny/config.json": b"{}", "models/tiny/sub/a.bin": b"x"})
    files = INDEX.depot_files(bundle(model))
    revision = json.loads(files["hf/api/models/tiny/revision/main.json"])["sha"]
    assert files[f"hf/api/models/tiny/revision/{revision}.json"] == files["hf/api/models/tiny/revision/main.json"]
    tree = json.loads(files["hf/api/models/tiny/tree/main.json"])
    assert [entry["path"] for entry in tree] == ["config.json", "sub/a.bin"]
    assert tree[0]["lfs"]["oid"] == sha256(b"{}")
    assert f'"/demo/hf/tiny/resolve/{revision}/sub/a.bin" {sha256(b"x")};\n' in files["etags.map"].decode()


def test_the_revision_is_the_hubs_or_follows_from_the_contents() -> None:
    def revision(data: bytes, **source: str) -> str:
        model = artifact("weights", "tiny", {"models/tiny/config.json": data}) | {"source": source}
        found: str = INDEX.commit(bundle(model).artifacts[0])
        return found

    assert revision(b"a", commit="c" * 40) == "c" * 40
    assert revision(b"a") == revision(b"a", commit="main") != revision(b"b")


def image(top: Path) -> tuple[dict[str, Any], str]:
    config, layer = b"{}", b"layer"
    manifest = json.dumps({"config": sha256(config), "layers": [sha256(layer)]}).encode()
    blobs = {f"images/blobs/sha256/{sha256(data)}": data for data in (config, layer, manifest)}
    for path, data in blobs.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(data)
    digest = f"sha256:{sha256(manifest)}"
    return artifact("images", "vllm", blobs, details={"manifest_digest": digest}), digest


def test_images_become_further_names_of_the_bundles_own_blobs(tmp_path: Path) -> None:
    described, digest = image(tmp_path / "bundle")
    tree = REGISTRY.RegistryTree()
    tree.add(bundle(described), tmp_path / "bundle")
    CONVERGE.Converge().tree(tmp_path / "registry", tree.files, tree.blobs)
    top = tmp_path / "registry/docker/registry/v2"
    number = digest.removeprefix("sha256:")
    blob = top / "blobs/sha256" / number[:2] / number / "data"
    assert blob.samefile(tmp_path / "bundle/images/blobs/sha256" / number)
    assert (top / f"repositories/vllm/_manifests/revisions/sha256/{number}/link").read_text() == digest
    assert (top / "repositories/vllm/_manifests/tags/demo-1.2.3/current/link").read_text() == digest
    again = CONVERGE.Converge()
    again.tree(tmp_path / "registry", tree.files, tree.blobs)
    assert again.changed == []
    CONVERGE.Converge().tree(tmp_path / "registry", {})
    assert list((tmp_path / "registry").iterdir()) == []


def test_an_image_without_its_manifest_is_refused(tmp_path: Path) -> None:
    described, _ = image(tmp_path)
    described["details"] = {"manifest_digest": "sha256:" + "0" * 64}
    with pytest.raises(ValueError, match="image vllm does not hold its manifest"):
        REGISTRY.RegistryTree().add(bundle(described), tmp_path)


def test_a_tree_holds_what_is_wanted_and_nothing_else(tmp_path: Path) -> None:
    top = tmp_path / "www"
    CONVERGE.Converge().tree(top, {"a/b/c": b"1", "d": b"2"})
    (top / "a/old").write_bytes(b"")
    (top / "empty").mkdir()
    (top / "d").chmod(0o600)
    converge = CONVERGE.Converge()
    converge.tree(top, {"d": b"2"})
    assert [path.name for path in top.iterdir()] == ["d"]
    assert (top / "d").stat().st_mode & 0o777 == 0o644
    again = CONVERGE.Converge(check=True)
    again.tree(top, {"d": b"2"})
    assert again.changed == []
