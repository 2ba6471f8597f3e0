from datetime import timedelta

import pytest

from appliance.errors import NotTrusted
from appliance.model.limits import MAX_CHAIN
from appliance.trust.root import read_root, walk_chain
from tests.support.bundles import (
    FIRST,
    FIRST_PQ,
    NOW,
    RETIRED,
    SECOND,
    STRANGER,
    keyid,
    root_chain,
    root_document,
)
from tests.support.forging import put


@pytest.mark.parametrize("trusted", [0, 1])
def test_every_document_of_the_chain_leads_to_its_newest(trusted: int) -> None:
    newest = walk_chain(root_chain()[trusted], root_chain())
    assert newest.document.version == 2
    assert set(newest.document.roles.release.keyids) == {keyid(FIRST), keyid(SECOND)}
    assert newest.document.revoked == (keyid(RETIRED),)


def test_an_expired_document_in_the_middle_does_not_stop_the_walk() -> None:
    first = root_document(1, (FIRST, SECOND), expires=NOW - timedelta(hours=1))
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


def test_an_epoch_lasts_as_long_as_the_same_people_sign_bundles() -> None:
    both = (FIRST, SECOND)
    two = put("roles/release/threshold", 2)
    retired = (RETIRED,)
    chain = [
        root_document(1, both, threshold=1),
        root_document(2, both, threshold=1, expires=NOW + timedelta(days=800)),
        root_document(3, both, threshold=1, change=two),
        root_document(4, both, threshold=1, change=two, revoked=retired),
        root_document(5, (*both, STRANGER), threshold=1, signed_by=both, change=two, revoked=retired),
        root_document(6, both, threshold=1, change=two, revoked=retired),
        root_document(7, (*both, FIRST_PQ), threshold=1, change=two, revoked=retired),
    ]
    epochs = [walk_chain(chain[0], chain[:length]).lineage.epoch for length in range(1, 8)]
    assert epochs == [1, 1, 3, 3, 5, 6, 6]


def test_a_document_that_was_made_by_a_slow_clock_makes_no_epoch_begin_earlier() -> None:
    slow = put("created", "2020-01-01T00:00:00Z")
    chain = [root_document(1, (FIRST,), threshold=1), root_document(2, (FIRST, SECOND), threshold=1, change=slow)]
    lineage = walk_chain(chain[0], chain).lineage
    assert lineage.epoch == 2
    assert lineage.began == lineage.created == read_root(chain[0], "1.root.json").document.created


def test_keys_of_each_type_have_roles_of_their_own() -> None:
    root = read_root(root_document(1, (FIRST, FIRST_PQ), threshold=1), "root.json")
    assert [name for name, _ in root.document.roles.items()] == [
        "root",
        "release",
        "root_post_quantum",
        "release_post_quantum",
    ]
    assert root.document.canonical() == root.envelope.payload
    for role, number in (("release", FIRST_PQ), ("root_post_quantum", FIRST)):
        wrong = root_document(1, (FIRST, FIRST_PQ), threshold=1, change=put(f"roles/{role}/keyids", [keyid(number)]))
        with pytest.raises(NotTrusted, match="does not take"):
            read_root(wrong, "root.json")


def test_a_role_that_is_not_used_is_left_out() -> None:
    with pytest.raises(NotTrusted, match="left out"):
        read_root(root_document(1, (FIRST,), threshold=1, change=put("roles/root_post_quantum", None)), "root.json")


def test_an_ml_dsa_key_alone_makes_no_root() -> None:
    forged = root_document(2, (FIRST, FIRST_PQ), threshold=1, signed_by=(FIRST_PQ,))
    with pytest.raises(NotTrusted) as caught:
        read_root(forged, "root.json")
    assert caught.value.reference == "root-threshold"
