"""The ceremony of docs/key-ceremony.md from bare machines on, as its people follow it: every command is run.

Nine machines and a stick; the build host has no key, and those of the root signers nothing of
ours.  At each stage a receiver who has only ever seen 1.root.json is asked.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bundles import SCRIPT
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.documents import DOCS, commands
from tests.support.project import tensor_file
from tests.support.terminal import at_a_terminal

pytestmark = pytest.mark.integration

DOCUMENT = "key-ceremony.md"
(SHOWN,) = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / DOCUMENT).read_text(), re.DOTALL | re.MULTILINE)
PASSPHRASE = "correct horse"
PROMPTS = r"[Pp]ass ?phrase[^\n:]*: ?|Repeat for confirmation: ?"
_OURS = Path(sys.executable).parent

RELEASE_KEY, ROOT_KEY, KEY_ID = commands(DOCUMENT, "Keys")
(FIRST_DOCUMENT,) = commands(DOCUMENT, "The first root document")
SIGN_ROOT, ADD_FIRST = commands(DOCUMENT, "Signing a root document")
BUILD, SIGN_RELEASE, ADD_RELEASE = commands(DOCUMENT, "A release")
ROTATE, COMPARE, ADD_SECOND = commands(DOCUMENT, "Somebody leaves, somebody comes")
REVOKE, ADD_THIRD, BUILD_NEXT = commands(DOCUMENT, "A key was stolen, or may have been")
BACK_UP, DESTROY = commands(DOCUMENT, "Backups, and the end of a key")
RELEASE_PQ, ROOT_PQ, ADD_CO_SIGNERS, SIGN_FOURTH, ADD_FOURTH, VERIFY_PROFILE = commands(
    DOCUMENT, "For sites that demand CNSA 2.0"
)


@dataclass(frozen=True)
class Ceremony:
    """A directory for each machine, and the stick."""

    folder: Path

    @property
    def host(self) -> Path:
        return self.folder / "build host"

    @property
    def backup(self) -> Path:
        return self.folder / "backup"

    @property
    def stick(self) -> Path:
        return self.folder / "stick"

    def do(self, block: str, *people: str, ours: bool = True) -> str:
        """Run a block where its first line says: on the build host, or on the machine of each of ``people``.

        Without ``people`` of whom the block says so.  Without ``ours`` none of our programs is there.
        """
        place, text = block.split("\n", 1)
        seen = ""
        if place == "# on the build host":
            return self._type(self.host, text, ours=ours)
        named = re.findall(r"(?:root|release)-[a-z]", place)
        for person in people or named:
            machine = self.folder / person
            machine.mkdir(exist_ok=True)
            seen += self._type(machine, text.replace(named[0], person), ours=ours)
        return seen

    def _type(self, machine: Path, text: str, *, ours: bool) -> str:
        programs = f"{_OURS}:/usr/bin:/bin" if ours else "/usr/bin:/bin"
        environment = {"PATH": programs, "HOME": str(machine), "APPLIANCE_CACHE": str(self.folder / "cache")}
        code, seen = at_a_terminal(
            [
                "sh",
                "-euc",
                text.replace("/media/stick", f"'{self.stick}'").replace("/media/backup", f"'{self.backup}'"),
            ],
            prompt=PROMPTS,
            answer=PASSPHRASE,
            cwd=machine,
            env=environment,
        )
        assert code == 0, seen
        assert PASSPHRASE not in seen
        return seen

    def sign_root(self, number: int, *people: str) -> None:
        self.do(SIGN_ROOT.replace("n=1", f"n={number}"), *people, ours=False)

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "appliance", *words]
        environment = {**os.environ, "APPLIANCE_CACHE": str(self.folder / "cache")}
        return subprocess.run(
            command,
            cwd=self.host,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def signers(self, bundle: str, root: str = "roots/1.root.json") -> set[str]:
        """Who has signed a bundle, as its receiver learns it who holds ``root``."""
        verified = self.run("verify", f"dist/{bundle}", "--root", root, "--json")
        assert verified.returncode == 0, verified.stdout
        return {signer["label"] for signer in json.loads(verified.stdout)["signers"]}

    def define(self, version: str, *lines: str) -> None:
        text = SHOWN.replace("version: 1.0.0", f"version: {version}")
        (self.host / "bundles/release.yaml").write_text(text + "".join(f"{line}\n" for line in lines))
        assert self.run("lock", "bundles/release.yaml").returncode == 0


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Ceremony:
    made = Ceremony(tmp_path_factory.mktemp("ceremony"))
    made.stick.mkdir()
    made.backup.mkdir()
    model = made.host / "bundles/model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(tensor_file())
    (model / "config.json").write_text('{"model_type": "llama"}\n')
    made.define("1.0.0")
    return made


@pytest.fixture(scope="module")
def released(ceremony: Ceremony) -> Ceremony:
    """Keys, a first root document, a release."""
    ceremony.do(RELEASE_KEY)
    ceremony.do(ROOT_KEY, ours=False)
    identity = ceremony.do(KEY_ID, "root-a", ours=False).split()[0]
    ceremony.do(FIRST_DOCUMENT)
    assert identity in ceremony.run("root", "show", "roots", "--json").stdout
    unfinished = ceremony.run("build", "bundles/release.yaml", "--root", "roots")
    assert (unfinished.returncode, "root-threshold" in unfinished.stderr) == (3, True)
    ceremony.sign_root(1, "root-a", "root-b")
    assert "enough" in ceremony.do(ADD_FIRST)
    ceremony.do(BUILD)
    ceremony.do(SIGN_RELEASE)
    assert "2 signed, 2 needed: enough" in ceremony.do(ADD_RELEASE)
    return ceremony


@pytest.fixture(scope="module")
def rotated(released: Ceremony) -> Ceremony:
    released.do(RELEASE_KEY, "release-d")
    told = released.do(ROTATE)
    assert re.search(r"release-d \([0-9a-f]{64}\) may now sign bundles", told)
    assert re.search(r"release-c \([0-9a-f]{64}\) may no longer sign bundles", told)
    assert '"label": "release-d"' in released.do(COMPARE, ours=False)
    released.sign_root(2, "root-a", "root-c")
    released.do(ADD_SECOND)
    return released


@pytest.fixture(scope="module")
def revoked(rotated: Ceremony) -> Ceremony:
    rotated.do(RELEASE_KEY, "release-e")
    assert re.search(r"release-a \([0-9a-f]{64}\) is revoked for good", rotated.do(REVOKE))
    rotated.sign_root(3, "root-b", "root-c")
    rotated.do(ADD_THIRD)
    rotated.define("1.1.0", "minimum_root_version: 3")
    rotated.do(BUILD_NEXT)
    rotated.do(SIGN_RELEASE, "release-b", "release-e")
    rotated.do(ADD_RELEASE.replace("1.0.0", "1.1.0"))
    return rotated


@pytest.fixture(scope="module")
def co_signed(revoked: Ceremony) -> Ceremony:
    revoked.do(RELEASE_PQ)
    revoked.do(ROOT_PQ)
    revoked.do(ADD_CO_SIGNERS)
    revoked.do(SIGN_FOURTH)
    revoked.do(ADD_FOURTH)
    revoked.define("1.2.0", "profile: cnsa-2.0")
    revoked.do(BUILD_NEXT.replace("1.1.0", "1.2.0"))
    both = SIGN_RELEASE.replace("--key $me.pem", "--key $me.pem --key $me-pq.pem")
    assert both != SIGN_RELEASE
    revoked.do(both, "release-d", "release-e")
    revoked.do(ADD_RELEASE.replace("1.0.0", "1.2.0"))
    return revoked


# What came of it ---------------------------------------------------------------------------------


def test_two_of_three_release(released: Ceremony) -> None:
    assert released.signers("release-1.0.0") == {"release-a", "release-b"}
    alone = released.folder / "alone"
    shutil.copytree(released.host / "dist/release-1.0.0", alone)
    next((alone / "sigs").iterdir()).unlink()
    refused = released.run("verify", alone, "--root", "roots/1.root.json")
    assert (refused.returncode, "signatures-missing" in refused.stderr) == (3, True)


def test_a_rotation_reaches_who_has_only_seen_the_first_document(rotated: Ceremony) -> None:
    shown = json.loads(rotated.run("root", "show", "roots", "--json").stdout)
    assert shown["documents"][1]["complete"] is True
    labels = {entry["label"] for entry in shown["documents"][1]["document"]["keys"].values()}
    assert {"release-d", "root-a"} <= labels
    assert "release-c" not in labels


def test_a_copy_is_read_again_and_a_key_is_destroyed(released: Ceremony) -> None:
    released.do(BACK_UP, ours=False)
    copy = released.backup / "root-a.pem"
    copy.write_bytes((released.folder / "root-b/root-b.pem").read_bytes())
    with pytest.raises(AssertionError):
        released.do(BACK_UP.replace("cp $me.pem /media/backup/\n", ""), "root-a", ours=False)
    key = released.folder / "release-c/release-c.pem"
    spare = key.read_bytes()
    released.do(DESTROY, ours=False)
    assert not key.exists()
    key.write_bytes(spare)


def test_a_revoked_key_signs_nothing_any_more(revoked: Ceremony) -> None:
    assert revoked.signers("release-1.1.0") == {"release-b", "release-e"}
    stolen = revoked.folder / "release-a/release-a.pem"
    (revoked.folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    thief = ("sign", "dist/release-1.1.0", "--key", stolen, "--passphrase-file", revoked.folder / "passphrase")
    refused = revoked.run(*thief)
    assert (refused.returncode, "key-not-in-root" in refused.stderr) == (2, True)
    older_chain = revoked.folder / "older chain"
    shutil.copytree(revoked.host / "dist/release-1.1.0", older_chain)
    (older_chain / "trust/3.root.json").unlink()
    assert revoked.run("verify", older_chain, "--root", "roots/1.root.json").returncode == 3


def test_the_profile_is_met(co_signed: Ceremony) -> None:
    assert "verified" in co_signed.do(VERIFY_PROFILE)
    labels = {"release-d", "release-e", "release-d-pq", "release-e-pq"}
    assert co_signed.signers("release-1.2.0") == labels
    first = ("verify", "dist/release-1.2.0", "--root", "roots/1.root.json", "--profile", "cnsa-2.0")
    refused = co_signed.run(*first)
    assert (refused.returncode, "root-not-co-signed" in refused.stderr) == (3, True)


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_stock_tools_agree(co_signed: Ceremony, suite: str) -> None:
    """verify.sh with openssl 3.0 and 3.5, and cosign for each signature that it can read."""
    packages = ("jq", "openssl") if suite == "bookworm" else ("jq", "openssl", "cosign")
    system = debian_root(suite, *packages)
    mounts = {"dist": co_signed.host / "dist", "roots": co_signed.host / "roots", "audit": SCRIPT.parent}
    script = "sh /mnt/audit/verify.sh /mnt/dist/{} --root /mnt/roots/{}.root.json {}"
    for bundle, root, option, code in (
        ("release-1.0.0", 1, "", 0),
        ("release-1.1.0", 1, "", 0),
        ("release-1.2.0", 1, "", 0),
        ("release-1.2.0", 4, "--profile cnsa-2.0", 0 if suite == "trixie" else 2),
        ("release-1.1.0", 4, "", 3),
    ):
        result = system.run(script.format(bundle, root, option).split(), mounts=mounts)
        assert result.returncode == code, result.stderr
    if suite == "trixie":
        _check_with_cosign(system, co_signed, ["release-d", "release-e"])


def _check_with_cosign(system: DebianRoot, ceremony: Ceremony, people: Sequence[str]) -> None:
    empty = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}
    (ceremony.stick / "empty.json").write_text(json.dumps(empty))
    for person in people:
        shown = ceremony.run("keys", "show", ceremony.stick / f"{person}.pub.pem").stdout.strip()
        result = system.run(
            [
                *("cosign", "verify-blob-attestation", "--key", f"/mnt/stick/{person}.pub.pem"),
                *("--bundle", f"/mnt/bundle/sigs/{shown}.sigstore.json", "--new-bundle-format"),
                *("--insecure-ignore-tlog=true", "--trusted-root", "/mnt/stick/empty.json"),
                *("--type", "urn:appliance:bundle:v1", "/mnt/bundle/SHA256SUMS"),
            ],
            mounts={"stick": ceremony.stick, "bundle": ceremony.host / "dist/release-1.2.0"},
        )
        assert result.returncode == 0, result.stderr


def test_every_command_of_the_page_is_run(released: Ceremony) -> None:
    """A block that a test does not know would rot: those here and in test_key_ceremony.py are all there are."""
    text = (SCRIPT.parents[1] / f"docs/{DOCUMENT}").read_text()
    here = 3 + 1 + 2 + 3 + 3 + 3 + 2 + 6
    in_test_key_ceremony = 2 + 3 + 2 + 3 + 1
    assert text.count("```sh\n") == here + in_test_key_ceremony
