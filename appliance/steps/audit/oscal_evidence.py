"""What an audit has looked at, for assessment results: observations with digests, and what they are about."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from appliance.formats.oscal import Entry, identifier, prop, prose, resource
from appliance.model.documents.audit import AuditedBundle, AuditedHost, AuditedReceipt, Report
from appliance.model.documents.controls import Material


@dataclass(frozen=True)
class Evidence:
    """Observations by what they saw, the bundles (components) and hosts (inventory) that they are about, and files."""

    observations: tuple[Entry, ...]
    by_material: Mapping[Material, tuple[str, ...]]
    components: tuple[Entry, ...]
    inventory: tuple[Entry, ...]
    resources: tuple[Entry, ...]


def materials(report: Report) -> frozenset[Material]:
    """What the audit had in its hands and could read."""
    kinds = {receipt.kind for receipt in report.receipts}
    key_brought = report.site_key and all(finding.reference != "site-key-own" for finding in report.findings)
    there: dict[Material, Any] = {
        "bundle": report.bundles,
        "log": report.log and report.log.entries,
        "receipt": "receipt" in kinds,
        "head": "head" in kinds and key_brought,
        "own-key": key_brought,
        "host": report.hosts,
        "base": report.base,
        "snapshot": report.vulnerabilities,
    }
    return frozenset(material for material, value in there.items() if value)


def evidence(report: Report, name: str, folder: Path) -> Evidence:
    """All of it; ``name`` tells this report from others, ``folder`` is where the document goes."""
    lists = {bundle.path: _sums(bundle, folder) for bundle in report.bundles}
    found = list(_observed(report, name, lists))
    kinds: dict[Material, tuple[str, ...]] = {}
    for material, entry in found:
        kinds[material] = (*kinds.get(material, ()), entry["uuid"])
    return Evidence(
        observations=_once(entry for _, entry in found),
        by_material=kinds,
        components=_once(_component(bundle) for bundle in report.bundles),
        inventory=_once(_host(host) for host in report.hosts),
        resources=tuple(lists.values()),
    )


def _once(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Without those that an auditor has given twice: the same bundle, the same head."""
    return tuple({entry["uuid"]: entry for entry in entries}.values())


def _observed(report: Report, name: str, lists: Mapping[str, Entry]) -> Iterator[tuple[Material, Entry]]:
    def observation(material: Material, which: str, text: str, *props: Entry, **more: Any) -> tuple[Material, Entry]:
        entry = {
            "uuid": identifier("observation", name, material, which),
            "description": text,
            "props": [prop("evidence-of-a-site", material), *props],
            "methods": ["EXAMINE"],
            "types": ["control-objective"],
            "collected": report.time,
        }
        return material, {**entry, **more}

    for bundle in report.bundles:
        listed = {"href": f"#{lists[bundle.path]['uuid']}", "description": "The list of its files."}
        yield observation(
            "bundle",
            bundle.path,
            f"{prose(bundle.name)} {prose(bundle.version)} verifies: signatures, list and {bundle.files} files.",
            prop("sha256sums", bundle.sums.sha256),
            *(prop("signed-by", signer.keyid, f"{signer.role}, {prose(signer.label)}") for signer in bundle.signers),
            **_about(_component(bundle), "component"),
            **{"relevant-evidence": [listed]},
        )
    if report.log and report.log.entries:
        head = report.log.head
        text = f"The log's chain holds through line {head.seq}; the digest is that of this line."
        yield observation("log", "log", text, prop("line", str(head.seq)), prop("sha256", head.sha256))
    for receipt in report.receipts:
        yield observation(receipt.kind, f"{receipt.file} {receipt.sha256}", _signed(receipt), *_digests(receipt))
    if report.site_key and "own-key" in materials(report):
        text = "The site's key was brought by the auditor."
        yield observation("own-key", report.site_key, text, prop("keyid", report.site_key))
    for host in report.hosts:
        about = _about(_host(host), "inventory-item")
        yield observation("host", host.install.host, _said(host), *_run(host), **about, collected=host.time)
    if report.base:
        yield observation("base", "base", "The auditor brought the list of a fresh host's OS packages.")
    for known in report.vulnerabilities:
        text = f"{prose(known.bundle)} was looked up: {known.known} vulnerabilities are known of it."
        where = prop("advisories", known.advisories), prop("taken", known.taken)
        yield observation("snapshot", f"{known.bundle} {known.advisories}", text, *where)


def _about(entry: Entry, kind: str) -> Entry:
    return {"subjects": [{"subject-uuid": entry["uuid"], "type": kind}]}


def _component(bundle: AuditedBundle) -> Entry:
    return {
        "uuid": identifier("bundle", bundle.path, bundle.sums.sha256),
        "type": "software",
        "title": f"{prose(bundle.name)} {prose(bundle.version)}",
        "description": prose(bundle.description) or "A bundle.",
        "props": [prop("path", bundle.path), prop("created", bundle.created), prop("expires", bundle.expires)],
        "status": {"state": "operational" if bundle.current else "other"},
    }


def _host(host: AuditedHost) -> Entry:
    install = host.install
    return {
        "uuid": identifier("host", install.host),
        "description": prose(install.host),
        "props": [prop("system", install.system), prop("kernel", install.kernel)],
    }


def _sums(bundle: AuditedBundle, folder: Path) -> Entry:
    title = f"SHA256SUMS of {prose(bundle.name)} {prose(bundle.version)}"
    href = link(Path(bundle.path, "SHA256SUMS"), folder)
    return resource(f"{bundle.path} {bundle.sums.sha256}", title, href, bundle.sums.sha256)


def link(target: Path, folder: Path) -> str:
    """The address of a file for a document in ``folder``: relative to it, as RFC 3986 resolves it.

    Symbolic links are followed first, so that ``..`` leads to the same place in an address and on the disk.
    """
    return quote(os.fsencode(os.path.relpath(target.resolve(), folder.resolve())))


def _signed(receipt: AuditedReceipt) -> str:
    return f"{prose(receipt.file)} is signed by the site's key and fits line {receipt.seq} of its log."


def _digests(receipt: AuditedReceipt) -> tuple[Entry, ...]:
    return prop("file", receipt.file), prop("sha256", receipt.sha256), prop("line", str(receipt.seq))


def _said(host: AuditedHost) -> str:
    return f"{prose(host.install.host)} said in line {host.seq} of the log what it runs."


def _run(host: AuditedHost) -> Iterator[Entry]:
    yield prop("line", str(host.seq))
    yield prop("sha256sums", host.install.bundle.sha256sums)
    for model in host.models:
        yield prop("image", model.image, prose(model.name))
        yield prop("weights", model.weights, prose(model.name))
        for name, listed in model.beside.items():
            yield prop("weights", listed, prose(f"{model.name}, with {name}"))
