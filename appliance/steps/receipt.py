"""Receipts beyond a site's own: written by an auditor who verifies elsewhere, and read by anybody."""

import os
from collections.abc import Callable
from pathlib import Path

from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.documents.bundle import SUMS
from appliance.model.documents.events import Receipt, Verification
from appliance.model.limits import MAX_SUMS
from appliance.model.progress import Progress, Silent
from appliance.steps.host.clock import now
from appliance.steps.keys import read_public_key
from appliance.steps.log import read_evidence
from appliance.steps.site.evidence import accepted, record, refusals_recorded, refused
from appliance.steps.verify import read_trusted
from appliance.store.log import Log
from appliance.store.site import Site
from appliance.store.tree import Tree
from appliance.store.whole import write_whole
from appliance.trust.evidence import ReceiptStatement, open_receipt, sign_receipt
from appliance.trust.keys import Signer
from appliance.trust.sums import digest_of
from appliance.trust.verify import VerifiedBundle


def with_receipt(
    verify: Callable[[], VerifiedBundle], bundle: Path, root: Path, progress: Progress, *, receipt: Path, key: Signer
) -> VerifiedBundle:
    """Run ``verify`` of ``bundle`` by ``root``, and write down the result, a refusal too, signed by ``key``.

    Raises BadInput (``file-exists``) before anything is verified, and what ``verify`` raises.
    """
    if os.path.lexists(receipt):
        raise BadInput("file-exists", "the file exists and is not overwritten", where=str(receipt))
    trusted = read_trusted(root)
    try:
        verified = verify()
    except NotTrusted as error:
        try:
            with Tree(bundle, Silent()) as tree:
                _write(receipt, refused(error, tree, trusted), key)
        except (ApplianceError, OSError) as second:
            progress.step(f"no receipt of this refusal was written: {second}")
        raise
    _write(receipt, accepted(verified, trusted), key)
    return verified


def on_site(
    verify: Callable[[], VerifiedBundle], bundle: Path, root: Path, progress: Progress, *, site: Site
) -> VerifiedBundle:
    """Run ``verify`` of ``bundle`` by ``root``, and write the result into the log of ``site``, with a receipt.

    Raises BadInput (``log-missing``) where there is no site, and what ``verify`` raises.
    """
    if not site.exists():
        raise BadInput("log-missing", "there is no site", where=str(site.root), hint="the first import creates it")
    trusted = read_trusted(root)
    Log(site.root).check_end()
    with Tree(bundle, Silent()) as tree, refusals_recorded(site, tree, trusted, progress, event="verify"):
        verified = verify()
    record(site, "verify", accepted(verified, trusted))
    return verified


def read_receipt(path: Path, key: Path, bundle: Path | None = None) -> ReceiptStatement:
    """Read a receipt that ``key``, a public key, has signed; with ``bundle``, one of that bundle.

    Raises BadInput, and NotTrusted (``evidence-*``, ``receipt-other-bundle``).
    """
    receipt = open_receipt(read_evidence(path), read_public_key(key), str(path))
    if bundle is not None:
        with Tree(bundle, Silent()) as tree:
            found = digest_of(tree.read(SUMS, MAX_SUMS))
        said = receipt.subject[0].digest
        if found != said.model_dump():
            raise NotTrusted(
                "receipt-other-bundle",
                "the receipt is for another bundle",
                where=str(bundle / SUMS),
                expected=said.sha256,
                found=found["sha256"],
            )
    return receipt


def _write(path: Path, verification: Verification, key: Signer) -> None:
    receipt = Receipt(event="verify", time=now(), verification=verification, log=None)
    write_whole(path, sign_receipt(receipt, key), mode=0o644, replace=False)
