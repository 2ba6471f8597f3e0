"""Bundles with all that a site needs, whose models are answered by a stand-in instead of vLLM.

Playbooks, OS packages, image and weights take the same way as the demo's, but a model
starts in a second: for tests about the way and not about the model.  What a model answers
stands in its weights, so that versions of a bundle can be told apart by asking.

Wheels and packages come from their public archives once and are kept below
``$APPLIANCE_TEST_CACHE``.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support.control_bundle import copy_sources
from tests.support.demo import check_needs
from tests.support.project import REPOSITORY, Project, tensor_file

NAME = "light"
_DEFINITION = """\
schema: appliance.definition/v1
name: {name}
version: {version}
description: what a site needs, with a stand-in for vLLM
serving:
  tiny-chat:
    weights: tiny-chat
    image: stand-in
    task: chat
    {gpus}
    max_model_len: 4096
    gpu_memory_utilization: 0.2
    dtype: bfloat16
    enable_prefix_caching: true
    enable_chunked_prefill: true
    max_num_seqs: 16
    max_num_batched_tokens: 4096
    max_num_queued_reqs: 64
weights:
  tiny-chat:
    directory: model
    licence: CC0-1.0
images:
  stand-in:
    containerfile:
      context: image
      base:
        distribution: debian
        suite: trixie
        architecture: amd64
        packages: [usr-is-merged, python3]
    licence: various
{images}wheels:
  control:
    python: "3.13"
    platform: x86_64-manylinux_2_41
    requirements: {requirements}
    projects: [sources, sources/ansible]
    licence: various
os-packages:
  debian13:
    distribution: debian
    suite: trixie
    architecture: amd64
    packages: {packages}
    licence: various
"""
_CPU, _GPU = (
    "gpus: 0",
    "gpus: 1\n    memory: {gpu_gib: 79.1, overhead_gib: 4.0, weights_bytes: 1000, "
    "attention: [{layers: 1, kv_heads: 1, head_dim: 8}]}",
)
_PROGRAM = """\
  {name}:
    containerfile:
      context: {name}
      base: {{distribution: debian, suite: trixie, architecture: amd64, packages: [usr-is-merged]}}
    licence: various
"""
_CONTAINERFILE = """\
FROM scratch
ADD base.tar /
COPY --chmod=0644 api_server.py /usr/lib/python3/dist-packages/vllm/entrypoints/openai/
RUN find /usr -type f -perm /6000 -exec chmod a-s {} +
USER 10001:10001
"""
_PROGRAM_CONTAINERFILE = """\
FROM scratch
ADD base.tar /
COPY --chmod=0755 files /
RUN find /usr -type f -perm /6000 -exec chmod a-s {} +
"""
_STAND_IN = Path(__file__).with_name("stand_in_vllm.py")


@dataclass(frozen=True)
class LightBundles:
    """Where such bundles are built; ``trusted`` is the root document that their receiver holds.

    ``on_gpu`` is whether their model takes one.  ``programs`` are further images: files by their paths in each.
    """

    folder: Path
    name: str = NAME
    on_gpu: bool = False
    programs: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)

    @property
    def trusted(self) -> Path:
        return self.folder / "release.root.json"

    def build(self, version: str = "1.0.0", *, says: str = "good morning", key: str = "release") -> Path:
        """The bundle of ``version``, signed by ``key``, which is made with a root of its own when it is not there.

        Skips where that cannot be done.
        """
        check_needs()
        self._write(version, says)
        return self.sign(self.name, version, key)

    def sign(self, name: str, version: str, key: str = "release") -> Path:
        """The bundle of a definition that lies in the folder."""
        self._run("lock", f"{name}.yaml")
        if not (self.folder / f"{key}.pem").exists():
            self._run("keys", "new", f"{key}.pem", "--no-passphrase")
            self._run("root", "new", f"{key}.root.json", "--key", f"{key}.pem")
        self._run("build", f"{name}.yaml", "--key", f"{key}.pem", "--out", key)
        return self.folder / key / f"{name}-{version}"

    def _write(self, version: str, says: str) -> None:
        carried = yaml.safe_load((REPOSITORY / "bundles/include/site.yaml").read_text())
        definition = _DEFINITION.format(
            name=self.name,
            version=version,
            gpus=_GPU if self.on_gpu else _CPU,
            images="".join(_PROGRAM.format(name=name) for name in self.programs),
            requirements=json.dumps(carried["wheels"]["control"]["requirements"]),
            packages=json.dumps(carried["os-packages"]["debian13"]["packages"]),
        )
        (self.folder / f"{self.name}.yaml").write_text(definition)
        for name, content in (
            ("image/Containerfile", _CONTAINERFILE),
            ("image/api_server.py", _STAND_IN.read_text()),
            ("model/config.json", json.dumps({"model_type": "llama", "says": says})),
        ):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(content)
        for name, files in self.programs.items():
            for path, data in files.items():
                (self.folder / name / "files" / path).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / name / "files" / path).write_bytes(data)
            (self.folder / name / "Containerfile").write_text(_PROGRAM_CONTAINERFILE)
        (self.folder / "model/model.safetensors").write_bytes(tensor_file())
        if not (self.folder / "sources").exists():
            copy_sources(self.folder / "sources")

    def _run(self, *arguments: str) -> None:
        store = Path(os.environ.get("APPLIANCE_TEST_CACHE") or Path.home() / ".cache/appliance-tests")
        done = Project(self.folder).run(*arguments, APPLIANCE_CACHE=str(store / "cache"))
        assert done.returncode == 0, done.stderr
