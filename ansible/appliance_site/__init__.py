"""Playbooks and roles of the offline site, carried as a wheel.

``ansible-playbook --inventory INVENTORY site.yml`` runs in the directory of this package.
"""

__version__ = "0.1.0"
