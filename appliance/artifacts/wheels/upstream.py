"""What publishers have attested of wheels (PEP 740), asked of the index that each wheel comes from.

An attestation is a publisher's statement, in Sigstore's transparency log, that this file came out of a workflow of a
repository.  The index says which repository that is, and the certificate has to say the same.

    attestations/<SHA-256 of the answer>/<wheel>.provenance      the answer of the index, byte for byte

An index may add attestations later, so its answer lies beside the lock.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from packaging.utils import parse_wheel_filename

from appliance.artifacts.base import Context
from appliance.errors import BadInput, NotTrusted
from appliance.formats.attestations import Attestation, check_statement, parse_provenance
from appliance.model.addresses import is_fetchable
from appliance.model.documents.lock import LockedFile
from appliance.model.documents.upstream import UpstreamFinding, UpstreamState
from appliance.model.documents.wheel_set import WheelSet
from appliance.model.limits import MAX_PROVENANCE
from appliance.tools import sigstore
from appliance.tools.http import PARALLEL, get
from appliance.tools.simple_index import provenances_of

_ACCEPT = "application/vnd.pypi.integrity.v1+json, application/json;q=0.5"


@dataclass(frozen=True)
class Attested:
    """What was found for one wheel: the index's answer, and the repositories whose attestations hold."""

    finding: UpstreamFinding
    evidence: LockedFile | None = None
    repositories: frozenset[str] = frozenset()


def not_asked(files: Iterable[LockedFile], why: str) -> list[Attested]:
    """For wheels of which no index was asked."""
    return [_found(file, "unchecked", why) for file in files]


def attested(files: Sequence[LockedFile], wheels: WheelSet, artifact: str, context: Context) -> list[Attested]:
    """What the indexes of ``wheels`` publish for ``files``; every attestation that is there has to hold.

    Raises NotTrusted (``attestation-invalid``, ``attestation-missing``, ``attestation-publisher``) and BadInput as
    ``provenances_of`` does, and (``tool-missing``) where there are attestations and nothing that verifies them.
    """
    with ThreadPoolExecutor(PARALLEL) as pool:
        addresses = list(pool.map(lambda file: _address(file, wheels, context), files))
        answers = pool.map(lambda address: _answer(address, context) if address else None, addresses)
        # Indexes are what is waited for: what they answer is verified in this one thread, in the order of the files.
        found = [
            attestations_of(file, address, answer, context)
            if address and answer is not None
            else _found(file, "nothing", "the index has no attestation of it")
            for file, address, answer in zip(files, addresses, answers, strict=True)
        ]
    check_publishers(found, wheels, artifact)
    verified = sum(one.finding.state == "verified" for one in found)
    context.progress.step(f"{artifact}: {verified} of {len(found)} wheels have attestations that hold")
    return found


def _address(file: LockedFile, wheels: WheelSet, context: Context) -> str | None:
    """Where its index has the attestations of a wheel, if it has any."""
    bound, package = wheels.bindings(), _package(file.path)
    index = bound[package].url if package in bound else wheels.index
    return provenances_of(index, package, context.progress.step).get(file.path)


def _answer(address: str, context: Context) -> bytes:
    if not is_fetchable(address):
        raise BadInput("wheel-address", "the index names an address that is not https", where=address)
    return get(address, context.progress.step, limit=MAX_PROVENANCE, headers={"Accept": _ACCEPT})


def attestations_of(file: LockedFile, address: str, data: bytes, context: Context) -> Attested:
    """What the index has answered for ``file`` at ``address``.  Raises as ``attested``."""
    try:
        attestations = parse_provenance(data)
    except (ValueError, RecursionError) as error:
        what = f"the answer is not an index's provenance: {error}"
        raise NotTrusted("attestation-invalid", what, where=address) from None
    content = context.sink.put(data)
    path = f"attestations/{content.sha256}/{file.path}.provenance"
    evidence = LockedFile(path=path, sha256=content.sha256, size=content.size)
    for one in attestations:
        if not sigstore.repository(one.publisher):
            return _found(
                file, "unchecked", f"nothing here verifies publishers of the kind {one.publisher.kind!r}", evidence
            )
        _check(one, file, address)
    repositories = {sigstore.repository(one.publisher) for one in attestations}
    workflows = {f"{sigstore.repository(one.publisher)} ({one.publisher.workflow})" for one in attestations}
    found = _found(file, "verified", f"attested by {' and '.join(sorted(workflows))}", evidence)
    return replace(found, repositories=frozenset(repositories))


def _check(attestation: Attestation, file: LockedFile, address: str) -> None:
    statement = sigstore.verify(attestation, address)
    try:
        check_statement(statement, file.path, file.sha256)
    except ValueError as error:
        raise NotTrusted(
            "attestation-invalid",
            f"the index has an attestation of something else: {error}",
            where=address,
            expected=f"{file.path} with the SHA-256 {file.sha256}",
        ) from None


def check_publishers(found: Iterable[Attested], wheels: WheelSet, artifact: str) -> None:
    """Hold what was found against the repositories that the definition names.

    Raises NotTrusted (``attestation-missing``, ``attestation-publisher``) and BadInput (``publisher-unused``).
    """
    by_package = {_package(one.finding.about): one for one in found}
    for package, wanted in wheels.publishers.items():
        one = by_package.get(package)
        if one is None:
            raise BadInput(
                "publisher-unused",
                f"'publishers' names {package}, of which no wheel comes from an index",
                where=artifact,
                value=package,
                hint="take it out: wheels that are made here or lie in a directory of this host have no attestation",
            )
        if one.finding.state != "verified":
            what = f"{one.finding.about} has no verified attestation, which 'publishers' asks for: {one.finding.said}"
            raise NotTrusted("attestation-missing", what, where=artifact, expected=wanted)
        if one.repositories != {wanted}:
            what = f"{one.finding.about} was published by another repository than 'publishers' names"
            found_in = ", ".join(sorted(one.repositories))
            raise NotTrusted("attestation-publisher", what, where=artifact, expected=wanted, found=found_in)


def _found(file: LockedFile, state: UpstreamState, said: str, evidence: LockedFile | None = None) -> Attested:
    kept = (evidence.path,) if evidence else ()
    return Attested(UpstreamFinding(about=file.path, state=state, said=said, evidence=kept), evidence)


def _package(filename: str) -> str:
    return str(parse_wheel_filename(filename)[0])
