"""A real offline site on one machine: bare Debian hosts with systemd, in namespaces of their own.

``hosts.py`` is what tests use.  Below it, one process holds a site (``keeper.py``), one sets
it up from the inside (``supervisor.py``), and nothing of it is left when they end.
"""
