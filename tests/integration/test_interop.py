"""Auditors' own tools say the same as we do: openssl, coreutils, cosign, and verify.sh on bare systems."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus.builder.build import write
from tests.corpus.builder.cases import load_cases, script_with
from tests.support.bundles import FIRST, SCRIPT, SECOND, STRANGER, Recipe, Written, key, keyid
from tests.support.debian_root import DebianRoot, debian_root
from tests.support.script_rules import accepted_by_python, rule_arguments, some_paths, sums_lines

pytestmark = pytest.mark.integration

# The README gives these commands to auditors.
_BY_HAND = """
set -eu
S=sigs/$ID.sigstore.json
jq --join-output .dsseEnvelope.payload "$S" | base64 --decode | cmp - statement.json
{
    printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c <statement.json)"
    cat statement.json
} >"$OUT/pae"
jq --raw-output '.dsseEnvelope.signatures[0].sig' "$S" | base64 --decode >"$OUT/sig"
openssl dgst -sha256 -verify "$PEM" -signature "$OUT/sig" "$OUT/pae"
echo "$(jq --raw-output '.subject[0].digest.sha256' statement.json)  SHA256SUMS" | sha256sum --check --strict
echo "$(jq --raw-output '.subject[0].digest.sha384' statement.json)  SHA256SUMS" | sha384sum --check --strict
sha256sum --check --strict --quiet SHA256SUMS
"""


@pytest.fixture(autouse=True)
def _others_may_read() -> Iterator[None]:
    """Programs run as another user, so the files of a test must not depend on the caller's umask."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def bundle(tmp_path: Path) -> Written:
    written = Recipe().write(tmp_path / "a medium")
    for name, number in (("signer", FIRST), ("stranger", STRANGER)):
        (tmp_path / "a medium" / f"{name}.pem").write_bytes(key(number).public.pem())
    tmp_path.chmod(0o755)
    (tmp_path / "a medium").chmod(0o755)
    return written


def _by_hand(bundle: Written, number: int) -> "subprocess.CompletedProcess[str]":
    pem = bundle.trusted.with_name("by-hand.pem")
    pem.write_bytes(key(number).public.pem())
    return subprocess.run(
        ["sh", "-c", _BY_HAND],
        cwd=bundle.path,
        env={"PATH": "/usr/bin:/bin", "ID": keyid(number), "PEM": str(pem), "OUT": str(bundle.trusted.parent)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("number", [FIRST, SECOND])
def test_a_signature_is_checked_by_hand(bundle: Written, number: int) -> None:
    result = _by_hand(bundle, number)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["Verified OK", "SHA256SUMS: OK", "SHA256SUMS: OK"]


@pytest.mark.parametrize(
    "path", ["statement.json", "SHA256SUMS", f"sigs/{keyid(FIRST)}.sigstore.json", "models/tiny/model.safetensors"]
)
def test_a_changed_byte_is_seen_by_hand(bundle: Written, path: str) -> None:
    data = bytearray((bundle.path / path).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle.path / path).write_bytes(data)
    assert _by_hand(bundle, FIRST).returncode != 0


# Bare systems --------------------------------------------------------------------------------


# Debian 12 has no cosign; in Debian 13 it is one more program that does nothing unless it is asked.
_SYSTEMS = {"bookworm": ("jq", "openssl"), "trixie": ("jq", "openssl", "cosign")}
# What differs by a name or by one file differs in the same way everywhere.
_BY_NAME = ("additions", "paths", "tamper")


@pytest.fixture(scope="module", params=_SYSTEMS)
def bare(request: pytest.FixtureRequest) -> DebianRoot:
    return debian_root(request.param, *_SYSTEMS[request.param])


def test_the_script_needs_nothing_but_a_bare_system(bare: DebianRoot, bundle: Written) -> None:
    """No Python, no network, not root, a read-only medium, and odd places for everything."""
    script = """
    if command -v python3 perl5 curl; then echo not bare; exit 1; fi
    if touch /mnt/medium/x 2>/dev/null; then echo not read-only; exit 1; fi
    umask 077
    mkdir '/tmp/a place'
    TMPDIR='/tmp/a place' sh /mnt/audit/verify.sh '/mnt/medium/bundle' --root /mnt/medium/root.json || exit
    ls -A '/tmp/a place'
    """
    result = bare.run(["sh", "-c", script], mounts={"medium": bundle.path.parent, "audit": SCRIPT.parent}, user=65534)
    assert result.returncode == 0, result.stderr
    assert [line.split(",")[0] for line in result.stdout.splitlines()] == ["verified: tiny 1.0.0"]


def test_bare_systems_refuse_bad_bundles(bare: DebianRoot, tmp_path: Path) -> None:
    """jq of Debian 12 and of Debian 13 write some numbers differently: both have to judge.

    Where this machine's own tools are those of the system, test_corpus_script.py has judged
    already and a part of the corpus is enough.
    """
    same = bare.path.name.startswith(f"debian-{platform.freedesktop_os_release().get('VERSION_CODENAME')}-")
    table = [case for case in load_cases().values() if case.alone and case.group not in _BY_NAME]
    cases = table[::8] if same else table
    for number, case in enumerate(cases):
        write(case, tmp_path / f"{number}")
    tmp_path.chmod(0o755)
    script = """
    seq 0 "$1" | xargs --max-procs=2 --replace sh -c \
        'sh /mnt/audit/verify.sh /mnt/cases/{}/bundle --root /mnt/cases/{}/root.json >/dev/null 2>&1; echo {} $?'
    """
    result = bare.run(
        ["sh", "-c", script, "sh", str(len(cases) - 1)],
        mounts={"cases": tmp_path, "audit": SCRIPT.parent},
        user=0,
    )
    verdicts = dict(line.split() for line in result.stdout.splitlines())
    found = {case.id: int(verdicts[str(number)]) for number, case in enumerate(cases)}
    script = script_with(bare.run(["openssl", "version"]).stdout)
    assert found == {case.id: case.told(script).exit_code for case in cases}


def test_bare_systems_accept_the_same_paths_as_python(bare: DebianRoot, tmp_path: Path) -> None:
    """jq's tables of Unicode are its own; the rule has to come out the same."""
    paths = some_paths()
    (tmp_path / "sums").write_text(sums_lines(paths))
    tmp_path.chmod(0o755)
    result = bare.run(["jq", *rule_arguments(), "/mnt/lists/sums"], mounts={"lists": tmp_path})
    found = {path for path, line in zip(paths, result.stdout.splitlines(), strict=True) if line == "true"}
    assert found == accepted_by_python(paths)


def test_what_a_user_may_not_read_is_not_verified(bare: DebianRoot, bundle: Written) -> None:
    model = bundle.path / "models/tiny/model.safetensors"
    for path, mode, code in ((model, 0o600, 3), (model.parent, 0o700, 3), (bundle.path, 0o700, 2)):
        before = path.stat().st_mode
        path.chmod(mode)
        result = bare.run(
            ["sh", "/mnt/audit/verify.sh", "/mnt/medium/bundle", "/mnt/medium/root.json"],
            mounts={"medium": bundle.path.parent, "audit": SCRIPT.parent},
        )
        path.chmod(before)
        assert result.returncode == code, result.stderr


# cosign --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cosign_host() -> DebianRoot:
    return debian_root("trixie", *_SYSTEMS["trixie"])


def _cosign(
    host: DebianRoot, bundle: Written, signature: Path, pem: str = "signer.pem"
) -> "subprocess.CompletedProcess[str]":
    medium = bundle.path.parent
    # A trusted root with nothing in it keeps cosign from asking the network for one.
    empty = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}
    (medium / "empty.json").write_text(json.dumps(empty))
    return host.run(
        [
            *("cosign", "verify-blob-attestation"),
            *("--key", f"/mnt/medium/{pem}"),
            *("--bundle", f"/mnt/medium/{signature.relative_to(medium)}"),
            *("--new-bundle-format", "--insecure-ignore-tlog=true"),
            *("--trusted-root", "/mnt/medium/empty.json"),
            *("--type", "urn:appliance:bundle:v1"),
            "/mnt/medium/bundle/SHA256SUMS",
        ],
        mounts={"medium": medium},
    )


def test_cosign_accepts_a_signature_file_offline(cosign_host: DebianRoot, bundle: Written) -> None:
    result = _cosign(cosign_host, bundle, bundle.path / f"sigs/{keyid(FIRST)}.sigstore.json")
    assert (result.returncode, "Verified OK" in result.stderr) == (0, True), result.stderr


def test_cosign_refuses_what_we_refuse(cosign_host: DebianRoot, bundle: Written) -> None:
    signature = bundle.path / f"sigs/{keyid(FIRST)}.sigstore.json"
    other = _cosign(cosign_host, bundle, signature, "stranger.pem")
    assert other.returncode != 0
    whole = json.loads(signature.read_bytes())
    flipped = json.loads(signature.read_bytes())
    text = whole["dsseEnvelope"]["signatures"][0]["sig"]
    flipped["dsseEnvelope"]["signatures"][0]["sig"] = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
    signature.write_text(json.dumps(flipped))
    assert _cosign(cosign_host, bundle, signature).returncode != 0
    signature.write_text(json.dumps(whole))
    assert _cosign(cosign_host, bundle, signature).returncode == 0
    sums = bundle.path / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes()[:-2] + b"x\n")
    assert _cosign(cosign_host, bundle, signature).returncode != 0
