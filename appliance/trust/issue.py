"""Root documents as their keepers make them: a first one, and the one after another.

What is made here is not signed yet.  A key goes to the roles of its algorithm: those that
sign, or those that co-sign.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import ValidationError

from appliance.errors import BadInput
from appliance.model.documents.root import (
    RELEASE_ROLES,
    ROOT_PAYLOAD_TYPE,
    ROOT_ROLES,
    ROOT_SCHEMA,
    Role,
    RoleName,
    Roles,
    RootDocument,
    RootKey,
)
from appliance.model.times import format_time
from appliance.model.value_problem import first_problem
from appliance.trust.dsse import Envelope
from appliance.trust.keys import PublicKey
from appliance.trust.root import role_of

Duty = Literal["root", "release"]
DUTIES: tuple[Duty, ...] = ("root", "release")
_ROLES: Mapping[Duty, tuple[RoleName, RoleName]] = {"root": ROOT_ROLES, "release": RELEASE_ROLES}


@dataclass(frozen=True)
class NewKey:
    """A key that a document is to hold, and what people call it."""

    label: str
    use: Literal["production", "demo"]
    key: PublicKey


@dataclass(frozen=True)
class Amendment:
    """What the next document changes.

    ``add`` are keys by what they are to sign, ``remove`` the ids of keys that no role names
    any more, ``revoke`` of those that no role may ever name again.  A threshold that is not
    given stays; it counts for the keys that sign and for those that co-sign.
    """

    add: Mapping[Duty, Sequence[NewKey]] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    revoke: frozenset[str] = frozenset()
    thresholds: Mapping[Duty, int | None] = field(default_factory=dict)


def first_document(
    keys: Mapping[Duty, Sequence[NewKey]], thresholds: Mapping[Duty, int], *, created: datetime, expires: datetime
) -> RootDocument:
    """Root version 1.  Raises BadInput (``root-*``)."""
    roles = {
        name: ([new.key.keyid for new in keys[duty] if role_of(new.key, _ROLES[duty]) == name], thresholds[duty])
        for duty in DUTIES
        for name in _ROLES[duty]
    }
    return _document(1, _entries({}, keys), roles, (), created, expires)


def next_document(before: RootDocument, change: Amendment, *, created: datetime, expires: datetime) -> RootDocument:
    """The version after ``before``.  Raises BadInput (``root-*``)."""
    gone = change.remove | change.revoke
    revoked = sorted({*before.revoked, *change.revoke})
    roles: dict[RoleName, tuple[list[str], int]] = {}
    for duty in DUTIES:
        added = change.add.get(duty, ())
        for name in _ROLES[duty]:
            role = getattr(before.roles, name)
            keyids = [keyid for keyid in (role.keyids if role else ()) if keyid not in gone]
            keyids += [new.key.keyid for new in added if role_of(new.key, _ROLES[duty]) == name]
            threshold = change.thresholds.get(duty) or (role or getattr(before.roles, duty)).threshold
            roles[name] = (keyids, threshold)
    for new in (new for added in change.add.values() for new in added):
        if new.key.keyid in revoked:
            raise BadInput(
                "root-key-revoked",
                "a key that was revoked cannot come back",
                where=f"key {new.key.keyid}  {new.label}",
                hint="make a new key: appliance keys new KEY.pem",
            )
    kept = {keyid for keyids, _ in roles.values() for keyid in keyids}
    entries = _entries({keyid: entry for keyid, entry in before.keys.items() if keyid in kept}, change.add)
    return _document(before.version + 1, entries, roles, revoked, created, expires)


def unsigned(document: RootDocument) -> Envelope:
    """The envelope that the signatures are put into."""
    return Envelope(ROOT_PAYLOAD_TYPE, document.canonical(), ())


def role_for(document: RootDocument, key: PublicKey, duty: Duty) -> Role | None:
    """The role in ``document`` that a key of this type signs in, if there is one."""
    return dict(document.roles.items()).get(role_of(key, _ROLES[duty]))


def _entries(known: Mapping[str, RootKey], added: Mapping[Duty, Sequence[NewKey]]) -> dict[str, RootKey]:
    """``known`` and what is added, each key under one label and each label for one key."""
    entries = dict(known)
    for news in added.values():
        keyids = [new.key.keyid for new in news]
        for new in news:
            entry = RootKey(label=new.label, use=new.use, spki=new.key.spki())
            if keyids.count(new.key.keyid) > 1 or entries.setdefault(new.key.keyid, entry) != entry:
                raise BadInput(
                    "root-key-twice",
                    "one key is given twice: it would count once",
                    where=f"key {new.key.keyid}  {new.label}",
                    hint="give each person's own key once; a key keeps the label that it has",
                )
    labels = [entry.label for entry in entries.values()]
    for keyid, entry in entries.items():
        if labels.count(entry.label) > 1:
            raise BadInput(
                "root-label-twice",
                "two keys have the same label, which comes from the name of the key's file",
                where=f"key {keyid}  {entry.label}",
                hint="rename the file of one key",
            )
    return entries


def _document(
    version: int,
    keys: Mapping[str, RootKey],
    roles: Mapping[RoleName, tuple[Collection[str], int]],
    revoked: Iterable[str],
    created: datetime,
    expires: datetime,
) -> RootDocument:
    used = {name: (sorted(keyids), least) for name, (keyids, least) in roles.items() if keyids or name in DUTIES}
    for name, (keyids, threshold) in used.items():
        if len(set(keyids)) < len(keyids):
            raise BadInput("root-key-twice", f"the {name} role already has one of the keys", where=_name(version))
        if len(keyids) < threshold:
            raise BadInput(
                "root-threshold-unreachable",
                f"the {name.replace('_', ' ')} role has fewer keys than must sign",
                where=_name(version),
                expected=f"at least {threshold} keys",
                found=str(len(keyids)),
                hint="give a key for everybody who must sign, or lower the threshold",
            )
    try:
        return RootDocument(
            schema_=ROOT_SCHEMA,
            version=version,
            created=format_time(created),
            expires=format_time(expires),
            keys=dict(sorted(keys.items())),
            roles=Roles(**{name: Role(keyids=tuple(ids), threshold=least) for name, (ids, least) in used.items()}),
            revoked=tuple(revoked),
        )
    except ValidationError as error:
        what = f"this cannot be a root document: {first_problem(error)}"
        raise BadInput("root-impossible", what, where=_name(version)) from None


def _name(version: int) -> str:
    return f"root version {version}"
