"""Everything that is measured, below one directory: weights, bundles, keys, other tools."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.project import DEFINITION, REPOSITORY, Project

FILES = 5
SMALL_BYTES, TINY_BYTES = 4096, 100
MODEL_SIGNING = ("model-signing==1.1.1", "pyOpenSSL")
_COPIES = 3  # of the weights, at most at a time: the model, the cache, and one made by cp, a build or an import
_SPARE = 1_000_000_000  # bytes: model_signing and what it needs, the small files and the tiny ones
_BLOCK = 16 * 1024 * 1024
_HEADER = 256  # bytes of a safetensors file before its tensor

# What a case needs; only what some case needs is made.  ``start`` is always there.
Part = Literal["start", "weights", "model-signing", "one", "small", "tiny"]


@dataclass(frozen=True)
class Sizes:
    """How much is measured: ``weights`` and ``one`` in bytes, ``small`` and ``tiny`` in files."""

    weights: int
    one: int
    small: int
    tiny: int

    def needed(self, parts: Collection[Part]) -> int:
        """Bytes of disk that ``parts`` take at their worst moment."""
        one = self.one if "one" in parts else 0
        weights = self.weights if _with_weights(parts) else 0
        return max(2 * one, one + _COPIES * weights) + _SPARE


@dataclass
class Stage:
    """Where everything lies; ``make`` puts it there.

    Of the projects ``small`` holds next to nothing, ``big`` the weights in some large files,
    ``one`` a bundle with a single larger file, and ``many`` a directory of small files.
    ``crowd`` is where a bundle of very many tiny files lies, with the root document that is
    trusted.  Where there is no model_signing, ``model_signing_missing`` says why.
    """

    folder: Path
    sizes: Sizes
    model_signing_missing: str = ""

    def __post_init__(self) -> None:
        self.small, self.big, self.one, self.many = (
            Project(self.folder / name) for name in ("small", "big", "one", "many")
        )
        self.crowd = self.folder / "crowd"
        self.site = self.folder / "site"
        self.model_signing = self.folder / "model-signing/bin/model_signing"
        self.signature = self.folder / "model.sig"
        self.names = self.folder / "names"  # of the bundle's weights, for xargs

    @property
    def amount(self) -> int:
        """Bytes of the weights."""
        return self.sizes.weights // FILES * FILES

    @property
    def source(self) -> tuple[Path, ...]:
        """The weights that are built from."""
        names = [f"model-{number:05}-of-{FILES:05}.safetensors" for number in range(1, FILES + 1)]
        return tuple(self.big.folder / "model" / name for name in names)

    @property
    def weights(self) -> tuple[Path, ...]:
        """The weights in the bundle: the same inodes as in the cache."""
        return tuple(self.model / path.name for path in self.source)

    @property
    def model(self) -> Path:
        """The directory of the weights in the bundle."""
        return self.big.bundle / "models/tiny"

    @property
    def next_bundle(self) -> Path:
        """The next version of the big bundle; it is there where ``build_next`` has made it."""
        return self.big.folder / "next/small-1.0.1"

    @property
    def single(self) -> Path:
        """The one large file, in its bundle."""
        return self.one.bundle / "models/tiny/model.safetensors"

    def make(self, parts: Collection[Part]) -> None:
        """Put what ``parts`` need into the folder.  The one large file comes first, while there is most room."""
        Project.make(self.small.folder)
        self.small.build().check_returncode()
        if "one" in parts:
            self._make_one()
        if _with_weights(parts):
            self._make_weights()
        if "model-signing" in parts:
            self._make_model_signing()
        if "small" in parts:
            self._make_small()
        if "tiny" in parts:
            argv = [sys.executable, "-m", "tests.bench.crowd", str(self.crowd), str(self.sizes.tiny)]
            subprocess.run(argv, cwd=REPOSITORY, check=True)

    def build_next(self) -> None:
        """Build ``next_bundle`` from the cache: its weights are links to the same files."""
        self.big.run("build", "next.yaml", "--key", "key.pem", "--out", "next").check_returncode()

    def forget(self, *names: str) -> None:
        """Remove files and directories of the big project."""
        for name in names:
            path = self.big.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def model_signing_command(self, verb: Literal["sign", "verify"]) -> list[str]:
        """Sign or verify the weights in the bundle by the project's key."""
        option, key = {"sign": ("--private_key", "key.pem"), "verify": ("--public_key", "key.pub.pem")}[verb]
        argv = [str(self.model_signing), verb, "key", "--signature", str(self.signature)]
        return [*argv, option, str(self.big.folder / key), str(self.model)]

    def _make_one(self) -> None:
        Project.make(self.one.folder)
        source = self.one.folder / "model/model.safetensors"
        write_weights(source, self.sizes.one)
        self.one.run("lock", "small.yaml").check_returncode()
        self.one.build().check_returncode()
        source.unlink()  # the bundle has its bytes; nothing is built from them again

    def _make_weights(self) -> None:
        Project.make(self.big.folder)
        (self.big.folder / "model/model.safetensors").unlink()
        for path in self.source:
            write_weights(path, self.sizes.weights // FILES)
        (self.big.folder / "next.yaml").write_text(DEFINITION.replace("1.0.0", "1.0.1"))
        for name in ("small.yaml", "next.yaml"):
            self.big.run("lock", name).check_returncode()
        self.big.build().check_returncode()
        self.names.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in self.weights))

    def _make_small(self) -> None:
        Project.make(self.many.folder)
        for number in range(self.sizes.small):
            text = json.dumps({"number": number, "text": ""})
            filled = json.dumps({"number": number, "text": "x" * (SMALL_BYTES - len(text))})
            (self.many.folder / f"model/{number:05}.json").write_text(filled)

    def _make_model_signing(self) -> None:
        """Install it, and sign once, so that there is something to verify."""
        folder = self.folder / "model-signing"
        for argv in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *MODEL_SIGNING],
            self.model_signing_command("sign"),
        ):
            done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                self.model_signing_missing = (done.stderr.strip().splitlines() or ["it cannot be installed"])[-1]
                return


def _with_weights(parts: Collection[Part]) -> bool:
    return "weights" in parts or "model-signing" in parts  # which signs the weights


def write_weights(path: Path, size: int) -> None:
    """A valid safetensors file of ``size`` bytes: one tensor of random ones, so nothing on the way can compress it."""
    values = size - _HEADER
    header = json.dumps({"w": {"dtype": "U8", "shape": [values], "data_offsets": [0, values]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", _HEADER - 8) + header.ljust(_HEADER - 8))
        for start in range(0, values, _BLOCK):
            file.write(os.urandom(min(_BLOCK, values - start)))
