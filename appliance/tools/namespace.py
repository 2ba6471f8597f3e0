"""Namespaces for programs that must not reach the network nor leave anything behind."""

import os

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
    if os.geteuid() == 0:
        return ("unshare", *_OWN, "--")
    return ("unshare", "--user", "--map-root-user", "--map-auto", *_OWN, "--")
