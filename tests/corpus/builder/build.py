"""From a case to a bundle: the operations in their order, each at its place.

First everything ``in`` a document is collected, so that what is signed is signed as it comes
out; then the bundle is written; then what is done ``on`` the disk is done.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from appliance.model.documents.override import OVERRIDE_PAYLOAD_TYPE
from tests.corpus.builder import changes, disk
from tests.corpus.builder.cases import Case, Operation, load_bases
from tests.corpus.builder.chain import Document, make_chain
from tests.corpus.builder.words import expand, number_of, to_bytes
from tests.support import overrides
from tests.support.bundles import FILES, Recipe, Written, keyid, sha384_list_from, sha384_list_of

_DOCUMENTS = ("statement", "SHA256SUMS", "SHA384SUMS", "bundle.json", "signatures", "trusted")
_NOWHERE = "/nonexistent"


class _Draft:
    """A bundle to be, as operations have changed it so far."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = dict(FILES)
        self.omitted: list[str] = []
        self.chain: list[Document] = []
        self.signers: list[str] = []
        self.trusted: Document | int = 1
        self.sha384 = "absent"
        self.edits: defaultdict[str, list[Callable[[bytes], bytes]]] = defaultdict(list)

    def do(self, place: str, verb: str, argument: Any) -> None:
        match place, verb:
            case "files", "add":
                self.files |= {path: to_bytes(content) for path, content in argument.items()}
            case "files", "only":
                self.files = {path: to_bytes(content) for path, content in argument.items()}
            case "files", "crowd":
                self.files |= {f"models/crowd/{number}": b"" for number in range(argument)}
            case "files", "leave out":
                self.omitted += argument
            case "chain", _:
                self._do_chain(verb, argument)
            case "signers", "are":
                self.signers = argument
            case "version", "is":
                self.edits["statement"].append(partial(changes.change, "set", argument={"predicate/version": argument}))
                self.edits["bundle.json"].append(partial(changes.change, "set", argument={"version": argument}))
            case "SHA384SUMS", "is":
                self.sha384 = argument
            case "trusted", "document":
                self.trusted = argument if isinstance(argument, int) else Document.model_validate(argument)
            case _ if place in _DOCUMENTS or place.startswith(("root ", "signature ")):
                self.edits[place].append(lambda data: changes.change(verb, data, argument))
            case _:
                raise ValueError(f"there is no {verb!r} in {place!r}")

    def _do_chain(self, verb: str, argument: Any) -> None:
        match verb:
            case "documents":
                self.chain = [Document.model_validate(value) for value in argument]
            case "add":
                self.chain.append(Document.model_validate(argument))
            case "longer":
                self.chain += [Document.model_validate(argument["document"])] * argument["by"]
            case _:
                raise ValueError(f"there is no {verb!r} in 'chain'")

    def recipe(self) -> Recipe:
        """What is written, once everything was said."""
        chain = make_chain(self.chain, self.edits)
        theirs = self.trusted
        trusted = chain[theirs - 1] if isinstance(theirs, int) else theirs.make(1, {})
        return Recipe(
            files=self.files,
            roots=chain,
            signers=tuple(map(number_of, self.signers)),
            trusted=self._edited("trusted", trusted),
            omitted=tuple(self.omitted),
            index_bytes=partial(self._edited, "bundle.json"),
            lists=self._sha384,
            sums=partial(self._edited, "SHA256SUMS"),
            statement_bytes=partial(self._edited, "statement"),
            signature_bytes=self._edited_signature,
        )

    def _sha384(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        if self.sha384 == "absent":
            return {}
        (data,) = sha384_list_of(files).values()
        data = self._edited("SHA384SUMS", data)
        (name,) = sha384_list_from(b"another list" if self.sha384 == "misnamed" else data)
        return {name: data}

    def _edited(self, place: str, data: bytes) -> bytes:
        for edit in self.edits[place]:
            data = edit(data)
        return data

    def _edited_signature(self, data: bytes) -> bytes:
        places = [place for place in self.edits if place.startswith("signature ")]
        signers = {place: keyid(number_of(place.removeprefix("signature "))).encode() for place in places}
        for place in ["signatures", *(place for place in places if signers[place] in data)]:
            data = self._edited(place, data)
        return data


def operations_of(case: Case, outside: str = _NOWHERE) -> list[Operation]:
    """What is done from nothing: the base's operations, then the case's, all words put in."""
    return _expanded((*load_bases()[case.base], *case.do), outside)


def recipe_of(case: Case, outside: str = _NOWHERE) -> Recipe:
    """The bundle as its signers made it, before anything is done to it on the disk."""
    draft = _Draft()
    for operation in operations_of(case, outside):
        if not operation.on_disk:
            draft.do(operation.place, operation.verb, operation.argument)
    return draft.recipe()


def write(case: Case, folder: Path) -> Written:
    """Make ``folder/bundle``, ``folder/root.json`` (trusted) and ``folder/outside``, where nobody may write.

    Raises ValueError when the case does not say something that can be done, CannotBuild
    when this user may not do it.
    """
    outside = folder / "outside"
    outside.mkdir(parents=True)
    (outside / "secret").write_bytes(b"somebody else's\n")
    recipe = recipe_of(case, os.fspath(outside))
    written = recipe.write(folder)
    _apply(operations_of(case, os.fspath(outside)), written, recipe)
    return written


def meanwhile(case: Case, written: Written) -> None:
    """Do what ``case`` does while a verifier works."""
    outside = os.fspath(written.path.parent / "outside")
    _apply(_expanded(case.meanwhile, outside), written, recipe_of(case, outside))


def write_override(case: Case, written: Written) -> Path:
    """The override that is given with the bundle, beside it; for the site plant-7 unless the case says otherwise."""
    assert case.override is not None
    content, over = overrides.payload(written, case.override.allows), case.override.over or OVERRIDE_PAYLOAD_TYPE
    operations = _expanded(case.override.do, _NOWHERE)
    for operation in operations:
        if operation.place == "override":
            content = changes.change(operation.verb, content, operation.argument)
    data = overrides.sign(content, tuple(map(number_of, case.override.by)), over)
    if over != OVERRIDE_PAYLOAD_TYPE:
        data = changes.change("set", data, {"payloadType": OVERRIDE_PAYLOAD_TYPE})
    for operation in operations:
        if operation.place == "override envelope":
            data = changes.change(operation.verb, data, operation.argument)
    path = written.path.parent / "override.json"
    path.write_bytes(data)
    return path


def _apply(operations: Iterable[Operation], written: Written, recipe: Recipe) -> None:
    for operation in operations:
        if operation.on_disk:
            disk.apply(operation, written, recipe)


def _expanded(operations: Iterable[Operation], outside: str) -> list[Operation]:
    return [
        Operation(expand(each.place, outside), each.on_disk, each.verb, expand(each.argument, outside))
        for each in operations
    ]
