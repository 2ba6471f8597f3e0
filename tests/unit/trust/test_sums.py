import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.model.names import path_problem
from appliance.trust import sums
from appliance.trust.sums import digest_of, format_sums, parse_sums
from tests.corpus.builder.build import recipe_of
from tests.corpus.builder.cases import Case, group
from tests.support.bundles import FILES, sums_of

_DIGEST = hashlib.sha256(b"").hexdigest()
_COMPONENT = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)
_PATH = st.lists(_COMPONENT, min_size=1, max_size=4).map("/".join).filter(lambda path: not path_problem(path))


@given(st.dictionaries(_PATH, st.binary(max_size=4), max_size=12))
def test_every_list_that_can_be_written_reads_back_the_same(files: dict[str, bytes]) -> None:
    digests = {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    try:
        data = format_sums(digests)
    except ValueError:
        return  # two of the paths collide, or one lies where no list reaches
    if not digests:
        return
    assert parse_sums(data) == digests
    assert list(parse_sums(data)) == sorted(digests, key=str.encode)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_fail_in_another_way(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_sums(data)


@pytest.mark.parametrize("case", [*group("paths"), *group("list")], ids=lambda case: str(case.id))
def test_a_list_that_may_not_be_is_refused_with_a_reason(case: Case) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_sums(recipe_of(case).documents()["SHA256SUMS"])


def test_the_reason_names_the_line() -> None:
    good = sums_of(FILES)
    with pytest.raises(ValueError, match=f"line {len(FILES) + 1} "):
        parse_sums(good + good)
    with pytest.raises(ValueError, match="line 1: 'AAA"):
        parse_sums(b"A" * 64 + b"  x\n")


def test_what_is_not_accepted_is_not_written_either() -> None:
    for path in ("../x", "sigs/x", "SHA256SUMS", "a\nb", ""):
        with pytest.raises(ValueError, match="path"):
            format_sums({path: _DIGEST})
    with pytest.raises(ValueError, match="one file on some file systems"):
        format_sums({"x": _DIGEST, "X": _DIGEST})
    with pytest.raises(ValueError, match="directories 'a' and 'A'"):
        format_sums({"a/x": _DIGEST, "A/y": _DIGEST})
    with pytest.raises(ValueError, match="a file and a directory"):
        format_sums({"a": _DIGEST, "a/b": _DIGEST})


def test_a_list_beyond_any_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = sums_of(FILES)
    monkeypatch.setattr(sums, "MAX_FILES", 3)
    with pytest.raises(ValueError, match="more than 3 files"):
        parse_sums(data)
    monkeypatch.setattr(sums, "MAX_SUMS", len(data) - 1)
    with pytest.raises(ValueError, match="larger than"):
        parse_sums(data)


@pytest.mark.parametrize("path", ["SigS/x", "TRUST", "Statement.json", "sha256sums/x"])
def test_what_is_added_later_is_reserved_in_any_case(path: str) -> None:
    with pytest.raises(ValueError, match="signed lists do not reach"):
        format_sums({path: _DIGEST})


def test_the_statement_gets_two_digests() -> None:
    assert set(digest_of(b"x")) == {"sha256", "sha384"}
