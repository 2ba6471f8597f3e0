"""Documents that are right but for one thing, and rightly signed: what a signer could write.

Whatever is accepted is held against what an independent look at it says.
"""

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import NotTrusted
from appliance.model.files import TreeEntry
from appliance.trust.policy import Policy
from appliance.trust.verify import VerifiedBundle, verify
from tests.support.bundles import FILES, FIRST, PLAIN, RETIRED, SECOND, Recipe, keyid, root_chain, root_document
from tests.support.json_values import VALUES

_NOW = datetime.now(UTC)
_FIRST_ROOT = root_chain()[0]


class _Memory:
    """A bundle that lies nowhere."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def read(self, path: str, limit: int) -> bytes:
        if path not in self._files or len(self._files[path]) > limit:
            raise NotTrusted("file-missing", "not there, or too large", where=path)
        return self._files[path]

    def listing(self) -> Mapping[str, TreeEntry]:
        found = {path: TreeEntry("file", len(data)) for path, data in self._files.items()}
        for path in self._files:
            parts = path.split("/")
            found |= {"/".join(parts[:depth]): TreeEntry("directory", 0) for depth in range(1, len(parts))}
        return found

    def digests(self, paths: Sequence[str], tap: object = None) -> Iterable[tuple[str, str]]:
        return [(path, hashlib.sha256(self._files[path]).hexdigest()) for path in paths]


def _verdict(recipe: Recipe) -> VerifiedBundle | None:
    trusted = recipe.trusted or recipe.roots[0]
    try:
        return verify(_Memory(recipe.documents()), trusted, Policy(now=_NOW))
    except NotTrusted:
        return None


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _places(item, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _change(data: st.DataObject, value: dict[str, Any]) -> None:
    """Replace, repeat, take away or add one or two things."""
    for _ in range(data.draw(st.integers(1, 2))):
        places = list(_places(value))
        *above, key = data.draw(st.sampled_from(places))
        parent = _at(value, tuple(above))
        other = copy.deepcopy(_at(value, data.draw(st.sampled_from(places))))
        match data.draw(st.sampled_from(["any", "other", "near", "delete", "add"])):
            case "any":
                parent[key] = data.draw(VALUES)
            case "other":
                parent[key] = other
            case "near":
                parent[key] = _near(parent[key])
            case "delete":
                del parent[key]
            case _ if isinstance(parent, list):
                parent.insert(key, other)
            case _:
                parent[data.draw(st.text("abc_", max_size=3))] = other


def _near(value: Any) -> Any:
    match value:
        case bool() | None:
            return 0
        case int():
            return value + 1
        case str():
            return value + "/.." if "/" in value else value[1:]
        case _:
            return [value]


@given(st.data())
def test_a_statement_that_is_accepted_says_what_the_bundle_is(data: st.DataObject) -> None:
    bundle = _verdict(PLAIN.but(statement=lambda value: _change(data, value)))
    if bundle is not None:
        predicate = bundle.statement.predicate
        assert (predicate.name, predicate.version) == ("tiny", "1.0.0")  # as bundle.json has them
        assert predicate.files == len(bundle.digests)
        assert predicate.minimum_root_version == 1
        assert predicate.expires > _NOW.strftime("%Y-%m-%dT%H:%M:%SZ")


@given(st.data())
def test_a_bundle_json_that_is_accepted_explains_the_files(data: st.DataObject) -> None:
    bundle = _verdict(PLAIN.but(index=lambda value: _change(data, value)))
    if bundle is not None:
        index = bundle.index
        told = {file.path: file for artifact in index.artifacts for file in artifact.files}
        told |= {file.path: file for file in index.shared}
        assert set(FILES) <= set(told) <= {*FILES, "verify.sh"}
        assert all(told[path].sha256 == hashlib.sha256(FILES[path]).hexdigest() for path in FILES)
        assert all(told[path].size == len(FILES[path]) for path in FILES)


@given(st.data())
def test_a_root_document_that_is_accepted_was_signed_by_enough(data: st.DataObject) -> None:
    people = {keyid(number): number for number in (FIRST, SECOND, RETIRED)}
    written: dict[str, Any] = {}

    def change(value: dict[str, Any]) -> None:
        _change(data, value)
        written.update(value)

    signers = data.draw(st.sets(st.sampled_from(sorted(people.values())), min_size=1))
    second = root_document(2, (FIRST, SECOND), signed_by=tuple(signers), revoked=(RETIRED,), change=change)
    bundle = _verdict(Recipe(roots=(_FIRST_ROOT, second), trusted=_FIRST_ROOT))
    if bundle is not None:
        signed = {keyid(number) for number in signers}
        assert {keyid(FIRST), keyid(RETIRED)} <= signed  # both keys of the first document
        root = written["roles"]["root"]
        assert len(set(root["keyids"]) & signed) >= root["threshold"]
        assert signed <= {keyid(FIRST), keyid(RETIRED), *root["keyids"]}
        release = written["roles"]["release"]
        assert {keyid(FIRST), keyid(SECOND)} <= set(release["keyids"]) - set(written["revoked"])
        assert written["version"] == 2


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), st.binary(max_size=3), max_size=4)
)
def test_whatever_files_are_called_it_is_them_or_none(files: dict[str, bytes]) -> None:
    bundle = _verdict(PLAIN.but(files=files))
    if bundle is not None:
        assert {path: bundle.digests[path] for path in files} == {
            path: hashlib.sha256(data).hexdigest() for path, data in files.items()
        }
