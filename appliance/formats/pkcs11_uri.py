"""PKCS#11 URIs (RFC 7512): which key on which token, through which module.

What is read is what RFC 7512 names, less the attributes of the library, which an explicit
module makes idle.  Unknown attributes are refused, so that a slip of the pen cannot widen
the search.  A PIN in the URI is refused: argument lists are public on the host.  No error
repeats a value, because what was meant as a PIN may stand anywhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

from appliance.errors import BadInput

SCHEME = "pkcs11:"
ObjectType = Literal["private", "public", "cert"]

_TOKEN = ("token", "manufacturer", "serial", "model", "slot-description", "slot-manufacturer")
_PATH = (*_TOKEN, "slot-id", "object", "id", "type")
_QUERY = ("module-path", "pin-source")
_TYPES: Mapping[bytes, ObjectType] = {b"private": "private", b"public": "public", b"cert": "cert"}
# pk11-pchar and pk11-qchar of RFC 7512, section 2.3
_VALUES = {
    "path": re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&-]|%[0-9A-Fa-f]{2})*"),
    "query": re.compile(r"(?:[A-Za-z0-9._~:\[\]@!$'()*+,=/?|-]|%[0-9A-Fa-f]{2})*"),
}


@dataclass(frozen=True)
class Pkcs11Uri:
    """What a key has to be; None and missing entries leave it open.

    ``token`` holds what the token and its slot have to say of themselves, by the names of
    RFC 7512.  ``shown`` is the URI for people: its path, without the query.
    """

    token: Mapping[str, str]
    slot_id: int | None
    label: str | None
    id: bytes | None
    type: ObjectType | None
    module: Path | None
    pin_source: Path | None
    shown: str


def is_pkcs11_uri(text: str) -> bool:
    """Whether ``text`` names a key on a token; else it is a file."""
    return text[: len(SCHEME)].lower() == SCHEME


def parse_pkcs11_uri(text: str) -> Pkcs11Uri:
    """Read a URI.  Raises BadInput (``pkcs11-pin-value``, ``pkcs11-uri``)."""
    if "pin-value" in text.lower():
        raise BadInput(
            "pkcs11-pin-value",
            "a PIN does not belong in the URI, where every process on the host can read it",
            hint="change that PIN if others use this host; then give pin-source=file:/path in the URI, "
            "or APPLIANCE_KEY_PASSPHRASE, or run the command in a terminal",
        )
    path, _, query = text[len(SCHEME) :].partition("?")
    shown = SCHEME + ";".join(part for part in path.split(";") if part.partition("=")[0] in _PATH)
    try:
        values = _attributes(path, ";", _PATH, "path")
        settings = _attributes(query, "&", _QUERY, "query")
        return Pkcs11Uri(
            token={name: _text(name, values[name]) for name in _TOKEN if name in values},
            slot_id=_slot_id(values.get("slot-id")),
            label=_text("object", values["object"]) if "object" in values else None,
            id=values.get("id"),
            type=_type(values.get("type")),
            module=_module(settings.get("module-path")),
            pin_source=_pin_source(settings.get("pin-source")),
            shown=shown,
        )
    except ValueError as error:
        raise BadInput(
            "pkcs11-uri",
            f"this is not a PKCS#11 URI that can be used: {error}",
            where=shown,
            hint="write pkcs11:token=NAME;object=LABEL?module-path=/path/module.so, with %20 for a space (RFC 7512)",
        ) from None


def uri_part(label: str | None, identity: bytes | None) -> str:
    """The part of a URI that names one object, for messages; without what is not known of it."""
    parts = []
    if label is not None:
        # A key may be called so, and a URI with that word is refused.
        name = re.sub("(?i)(?<=pin)-(?=value)", "%2D", quote(label, safe=""))
        parts.append(f"object={name}")
    if identity is not None:
        parts.append(f"id={''.join(f'%{byte:02x}' for byte in identity)}")
    return ";".join(parts)


def _attributes(text: str, separator: str, known: tuple[str, ...], part: Literal["path", "query"]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, entry in enumerate(text.split(separator) if text else (), start=1):
        name, equals, value = entry.partition("=")
        if not equals:
            raise ValueError(f"attribute {number} of its {part} has no '='")
        if name not in known:
            raise ValueError(f"attribute {name!r} is not one of {', '.join(known)} in its {part}")
        if name in found:
            raise ValueError(f"attribute {name} appears twice")
        if not _VALUES[part].fullmatch(value):
            raise ValueError(f"the value of {name} has a character that must be written as %XX")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"the value of {name} is not UTF-8") from None
    if "\0" in text:
        raise ValueError(f"the value of {name} holds a NUL")
    return text


def _slot_id(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(rb"[0-9]{1,20}", value) or int(value) >= 2**64:
        raise ValueError("slot-id is not a decimal number below 2^64")
    return int(value)


def _type(value: bytes | None) -> ObjectType | None:
    if value is None:
        return None
    if value not in _TYPES:
        raise ValueError(f"type is not one of {', '.join(_TYPES.values())}")
    return _TYPES[value]


def _module(value: bytes | None) -> Path | None:
    if value is None:
        return None
    path = Path(_text("module-path", value))
    if not path.is_absolute():  # the loader would look for a bare name wherever LD_LIBRARY_PATH says
        raise ValueError("module-path is not an absolute path")
    return path


def _pin_source(value: bytes | None) -> Path | None:
    if value is None:
        return None
    match = re.fullmatch(r"file:(?://)?(/[^/].*)", _text("pin-source", value), re.DOTALL)
    if match is None:
        raise ValueError("pin-source is not file: with an absolute path")
    return Path(match[1])
