"""Everything that is measured, below one directory: weights, bundles, keys, other tools."""

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.project import REPOSITORY, Project

FILES = 5
COPIES = 3  # at most at a time: the model, the cache, and a copy made by cp or by a first build
MODEL_SIGNING = ("model-signing==1.1.1", "pyOpenSSL")
_BLOCK = 16 * 1024 * 1024


@dataclass(frozen=True)
class Stage:
    """``big`` holds the weights that are measured, ``small`` next to nothing; ``small`` is built.

    ``crowd`` is where a bundle of many small files lies, with the root document that is trusted.

    ``model_signing`` is the program; without one, ``model_signing_missing`` says why.
    """

    folder: Path
    big: Project
    small: Project
    amount: int
    crowd: Path
    model_signing: Path | None
    model_signing_missing: str

    @classmethod
    def make(cls, folder: Path, size: int) -> "Stage":
        """Put about ``size`` bytes of weights into ``folder``, and what goes with them."""
        small = Project.make(folder / "small")
        small.build().check_returncode()
        big = Project.make(folder / "big")
        (big.folder / "model/model.safetensors").unlink()
        for number in range(1, FILES + 1):
            _write_weights(big.folder / f"model/model-{number:05}-of-{FILES:05}.safetensors", size // FILES)
        big.run("lock", "small.yaml").check_returncode()
        program, missing = _install_model_signing(folder / "model-signing")
        amount = sum(path.stat().st_size for path in big.folder.glob("model/*.safetensors"))
        crowd = folder / "crowd"
        subprocess.run([sys.executable, "-m", "tests.bench.crowd", str(crowd)], cwd=REPOSITORY, check=True)
        stage = cls(folder, big, small, amount, crowd, program, missing)
        stage.names.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in stage.weights))
        return stage

    @property
    def source(self) -> tuple[Path, ...]:
        """The weights that are built from."""
        return tuple(sorted(self.big.folder.glob("model/*.safetensors")))

    @property
    def weights(self) -> tuple[Path, ...]:
        """The weights in the bundle: the same inodes as in the cache."""
        return tuple(self.model / path.name for path in self.source)

    @property
    def model(self) -> Path:
        """The directory of the weights in the bundle."""
        return self.big.bundle / "models/tiny"

    @property
    def names(self) -> Path:
        """A file with the names of the bundle's weights, for xargs."""
        return self.folder / "names"

    def forget(self, *names: str) -> None:
        """Remove directories of the big project."""
        for name in names:
            shutil.rmtree(self.big.folder / name, ignore_errors=True)


def _write_weights(path: Path, size: int) -> None:
    """A valid safetensors file of one tensor of random bytes: nothing on the way can compress it."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for start in range(0, size, _BLOCK):
            file.write(os.urandom(min(_BLOCK, size - start)))


def _install_model_signing(folder: Path) -> tuple[Path | None, str]:
    for argv in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *MODEL_SIGNING],
    ):
        done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return None, (done.stderr.strip().splitlines() or ["it cannot be installed"])[-1]
    return folder / "bin/model_signing", ""
