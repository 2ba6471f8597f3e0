"""What hosts run, against the bundles that were verified."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.documents.audit import AuditedHost, AuditedModel, Finding, note, problem
from appliance.model.documents.events import Install, Model, Switch
from appliance.model.documents.log import Line
from appliance.model.serving.memory import GIB
from appliance.model.serving.profile import memory_plan
from appliance.steps.audit.bundles import Verified

# Names of suites that are another release each few years.
_MOVING = frozenset({"oldstable", "stable", "testing", "unstable", "sid"})
# A plan is an estimate: what differs by less than a tenth of it is no news.
_NOTED_FROM = 10


def read_base(path: Path) -> dict[str, str]:
    """The OS packages of the base system: a line with name and version for each, as dpkg-query prints them.

    Raises BadInput (``base-unreadable``).
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return {_name(name): version for name, version in lines}
    except (OSError, ValueError) as error:
        raise BadInput(
            "base-unreadable",
            f"the list of the base system's OS packages cannot be read: {error}",
            where=str(path),
            hint="on a fresh host: dpkg-query --show --showformat='${binary:Package} ${Version}\\n' >base.txt",
        ) from None


def audit_host(line: Line, install: Install, bundles: Sequence[Verified], base: Mapping[str, str]) -> AuditedHost:
    """What a host ran when the log's ``line`` was written; ``base`` has the base system's OS packages."""
    own = _own(install, bundles)
    known = own.packages if own else {}
    versions = {_name(name): version for name, version in install.packages.items()}
    # Of a bundle that is not here nothing is known, which is a problem of its own.
    others = {name: version for name, version in sorted(versions.items()) if own and base.get(name) != version}
    return AuditedHost(
        seq=line.entry.seq,
        time=line.entry.time,
        install=install,
        models=tuple(
            AuditedModel(
                name=name,
                image=model.image,
                weights=model.weights,
                beside=model.beside,
                kv_cache=model.kv_cache,
                bundles=tuple(
                    f"{bundle.audited.name} {bundle.audited.version}"
                    for bundle in bundles
                    if model.image in bundle.images and set(_lists(model).values()) <= bundle.weights
                ),
            )
            for name, model in install.models.items()
        ),
        from_bundle=sum(version in known.get(name, ()) for name, version in versions.items()),
        other_version=tuple(
            f"{name} {version}"
            for name, version in others.items()
            if (name in known or name in base) and version not in known.get(name, ())
        ),
        unknown=tuple(
            f"{name} {version}" for name, version in others.items() if name not in known and name not in base
        ),
    )


def _lists(model: Model) -> dict[str, str]:
    """The SHA-256 of the lists of all its weights, by what a person calls these."""
    return {"its own weights": model.weights} | {f"the weights {name}": listed for name, listed in model.beside.items()}


def _name(package: str) -> str:
    """Without its architecture."""
    return package.partition(":")[0]


def findings_of(
    host: AuditedHost, bundles: Sequence[Verified], switches: Mapping[str, Switch], *, base_known: bool
) -> Iterator[Finding]:
    """What a host runs that no verified bundle explains, or that is not what is current.

    Where the base system is not known, its packages cannot be told from a stranger's.
    """
    where = f"host {host.install.host}, line {host.seq} of the log"
    source = host.install.bundle
    installed = f"it was installed from {source.name} {source.version}"
    if _own(host.install, bundles) is None:
        yield problem("host-unknown-bundle", f"{installed}, which is not here", where)
    current = switches.get(source.name)
    if current is not None and current.sha256sums != source.sha256sums:
        what = f"{installed}, but {current.version} is current: the playbook has not been run since"
        yield problem("host-not-current", what, where)
    for model in host.models:
        yield from _model(model, bundles, where)
        yield from _kv_cache(model, _own(host.install, bundles), where)
    if host.install.idle:
        what = f"every boot starts {', '.join(host.install.idle)}, which did not run: see `systemctl status` there"
        yield problem("host-unit-idle", what, where)
    yield from _system(host.install, bundles, where)
    finding, hint = (problem, "") if base_known else (note, " (--base lists those of the base system)")
    if host.other_version:
        what = f"it has OS packages in other versions than its bundle{hint}: {', '.join(host.other_version)}"
        yield finding("host-package-differs", what, where)
    if host.unknown:
        what = f"it has OS packages that its bundle does not have{hint}: {', '.join(host.unknown)}"
        yield finding("host-package-unknown", what, where)


def _system(install: Install, bundles: Sequence[Verified], where: str) -> Iterator[Finding]:
    own = _own(install, bundles)
    sources = [artifact.source for artifact in own.audited.artifacts if artifact.kind == "os-packages"] if own else []
    suites = sorted({source.get("archive-suite", "stable") for source in sources} - _MOVING)
    # "Debian GNU/Linux 13 (trixie)": what stands in os-release
    if suites and not set(re.findall(r"[a-z]+", install.system)) & set(suites):
        what = f"its system is {install.system}, but its bundle has OS packages for {', '.join(suites)}"
        yield problem("host-other-system", what, where)


def _model(model: AuditedModel, bundles: Sequence[Verified], where: str) -> Iterator[Finding]:
    if not any(model.image in bundle.images for bundle in bundles):
        what = f"{model.name} runs in an image that no bundle here has, {model.image}"
        yield problem("host-unknown-image", what, where)
    elif unknown := {
        name: listed
        for name, listed in _lists(model).items()
        if not any(listed in bundle.weights for bundle in bundles)
    }:
        told = " and ".join(f"{name} (the SHA-256 of its list is {listed})" for name, listed in unknown.items())
        yield problem("host-unknown-weights", f"{model.name} is served with what no bundle here has: {told}", where)
    elif not model.bundles:
        yield problem("host-mixed-bundles", f"no bundle here has both the image and the weights of {model.name}", where)


def _kv_cache(model: AuditedModel, own: Verified | None, where: str) -> Iterator[Finding]:
    """The memory plan that was signed, narrowed as the site has narrowed it, against what vLLM logged."""
    found, profile = model.kv_cache, own.serving.get(model.name) if own else None
    if found is None or profile is None:
        return
    told = {"max_model_len": found.max_model_len}
    part = {"gpu_memory_utilization": float(found.utilization)} if found.utilization else {}
    plan = memory_plan(profile.model_copy(update={**told, **part}))
    if (
        plan is None
        or not plan.keeps
        or profile.memory is None
        or abs(found.tokens - plan.tokens) * _NOTED_FROM <= plan.tokens
    ):
        return
    missing = plan.kv_available - found.tokens * plan.kv_per_sequence // plan.max_model_len
    overhead = profile.memory.overhead_gib + missing / GIB
    what = (
        f"vLLM has room for {found.tokens:,} tokens in the KV cache of {model.name}, and {plan.tokens:,} were planned: "
        f"overhead_gib {overhead:.1f} instead of {profile.memory.overhead_gib:.1f} plans what it has"
    )
    yield note("host-kv-cache-differs", what, where)


def _own(install: Install, bundles: Sequence[Verified]) -> Verified | None:
    for bundle in bundles:
        if bundle.audited.sums.sha256 == install.bundle.sha256sums:
            return bundle
    return None
