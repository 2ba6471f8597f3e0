"""Documents that are nearly right: verify.sh takes the same ones as we do, thousands of them in one jq."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from appliance.model.documents.root import ROOT_PAYLOAD_TYPE
from appliance.model.jsonform import canonical_json
from appliance.trust.dsse import decode_envelope, decode_signature_file
from appliance.trust.root import parse_root
from appliance.trust.statement import parse_statement
from tests.fuzz.mutations import mutate_json
from tests.support.bundles import (
    FIRST,
    FIRST_PQ,
    SECOND,
    SECOND_PQ,
    Recipe,
    keyid,
    payload_of,
    root_chain,
    root_document,
    sign_root,
)
from tests.support.script_rules import forms

pytestmark = pytest.mark.integration

_TIMES = 3000
_FILES = Recipe().documents()
_SIGNATURE = f"sigs/{keyid(FIRST)}.sigstore.json"


def _root(data: bytes) -> None:
    version = parse_root(sign_root(data, (FIRST,)), "root.json").document.version
    if version != 2:
        raise ValueError(f"version {version} and not 2")


def _root_envelope(data: bytes) -> None:
    payload = decode_envelope(data, ROOT_PAYLOAD_TYPE).payload
    if not (
        payload.isascii() and payload.decode().isprintable() and payload
    ):  # so much of its form the script sees here
        raise ValueError("no line of text in it")


def _signature_file(data: bytes) -> None:
    envelope = decode_signature_file(data)
    assert envelope.signatures[0][0] == keyid(FIRST)


_CASES: Mapping[str, tuple[Sequence[bytes], Callable[[bytes], object], str]] = {
    "statement": ([_FILES["statement.json"]], parse_statement, "statement"),
    "root document": (
        [payload_of(root_chain()[1]), payload_of(root_document(2, (FIRST, SECOND, FIRST_PQ, SECOND_PQ)))],
        _root,
        "root and .version == 2",
    ),
    "root envelope": (
        [root_chain()[1]],
        _root_envelope,
        f'root_envelope("{ROOT_PAYLOAD_TYPE}")',
    ),
    "signature file": (
        [_FILES[_SIGNATURE]],
        _signature_file,
        f'signature_file("{keyid(FIRST)}"; "application/vnd.in-toto+json")',
    ),
}
# What the script finds out by other means than the form: base64, keys and their ids.
_ELSEWHERE = ("base64", "is not the SHA-256 of its key", "PEM", "deserialize", "key", "version")


@pytest.mark.parametrize("name", _CASES)
def test_the_script_takes_the_same_documents(name: str) -> None:
    seeds, read, form = _CASES[name]
    random = Random(name)
    documents: list[bytes] = []
    while len(documents) < _TIMES:
        value: Any = mutate_json(json.loads(random.choice(seeds)), random)
        with suppress(ValueError):  # a number beyond 2^53 has no canonical form
            documents.append(canonical_json(value))
    said = subprocess.run(
        ["jq", "--compact-output", f"{forms()} try ({form}) catch false"],
        input=b"\n".join(documents),
        capture_output=True,
        check=True,
    )
    verdicts = said.stdout.decode().split()
    ours = [_problem(read, document) for document in documents]
    differing = [
        (document, problem, verdict)
        for document, problem, verdict in zip(documents, ours, verdicts, strict=True)
        if (problem == "") != (verdict == "true")
        and not (verdict == "true" and any(word in problem for word in _ELSEWHERE))
    ]
    assert differing == []
    assert 20 < ours.count("") < _TIMES / 2  # both verdicts were asked for


def _problem(read: Callable[[bytes], object], document: bytes) -> str:
    try:
        read(document)
    except AssertionError:
        return "another key"
    except Exception as error:
        return str(error) or "refused"
    return ""
