"""Namespaces for programs that must not reach the network nor leave a mount behind."""

import os

_PRIVATE = ("--net", "--mount", "--propagation", "private")


def offline() -> tuple[str, ...]:
    """The words before a command that runs it as root, without a network.

    Mounts are made in a namespace that ends with the command, whatever happens to it.
    Who is not root becomes root of a user namespace with their subordinate ids
    (subuid(5)).
    """
    if os.geteuid() == 0:
        return ("unshare", *_PRIVATE, "--")
    # A process namespace lets mmdebstrap mount /proc.
    return ("unshare", "--user", "--map-root-user", "--map-auto", "--pid", "--fork", "--kill-child", *_PRIVATE, "--")
