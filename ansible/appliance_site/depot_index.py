"""What the depot serves beside the bundle's own files: indexes for pip and huggingface_hub.

Everything follows from ``bundle.json`` and is static: nginx hands it out, nothing
answers requests.  Paths are those of URLs below ``https://<depot>/<bundle>/``.

* ``simple/``: PEP 503 as ``index.html`` and PEP 691 as ``index.json``; files lie in the
  bundle's ``wheels/``.
* ``hf/api/models/``: the answers that huggingface_hub asks for before it downloads.
* ``etags.map``, ``commits.map``: for nginx, SHA-256 and revision of each model file by the
  path of its URL.
"""

import hashlib
import html
import json
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from appliance.model.documents.bundle import BundleArtifact, BundleIndex
from appliance.model.files import BundleFile

_COMMIT = re.compile(r"[0-9a-f]{40}")


def depot_files(index: BundleIndex) -> dict[str, bytes]:
    """Every generated file of one bundle by its path.

    Raises ValueError when two wheels of one name have different bytes.
    """
    weights = [artifact for artifact in index.artifacts if artifact.kind == "weights"]
    wheels = [file for artifact in index.artifacts if artifact.kind == "wheels" for file in artifact.files]
    files = {name: text.encode() for name, text in _simple_pages(wheels)}
    for model in weights:
        files.update((name, _json(answer)) for name, answer in _hub_answers(model))
    etags, commits = zip(*_map_lines(index.name, weights), strict=True) if weights else ((), ())
    files["etags.map"] = "".join(etags).encode()
    files["commits.map"] = "".join(commits).encode()
    return files


def commit(artifact: BundleArtifact) -> str:
    """The revision that clients see: the hub's commit, or a name made from the contents."""
    recorded = artifact.source.get("commit", "")
    if _COMMIT.fullmatch(recorded):
        return recorded
    lines = "".join(f"{file.sha256}  {_path_in(artifact, file)}\n" for file in artifact.files)
    return hashlib.sha256(lines.encode()).hexdigest()[:40]


def _simple_pages(files: Sequence[BundleFile]) -> Iterator[tuple[str, str]]:
    projects: dict[str, dict[str, BundleFile]] = {}
    for file in files:
        name = file.path.rpartition("/")[2]
        if not name.endswith(".whl"):
            continue
        known = projects.setdefault(_normalised(name.partition("-")[0]), {}).setdefault(name, file)
        if known.sha256 != file.sha256:
            raise ValueError(f"two wheels are called {name}: {known.path} and {file.path} differ")
    names = sorted(projects)
    yield "simple/index.html", _page("Projects", [(f"{name}/", name) for name in names])
    yield "simple/index.json", json.dumps({"meta": {"api-version": "1.0"}, "projects": [{"name": n} for n in names]})
    for name in names:
        wheels = dict(sorted(projects[name].items()))
        links = [(f"{_url(file)}#sha256={file.sha256}", filename) for filename, file in wheels.items()]
        entries = [
            {"filename": filename, "url": _url(file), "hashes": {"sha256": file.sha256}}
            for filename, file in wheels.items()
        ]
        yield f"simple/{name}/index.html", _page(name, links)
        yield (
            f"simple/{name}/index.json",
            json.dumps({"meta": {"api-version": "1.0"}, "name": name, "files": entries}),
        )


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _url(file: BundleFile) -> str:
    return "../../" + quote(file.path)


def _page(title: str, links: Sequence[tuple[str, str]]) -> str:
    anchors = "".join(f'<a href="{html.escape(url)}">{html.escape(text)}</a><br>\n' for url, text in links)
    head = f'<meta name="pypi:repository-version" content="1.0"><title>{html.escape(title)}</title>'
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body>\n{anchors}</body></html>\n"


def _hub_answers(model: BundleArtifact) -> Iterator[tuple[str, object]]:
    revision = commit(model)
    siblings = [{"rfilename": _path_in(model, file)} for file in model.files]
    info = {
        "_id": revision[:24],
        "id": model.name,
        "modelId": model.name,
        "sha": revision,
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "siblings": siblings,
    }
    tree = [_tree_entry(model, file) for file in model.files]
    yield f"hf/api/models/{model.name}.json", info
    for name in ("main", revision):
        yield f"hf/api/models/{model.name}/revision/{name}.json", info
        yield f"hf/api/models/{model.name}/tree/{name}.json", tree


def _tree_entry(model: BundleArtifact, file: BundleFile) -> dict[str, object]:
    # Each file is told as one in Git LFS: so the client learns a SHA-256 and not a git blob id.
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.size}\n".encode()
    blob = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()
    return {
        "type": "file",
        "path": _path_in(model, file),
        "size": file.size,
        "oid": blob,
        "lfs": {"oid": file.sha256, "size": file.size, "pointerSize": len(pointer)},
    }


def _map_lines(bundle: str, models: Sequence[BundleArtifact]) -> Iterator[tuple[str, str]]:
    """Lines of the two maps, for each name of a revision."""
    for model in models:
        current = commit(model)
        for revision in ("main", current):
            for file in model.files:
                path = _nginx_word(f"/{bundle}/hf/{model.name}/resolve/{revision}/{_path_in(model, file)}")
                yield f"{path} {file.sha256};\n", f"{path} {current};\n"


def _nginx_word(text: str) -> str:
    # Names hold none of nginx's special characters but the dollar, which a map does not expand in its keys.
    if '"' in text or "\\" in text or "\n" in text:
        raise ValueError(f"{text!r} cannot be written in nginx's configuration")
    return f'"{text}"'


def _path_in(artifact: BundleArtifact, file: BundleFile) -> str:
    return file.path.removeprefix(f"models/{artifact.name}/")


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
