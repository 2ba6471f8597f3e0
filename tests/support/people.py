"""People with keys of their own, who run our commands on machines of their own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.main import run


@dataclass(frozen=True)
class Desk:
    """A directory in which commands are run, as people and programs see them."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str | Path, code: int = 0) -> tuple[str, str]:
        """Standard output and standard error of a command that ends with ``code``."""
        self.monkeypatch.chdir(self.folder)
        ended = run([str(argument) for argument in arguments])
        output = self.capsys.readouterr()
        assert ended == code, output.err
        return output.out, output.err

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """What a program learns."""
        return json.loads(self.run(*arguments, "--json", code=code)[0])

    def refusal(self, *arguments: str | Path, code: int) -> str:
        """The reference of the error that a command ends with."""
        return str(self.json(*arguments, code=code)["error"]["reference"])

    def make_keys(self, *names: str, key_type: str = "ecdsa-p256") -> dict[str, str]:
        """``NAME.pem`` and ``NAME.pub.pem`` for each; returns the key ids."""
        return {
            name: self.run("keys", "new", f"{name}.pem", "--no-passphrase", "--type", key_type)[0].strip()
            for name in names
        }
