"""Namespaces for programs that must not reach the network nor leave anything behind."""

import os
from pathlib import Path

from appliance.errors import BadInput, Failed
from appliance.tools.run import run

# Also when we are killed in a way that leaves no time to end children.
_DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_OWN = (
    "--net",
    "--mount",
    "--propagation",
    "private",
    "--ipc",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)


def offline() -> tuple[str, ...]:
    """The words before a command that runs it as root, without a network.

    Its mounts and processes end with it, whatever happens to it.  Who is not root becomes
    root of a user namespace with their subordinate ids (subuid(5)).
    """
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user", "--map-auto")
    return (*_DIES_WITH_US, "unshare", *user, *_OWN, "--")


def check() -> None:
    """Raise BadInput (``namespaces-denied``) when we may not make such namespaces."""
    try:
        run([*offline(), "true"], called="unshare")
    except Failed as failed:
        raise BadInput(
            "namespaces-denied",
            f"images are built in namespaces, which this user may not create: {failed.what}",
            hint="run it as root (in a container: with CAP_SYS_ADMIN), or give the user subordinate ids: "
            "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        ) from None


def remove(folder: Path) -> None:
    """Remove what programs have left there, also what belongs to a subordinate id.

    Raises Failed (``tool-failed``).
    """
    run([*offline(), "rm", "--recursive", "--force", "--", folder], called="rm")
