"""The site's policy and overrides, read from where people put them."""

import os
import stat
from pathlib import Path

from appliance.errors import BadInput
from appliance.model.documents.policy import DEFAULT_POLICY, SitePolicy
from appliance.model.limits import MAX_ENVELOPE, MAX_YAML
from appliance.steps.documents.yaml_file import YamlFile
from appliance.store.disk import read_bounded
from appliance.trust.override import SignedOverride
from appliance.trust.override import read_override as parse_override

POLICY_FILE = Path("/etc/appliance/policy.yaml")


def read_site_policy(path: Path | None) -> SitePolicy:
    """The policy in ``path``; for None the one in its usual place, if there is one.

    Raises BadInput: ``policy-unreadable``, ``policy-unsafe`` when somebody else may write
    it, ``policy-yaml``, ``policy-value``, ``policy-unknown-key``.
    """
    if path is None and not os.path.lexists(POLICY_FILE):
        return DEFAULT_POLICY
    path = path or POLICY_FILE
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(MAX_YAML + 1)
    except OSError as error:
        raise BadInput("policy-unreadable", f"the policy cannot be read: {error.strerror}", where=str(path)) from None
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadInput(
            "policy-unsafe",
            "another user can write the policy",
            where=str(path),
            found=f"owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}",
            hint="read what it says, then: chown root and chmod go-w",
        )
    file_ = YamlFile.parse(path, "policy", text)
    return file_.typed(SitePolicy, file_.data, ())


def read_override(path: Path) -> SignedOverride:
    """An override, not yet checked.  Raises BadInput (``override-unreadable``) or NotTrusted."""
    data = read_bounded(path, MAX_ENVELOPE, "override-unreadable", "the override")
    return parse_override(data, str(path))
