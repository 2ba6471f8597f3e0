"""What a site's log and receipts say: the details of each event, typed.

A log may hold lines of a later version; what is not of these forms is shown as it is and
judged by nobody.  All text is printable ASCII (``model/documents/log.py``: ``ascii_text``).
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from appliance.model.base import Strict
from appliance.model.documents.bundle import SumsDigest
from appliance.model.documents.log import Head, LogEntry
from appliance.model.documents.override import Allowance
from appliance.model.jsonform import canonical_json
from appliance.model.limits import MAX_JSON_INTEGER, MAX_NAME
from appliance.model.names import HostPath, Name, Sha256, Version
from appliance.model.times import Time

Text = Annotated[str, Field(max_length=1000, pattern=r"\A[ -~]*\z")]


class Refusal(Strict):
    """Why a bundle was refused: the error's stable reference, what it says, and where."""

    reference: str = Field(pattern=r"\A[a-z0-9-]{1,64}\z")
    what: Text
    where: Text


class RootVersion(Strict):
    """A root document: its number, and the SHA-256 of its payload, which no signature changes."""

    version: int = Field(ge=1)
    sha256: Sha256


class SignedBy(Strict):
    """A key whose signature held as one of ``role``, with what the root document calls it."""

    role: Text
    keyid: Sha256
    label: Text
    use: Text


class BundleVersion(Strict):
    """A bundle: its name, its version, and the SHA-256 of its SHA256SUMS."""

    name: Name
    version: Version
    sha256sums: Sha256


class Verified(BundleVersion):
    """An accepted bundle, as its signed statement describes it."""

    created: Time
    expires: Time
    files: int
    bytes: int


class Verification(Strict):
    """One verification: details of the events ``import`` and ``verify``.

    ``sums`` are the digests of SHA256SUMS as it was found, None when it could not be read.
    ``trusted_root`` is the SHA-256 of the payload of the root document that was trusted, None
    when the file was none; ``root`` is the newest that it led to.  Of a refused bundle nothing
    is said that was not verified.
    """

    result: Literal["accepted", "refused"]
    sums: SumsDigest | None
    bundle: Verified | None
    refusal: Refusal | None
    trusted_root: Sha256 | None
    root: RootVersion | None
    signers: tuple[SignedBy, ...]
    tool: Text


class Switch(BundleVersion):
    """Details of ``switch``: which version is current now, and which was before."""

    previous: Version | None


class OverrideSignature(Strict):
    """A signature of an override, base64."""

    keyid: Sha256
    sig: str


class OverrideEnvelope(Strict):
    """An override as its signers made it: in canonical JSON, the very file."""

    payload: str
    payload_type: str = Field(alias="payloadType")
    signatures: tuple[OverrideSignature, ...]


class Overridden(BundleVersion):
    """Details of ``override``: a bundle that was refused and let in or made current all the same.

    ``used`` is what nothing but the override has allowed; the rest is what the signers have
    signed, the ids of their keys, and the override itself.
    """

    used: tuple[Allowance, ...]
    site: Name
    allows: tuple[Allowance, ...]
    reason: Text
    created: Time
    expires: Time
    keyids: tuple[Sha256, ...]
    envelope: OverrideEnvelope


class Rebuilt(Strict):
    """Details of ``rebuild``: what the site remembers was made anew.

    ``kept`` says whether the old state could still be read and has its share in it.
    ``bundles`` are the highest versions of the newest epoch, ``roots`` how many root documents there are.
    """

    kept: bool
    roots: int
    bundles: tuple[BundleVersion, ...]


class RootChange(RootVersion):
    """Details of ``root``: a newest root document that this log did not know."""

    previous: RootVersion | None


class KvCache(Strict):
    """What vLLM logged of the KV cache of a model on GPUs, when it last started.

    ``tokens`` fit into it in sequences of ``max_model_len``; ``utilization`` is the part of each
    GPU's memory that vLLM was given, None where the host does not say it.
    """

    tokens: int = Field(ge=0, le=MAX_JSON_INTEGER)
    max_model_len: int = Field(ge=1, le=16_777_216)
    utilization: str | None = Field(default=None, pattern=r"\A0\.[0-9]{1,4}\z")


ListName = Annotated[
    str, Field(max_length=MAX_NAME + len("+draft"), pattern=r"\A[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?:\+draft)?\z")
]
"""The name of a list of weights on a host."""


class Model(Strict):
    """A model that runs on a host.

    ``image`` is the digest of the image that its container was made of, ``weights`` the
    SHA-256 of the list (lines as in SHA256SUMS, paths below the model) that its weights
    are checked by at each start.  ``beside`` has the same of further weights by the names of their
    lists: ``MODEL+draft`` are weights that guess its tokens, others adapters under their names.
    ``kv_cache`` is there for a model on GPUs that has logged it.
    """

    image: str = Field(pattern=r"\Asha256:[0-9a-f]{64}\z")
    weights: Sha256
    beside: dict[ListName, Sha256] = Field(default={}, exclude_if=lambda beside: not beside)
    kv_cache: KvCache | None = Field(default=None, exclude_if=lambda cache: cache is None)


class Observed(Strict):
    """What runs on a host, as it says itself.

    ``files`` are the SHA-256 of units and configuration by path, ``packages`` the versions
    of all OS packages, ``idle`` the timers, path and socket units of systemd that every boot
    starts and that did not run.
    """

    system: Text
    kernel: Text
    models: dict[Name, Model]
    files: dict[HostPath, Sha256]
    packages: dict[Text, Text]
    idle: tuple[Text, ...] = ()


class Install(Observed):
    """Details of ``install``: what a host runs, and the bundle that it was installed from."""

    host: Text
    bundle: BundleVersion


class Wiped(Strict):
    """What a host lost when it was taken out of the site.

    ``certificates`` are the serial numbers that were revoked, in lower-case hexadecimal;
    ``files`` and ``bytes`` count what was overwritten: weights, keys, logs.
    """

    certificates: tuple[Annotated[str, Field(pattern=r"\A[0-9a-f]{1,40}\z")], ...]
    files: int = Field(ge=0)
    bytes: int = Field(ge=0)


class Removed(Wiped):
    """Details of ``remove``: a host belongs to the site no more."""

    host: Text


Details = Verification | Switch | Overridden | Rebuilt | RootChange | Install | Removed
FORMS: Mapping[str, type[Details]] = {
    "import": Verification,
    "verify": Verification,
    "switch": Switch,
    "override": Overridden,
    "rebuild": Rebuilt,
    "root": RootChange,
    "install": Install,
    "remove": Removed,
}


def details_of(entry: LogEntry) -> Details | None:
    """The details of an entry by its event; None for an event or a form that we do not know."""
    try:
        return FORMS[entry.event].model_validate_json(canonical_json(entry.details))
    except (KeyError, ValidationError):
        return None


class Receipt(Strict):
    """The predicate of a receipt: a verification, when it was, and where it stands in the site's log.

    ``log`` is None for a verification that belongs to no site.
    """

    event: Literal["import", "verify"]
    time: Time
    verification: Verification
    log: Head | None


class ExportedHead(Strict):
    """The predicate of an exported head: how far the log went at ``time``; ``bytes`` counts them."""

    time: Time
    log: Head
    bytes: int = Field(ge=0)
    tool: Text
