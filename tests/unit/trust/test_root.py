from datetime import timedelta

import pytest

from appliance.errors import NotTrusted
from appliance.model.limits import MAX_CHAIN
from appliance.trust.root import new_root, read_root, walk_chain
from tests.support.bundles import FIRST, NOW, RETIRED, SECOND, STRANGER, key, keyid, root_chain, root_document


def test_a_new_root_names_its_keys_in_both_roles() -> None:
    data = new_root(
        [("one", "production", key(FIRST).public), ("two", "demo", key(SECOND).public)],
        threshold=1,
        created=NOW,
        expires=NOW + timedelta(days=365),
        signer=key(FIRST),
    )
    root = read_root(data, "root.json")
    assert root.document.version == 1
    assert root.document.keys[keyid(SECOND)].use == "demo"
    assert set(root.document.roles.root.keyids) == set(root.document.roles.release.keyids) == set(root.keys)
    assert walk_chain(data, [data]) == root


def test_a_root_that_its_signer_cannot_vouch_for_is_useless() -> None:
    data = new_root(
        [("one", "production", key(FIRST).public)],
        threshold=1,
        created=NOW,
        expires=NOW + timedelta(days=365),
        signer=key(STRANGER),
    )
    with pytest.raises(NotTrusted) as caught:
        read_root(data, "root.json")
    assert caught.value.reference == "root-threshold"
    assert (caught.value.expected, caught.value.found) == ("1 valid signatures", "0")


@pytest.mark.parametrize("trusted", [0, 1])
def test_every_document_of_the_chain_leads_to_its_newest(trusted: int) -> None:
    newest = walk_chain(root_chain()[trusted], root_chain())
    assert newest.document.version == 2
    assert set(newest.document.roles.release.keyids) == {keyid(FIRST), keyid(SECOND)}
    assert newest.document.revoked == (keyid(RETIRED),)


def test_an_expired_document_in_the_middle_does_not_stop_the_walk() -> None:
    first = root_document(1, (FIRST, SECOND), expires=NOW - timedelta(days=1))
    assert walk_chain(first, [first, root_document(2, (FIRST, SECOND))]).document.version == 2


def test_a_chain_may_not_be_without_end() -> None:
    first = root_chain()[0]
    for chain in ([], [first] * (MAX_CHAIN + 1)):
        with pytest.raises(NotTrusted) as caught:
            walk_chain(first, chain)
        assert caught.value.reference == "root-chain"


def test_the_wrong_field_is_named() -> None:
    with pytest.raises(NotTrusted, match=r"roles\.root\.threshold"):
        read_root(root_document(1, (FIRST,), threshold=0), "root.json")
    with pytest.raises(NotTrusted, match="threshold 2 cannot be reached with 1 keys"):
        read_root(root_document(1, (FIRST,), threshold=2), "root.json")


def test_the_file_is_named() -> None:
    with pytest.raises(NotTrusted) as caught:
        read_root(b"{}", "/media/stick/root.json")
    assert caught.value.where == "/media/stick/root.json"
