"""The profile CNSA 2.0, demanded and not."""

from pathlib import Path

import pytest

from appliance.errors import NotTrusted
from tests.corpus.builder.build import write
from tests.corpus.builder.cases import Case, group
from tests.support.bundles import CNSA, FIRST, SECOND, root_document, sha384_list_of


def test_a_bundle_for_the_profile_is_good_for_everybody(tmp_path: Path) -> None:
    written = CNSA.write(tmp_path)
    assert len(written.verify("cnsa-2.0").signers) == len(written.verify().signers) == 4


@pytest.mark.parametrize("case", group("profile"), ids=lambda case: str(case.name))
def test_what_the_profile_wants_only_who_demands_it_refuses(case: Case, tmp_path: Path) -> None:
    """tests/unit/test_corpus.py shows what it is refused for."""
    assert write(case, tmp_path).verify().signers


def test_a_chain_that_has_co_signers_from_later_on_is_trusted_from_there(tmp_path: Path) -> None:
    chain = (root_document(1, (FIRST, SECOND)), root_document(2, (11, 12, 1011, 1012)))
    recipe = CNSA.but(roots=chain)
    with pytest.raises(NotTrusted) as caught:
        recipe.write(tmp_path / "1").verify("cnsa-2.0")
    assert (caught.value.reference, caught.value.where) == ("root-not-co-signed", "trust/1.root.json")
    recipe.but(trusted=chain[1]).write(tmp_path / "2").verify("cnsa-2.0")


def test_two_lists_are_not_explained(tmp_path: Path) -> None:
    two = CNSA.but(lists=lambda files: {**sha384_list_of(files), **sha384_list_of({})})
    written = two.write(tmp_path)
    for profiles, reference in (((), "index-mismatch"), (("cnsa-2.0",), "sha384-list-missing")):
        with pytest.raises(NotTrusted) as caught:
            written.verify(*profiles)
        assert caught.value.reference == reference


def test_all_files_with_another_sha384_are_named(tmp_path: Path) -> None:
    def lists(files: object) -> dict[str, bytes]:
        return sha384_list_of({**CNSA.files, "bundle.json": b"", "verify.sh": b""})

    with pytest.raises(NotTrusted) as caught:
        CNSA.but(lists=lists).write(tmp_path).verify("cnsa-2.0")
    assert [problem.where for problem in caught.value.problems] == ["bundle.json", "verify.sh"]
    assert all(len(problem.found) == 96 for problem in caught.value.problems)
