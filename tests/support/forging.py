"""What tests do to single documents and bundles in their hands.

Whole bad bundles are data: tests/corpus.
"""

from typing import Any

from appliance.formats.dsse import STATEMENT_PAYLOAD_TYPE, pae
from appliance.trust.dsse import encode_signature_file
from tests.support.bundles import Change, Written, key, keyid


def put(path: str, value: Any) -> Change:
    """Set what stands at ``a/b/0/c``."""

    def change(document: dict[str, Any]) -> None:
        parent, last = _find(document, path)
        parent[last] = value

    return change


def delete(path: str) -> Change:
    """Take away what stands at ``a/b/0/c``."""

    def change(document: dict[str, Any]) -> None:
        parent, last = _find(document, path)
        del parent[last]

    return change


def sign_with(number: int, written: Written) -> None:
    """Add the signature of any key."""
    statement = (written.path / "statement.json").read_bytes()
    signature = key(number).sign(pae(STATEMENT_PAYLOAD_TYPE, statement))
    path = written.path / f"sigs/{keyid(number)}.sigstore.json"
    path.write_bytes(encode_signature_file(keyid(number), statement, signature))


def _find(document: Any, path: str) -> tuple[Any, str | int]:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in parents:
        document = document[part]
    return document, last
