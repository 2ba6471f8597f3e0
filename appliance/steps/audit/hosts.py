"""What hosts run, against the bundles that were verified."""

from collections.abc import Iterator, Mapping, Sequence

from appliance.model.audit import AuditedHost, AuditedModel, Finding, note, problem
from appliance.model.events import Install, Switch
from appliance.model.log import Line
from appliance.steps.audit.bundles import Verified


def audit_host(line: Line, install: Install, bundles: Sequence[Verified]) -> AuditedHost:
    """What a host ran when the log's ``line`` was written."""
    own = _own(install, bundles)
    known = own.packages if own else {}
    versions = {name.partition(":")[0]: version for name, version in install.packages.items()}
    shared = {name: version for name, version in versions.items() if name in known}
    return AuditedHost(
        seq=line.entry.seq,
        time=line.entry.time,
        install=install,
        models=tuple(
            AuditedModel(
                name=name,
                image=model.image,
                weights=model.weights,
                bundles=tuple(
                    f"{bundle.told.name} {bundle.told.version}"
                    for bundle in bundles
                    if model.image in bundle.images and model.weights in bundle.weights
                ),
            )
            for name, model in install.models.items()
        ),
        from_bundle=sum(version in known[name] for name, version in shared.items()),
        other_version=tuple(
            f"{name} {version}" for name, version in sorted(shared.items()) if version not in known[name]
        ),
    )


def findings_of(host: AuditedHost, bundles: Sequence[Verified], switches: Mapping[str, Switch]) -> Iterator[Finding]:
    """What a host runs that no verified bundle explains, or that is not what is current."""
    where = f"host {host.install.host}, line {host.seq} of the log"
    source = host.install.bundle
    installed = f"it was installed from {source.name} {source.version}"
    if _own(host.install, bundles) is None:
        yield problem("host-unknown-bundle", f"{installed}, which is not here", where)
    current = switches.get(source.name)
    if current is not None and current.sha256sums != source.sha256sums:
        what = f"{installed}, and {current.version} is current: the playbook has not been run since"
        yield problem("host-not-current", what, where)
    for model in host.models:
        yield from _model(model, bundles, where)
    if host.other_version:
        names = ", ".join(host.other_version[:5]) + (", ..." if len(host.other_version) > 5 else "")
        what = f"it has {len(host.other_version)} OS packages in another version than its bundle: {names}"
        yield note("host-package-differs", what, where)


def _model(model: AuditedModel, bundles: Sequence[Verified], where: str) -> Iterator[Finding]:
    if not any(model.image in bundle.images for bundle in bundles):
        what = f"{model.name} runs in an image that no bundle here has, {model.image}"
        yield problem("host-unknown-image", what, where)
    elif not any(model.weights in bundle.weights for bundle in bundles):
        what = f"the weights of {model.name} are those of no bundle here, by a list with the SHA-256 {model.weights}"
        yield problem("host-unknown-weights", what, where)
    elif not model.bundles:
        yield problem("host-mixed-bundles", f"image and weights of {model.name} are in no one bundle together", where)


def _own(install: Install, bundles: Sequence[Verified]) -> Verified | None:
    for bundle in bundles:
        if bundle.told.sums.sha256 == install.bundle.sha256sums:
            return bundle
    return None
