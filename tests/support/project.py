"""A small definition that needs no network, and the command line to build it with."""

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DEFINITION = """\
schema: appliance.definition/v1
name: small
version: 1.0.0
description: one model from a directory
weights:
  tiny:
    directory: model
    licence: CC0-1.0
"""


def tensor_file(values: int = 4) -> bytes:
    """A valid safetensors file with ``values`` float32 zeros."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + bytes(4 * values)


@dataclass(frozen=True)
class Project:
    """A directory with a definition, a model, a key and a root document."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Project":
        model = folder / "model"
        model.mkdir(parents=True)
        (model / "model.safetensors").write_bytes(tensor_file())
        (model / "config.json").write_text('{"model_type": "llama"}\n')
        (folder / "small.yaml").write_text(DEFINITION)
        project = cls(folder)
        project.run("keys", "new", "key.pem", "--no-passphrase").check_returncode()
        project.run("root", "new", "key.root.json", "--key", "key.pem").check_returncode()
        project.run("lock", "small.yaml").check_returncode()
        return project

    def copy(self, folder: Path) -> "Project":
        return Project(shutil.copytree(self.folder, folder))

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "APPLIANCE_CACHE": str(self.folder / "cache"), "COVERAGE_PROCESS_START": ""}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "appliance", *arguments]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("build", "small.yaml", "--key", "key.pem", *arguments, **variables)

    @property
    def bundle(self) -> Path:
        return self.folder / "dist" / "small-1.0.0"

    def sums(self) -> str:
        return (self.bundle / "SHA256SUMS").read_text()
