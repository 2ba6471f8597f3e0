"""The profile CNSA 2.0 by stock tools: openssl 3.5 says what we say, and 3.0 says that it cannot.

verify.sh is asked, and the third verifier (tests/third_verifier).
"""

from pathlib import Path

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.trust.keys import PrivateKey
from tests.corpus.builder.build import write
from tests.corpus.builder.cases import group
from tests.support.bundles import CNSA, FIRST_PQ, SECOND_PQ, Written, key
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.documents import commands
from tests.support.project import REPOSITORY

pytestmark = pytest.mark.integration

_CASES = {case.name: case for case in group("profile")}
_BY_SCRIPT = "sh /mnt/repository/appliance/verify.sh"
_BY_THIRD = "perl /mnt/repository/tests/third_verifier/verify.pl"


@pytest.fixture(scope="module")
def new_system() -> DebianRoot:
    return debian_root("trixie", "jq", "openssl", "perl")


@pytest.fixture(scope="module")
def old_system() -> DebianRoot:
    return debian_root("bookworm", "jq", "openssl", "perl")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every bundle of the table, in a directory of its number."""
    folder = tmp_path_factory.mktemp("media")
    for number, case in enumerate(_CASES.values()):
        write(case, folder / f"{number}")
    return folder


def _told(system: DebianRoot, media: Path, verifier: str, option: str) -> dict[str, int]:
    """What a verifier says of every bundle there."""
    command = """
    seq 0 "$1" | xargs --max-procs=2 --replace sh -c \
        "$2 /mnt/media/{}/bundle --root /mnt/media/{}/root.json $3 >/dev/null 2>&1; echo {} \\$?"
    """
    result = system.run(
        ["sh", "-c", command, "sh", str(len(_CASES) - 1), verifier, option],
        mounts={"media": media, "repository": REPOSITORY},
    )
    verdicts = dict(line.split() for line in result.stdout.splitlines())
    return {name: int(verdicts[str(number)]) for number, name in enumerate(_CASES)}


def _ours(media: Path) -> dict[str, int]:
    found = {}
    for number, name in enumerate(_CASES):
        try:
            Written(media / f"{number}/bundle", media / f"{number}/root.json").verify("cnsa-2.0")
            found[name] = 0
        except NotTrusted as error:
            found[name] = error.exit_code
    return found


@pytest.mark.parametrize("verifier", [_BY_SCRIPT, _BY_THIRD], ids=["verify.sh", "the third"])
def test_openssl_3_5_says_what_we_say(verifier: str, new_system: DebianRoot, media: Path) -> None:
    demanded = _told(new_system, media, verifier, "--profile cnsa-2.0")
    assert demanded == _ours(media) == {name: 0 if name == "good" else 3 for name in _CASES}
    assert set(_told(new_system, media, verifier, "").values()) == {0}


@pytest.mark.parametrize("verifier", [_BY_SCRIPT, _BY_THIRD], ids=["verify.sh", "the third"])
def test_openssl_3_0_does_not_claim_what_it_cannot_check(verifier: str, old_system: DebianRoot, media: Path) -> None:
    assert set(_told(old_system, media, verifier, "").values()) == {0}
    assert 0 not in _told(old_system, media, verifier, "--profile cnsa-2.0").values()


@pytest.mark.parametrize("failing", ["exit 0", "kill -KILL $$"])
def test_a_sha384_that_nobody_found_right_is_not(failing: str, new_system: DebianRoot, tmp_path: Path) -> None:
    """A program that is asked about the list, and does not say of its files that they are right."""
    CNSA.write(tmp_path / "media")
    (tmp_path / "tools").mkdir()
    program = tmp_path / "tools/sha384sum"
    program.write_text(f'#!/bin/sh\n[ "${{1-}}" != --check ] || {failing}\nexec /usr/bin/sha384sum "$@"\n')
    program.chmod(0o755)
    mounts = {"media": tmp_path / "media", "repository": REPOSITORY, "tools": tmp_path / "tools"}
    command = [*_BY_SCRIPT.split(), "/mnt/media/bundle", "/mnt/media/root.json", "--profile", "cnsa-2.0"]
    for tools, code in ((["--tools", "/mnt/tools"], 3), ([], 0)):
        found = new_system.run([*command, *tools], mounts=mounts)
        assert found.returncode == code, found.stderr
        assert ("files that do not have the SHA-384 that was signed: 1" in found.stderr) == (code == 3)


def test_an_auditor_checks_it_by_hand(new_system: DebianRoot, tmp_path: Path) -> None:
    written = CNSA.write(tmp_path)
    blocks = (
        block for heading in ("What to bring", "The profile CNSA 2.0") for block in commands("auditing.md", heading)
    )
    command = ["sh", "-euc", "\n".join(["cd /mnt/audit", *blocks])]
    for number in (FIRST_PQ, SECOND_PQ):
        (tmp_path / "co-signer.pub.pem").write_bytes(key(number).public.pem())
        checked = new_system.run(command, mounts={"audit": tmp_path})
        assert checked.returncode == 0, checked.stderr
        assert "Signature Verified Successfully" in checked.stdout
        assert checked.stdout.count(": OK") == 2
    model = written.path / "models/tiny/model.safetensors"
    model.write_bytes(model.read_bytes() + b"x")
    assert new_system.run(command, mounts={"audit": tmp_path}).returncode != 0


def test_keys_that_openssl_made_are_ours_too(new_system: DebianRoot, tmp_path: Path) -> None:
    """In the form that holds the seed alone; of the others the error tells how to make it."""
    command = ["openssl", "genpkey", "-algorithm", "ML-DSA-87"]
    (tmp_path / "key.pem").write_text(new_system.run(command).stdout)
    with pytest.raises(BadInput) as caught:
        PrivateKey.from_pem((tmp_path / "key.pem").read_bytes(), None, where="key.pem")
    told = caught.value.hint.split(": ", 1)[1].replace("KEY", "/mnt/x/key.pem").replace("-out NEW", "")
    pem = new_system.run(told.split(), mounts={"x": tmp_path}).stdout.encode()
    ours = PrivateKey.from_pem(pem, None, where="key.pem")
    public = new_system.run(["openssl", "pkey", "-in", "/mnt/x/key.pem", "-pubout"], mounts={"x": tmp_path})
    assert ours.public.pem() == public.stdout.encode()
    assert ours.public.verifies(ours.sign(b"message"), b"message")
