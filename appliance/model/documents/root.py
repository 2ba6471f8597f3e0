"""The root document: which keys there are, what each may sign, and how many must.

The idea is The Update Framework's root role (https://theupdateframework.io); the form
is a DSSE envelope in canonical JSON, so that openssl and jq can check it.
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from appliance.model.base import Strict
from appliance.model.jsonform import canonical_json
from appliance.model.limits import MAX_LABEL, MAX_ROLE_KEYS, MAX_ROOT_KEYS, MAX_ROOT_VERSION, MAX_SPKI
from appliance.model.names import Sha256
from appliance.model.times import Lasting

ROOT_SCHEMA: Literal["appliance.root/v1"] = "appliance.root/v1"
ROOT_PAYLOAD_TYPE: Literal["application/vnd.appliance.root.v1+json"] = "application/vnd.appliance.root.v1+json"

RoleName = Literal["root", "release", "root_post_quantum", "release_post_quantum"]
ROLE_NAMES: tuple[RoleName, ...] = get_args(RoleName)
ROOT_ROLES: tuple[RoleName, RoleName] = ("root", "root_post_quantum")
RELEASE_ROLES: tuple[RoleName, RoleName] = ("release", "release_post_quantum")


class RootKey(Strict):
    """A public key.  Its id is the SHA-256 of its SPKI DER.

    ``spki`` is that DER in base64: the body of the key's PEM file, in one line.  ``use`` is
    ``demo`` for a key that was made to try things out: everything that accepts it says so.
    """

    label: str = Field(min_length=1, max_length=MAX_LABEL, pattern=r"\A[ -~]+\z")
    use: Literal["production", "demo"]
    spki: str = Field(max_length=MAX_SPKI)


class Role(Strict):
    """``threshold`` different keys of ``keyids`` have to sign."""

    keyids: tuple[Sha256, ...] = Field(min_length=1, max_length=MAX_ROLE_KEYS, json_schema_extra={"uniqueItems": True})
    threshold: int = Field(ge=1, le=MAX_ROLE_KEYS)

    @model_validator(mode="after")
    def _reachable(self) -> "Role":
        if len(set(self.keyids)) != len(self.keyids):
            raise ValueError("a key id appears twice")
        if self.threshold > len(self.keyids):
            raise ValueError(f"threshold {self.threshold} cannot be reached with {len(self.keyids)} keys")
        return self


def _left_out(schema: JsonDict) -> None:
    """In JSON such a field is left out and never null."""
    del schema["default"]
    (form,) = [form for form in cast("list[JsonDict]", schema.pop("anyOf")) if form != {"type": "null"}]
    schema.update(form)


class Roles(Strict):
    """``root`` signs root documents, ``release`` signs bundles; ECDSA P-256 keys only.

    The other two co-sign the same with ML-DSA-87 keys, for sites that demand CNSA 2.0.  They
    are roles of their own because one person's two keys must not count as two people.
    """

    root: Role
    release: Role
    root_post_quantum: Role | None = Field(default=None, json_schema_extra=_left_out)
    release_post_quantum: Role | None = Field(default=None, json_schema_extra=_left_out)

    @model_validator(mode="after")
    def _absent_or_there(self) -> "Roles":
        if any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("a role that is not used must be left out, not null")  # null would be a second form
        return self

    def items(self) -> tuple[tuple[RoleName, Role], ...]:
        """The roles that are used, by name."""
        roles = ((name, getattr(self, name)) for name in ROLE_NAMES)
        return tuple((name, role) for name, role in roles if role is not None)


class RootDocument(Lasting):
    """One link of the root chain."""

    schema_: Literal["appliance.root/v1"] = Field(alias="schema")
    version: int = Field(ge=1, le=MAX_ROOT_VERSION)
    keys: dict[Sha256, RootKey] = Field(min_length=1, max_length=MAX_ROOT_KEYS)
    roles: Roles
    revoked: tuple[Sha256, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "RootDocument":
        for _, role in self.roles.items():
            for keyid in role.keyids:
                if keyid not in self.keys:
                    raise ValueError(f"a role names key {keyid}, which the document does not hold")
                if keyid in self.revoked:
                    raise ValueError(f"a role names key {keyid}, which is revoked")
        return self

    def canonical(self) -> bytes:
        """The payload of its envelope."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))


@dataclass(frozen=True)
class Lineage:
    """Where a root document comes from, as far as sites remember it.

    ``documents`` has the SHA-256 of each payload of its chain, from version 1 to its own.
    ``epoch`` is the version of the first document since which the release role (its keys
    and threshold) has not changed.  ``began`` is when that one was created, ``created`` when
    this one was, and neither is before what earlier documents say.
    """

    documents: tuple[str, ...]
    epoch: int
    began: str
    created: str
