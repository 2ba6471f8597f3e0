"""Root chains: what each document says, who signs it, and what is edited before and after."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field

from appliance.trust.keys import PrivateKey
from tests.corpus.builder.cases import Data
from tests.corpus.builder.words import number_of
from tests.support.bundles import key, keyid, payload_of, root_document, sign_root

_COMPANY, _BULK = 200, 200_000  # numbers of keys that nobody else has

Edits = Mapping[str, Sequence[Callable[[bytes], bytes]]]


class Document(Data):
    """One root document: ``keys`` in both roles, each role with ``threshold`` (default: all keys).

    ``also`` sign it beside the keys, ``by`` instead of them.  ``strangers`` is how many more keys it holds,
    which no other document has and no role names; ``bulk`` as many ML-DSA-87 keys that no role names, the same in
    each document.  ``company`` is how many more people, the same in each document, are in both roles and sign.
    """

    keys: tuple[str, ...]
    threshold: int | None = None
    release: tuple[str, ...] = ()
    release_threshold: int | None = Field(None, alias="release threshold")
    by: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    version: int | None = None
    strangers: int = 0
    bulk: int = 0
    company: int = 0

    def make(self, position: int, edits: Edits) -> bytes:
        """The signed document at ``position`` of a chain."""
        data = _signed(self, position)
        if before := edits.get(f"root {position}"):
            data = sign_root(_apply(before, payload_of(data)), self.signers)
        return _apply(edits.get(f"root {position} envelope", ()), data)

    @property
    def signers(self) -> tuple[int, ...]:
        """Whose signatures it gets."""
        return (*map(number_of, self.by or (*self.keys, *self.also)), *self._company)

    @property
    def _company(self) -> range:
        return range(_COMPANY, _COMPANY + self.company)

    def write(self, position: int) -> bytes:
        """The document as it is before anybody edits it."""
        return root_document(
            self.version or position,
            (*map(number_of, self.keys), *self._company),
            signed_by=self.signers,
            threshold=self.threshold or sum(1 for person in self.keys if not person.endswith("-pq")),
            revoked=tuple(map(number_of, self.revoked)),
            change=partial(self._change, position),
        )

    def _change(self, position: int, document: dict[str, Any]) -> None:
        role = document["roles"]["release"]
        for number in range(10_000 * position, 10_000 * position + self.strangers):
            public = PrivateKey(ec.derive_private_key(number, ec.SECP256R1())).public
            document["keys"][public.keyid] = {"label": f"stranger {number}", "use": "demo", "spki": public.spki()}
        document["keys"].update(_bulk(self.bulk))
        if self.release:
            numbers = tuple(map(number_of, self.release))
            role["keyids"] = sorted(map(keyid, numbers))
            role["threshold"] = len(numbers)
            for number in numbers:
                entry = {"label": f"signer {number}", "use": "production", "spki": key(number).public.spki()}
                document["keys"][keyid(number)] = entry
        if self.release_threshold is not None:
            role["threshold"] = self.release_threshold


@cache
def _bulk(keys: int) -> Mapping[str, Mapping[str, str]]:
    """As many keys as a document names them."""
    publics = (key(_BULK + number).public for number in range(keys))
    return {public.keyid: {"label": "bulk", "use": "demo", "spki": public.spki()} for public in publics}


def make_chain(documents: Sequence[Document], edits: Edits) -> tuple[bytes, ...]:
    """All documents, signed."""
    return tuple(document.make(position, edits) for position, document in enumerate(documents, start=1))


@cache
def _signed(document: Document, position: int) -> bytes:
    """The same bytes each time, as of a document that was signed once and is carried in every bundle."""
    return document.write(position)


def _apply(edits: Sequence[Callable[[bytes], bytes]], data: bytes) -> bytes:
    for edit in edits:
        data = edit(data)
    return data
