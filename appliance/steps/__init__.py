"""One file or folder per verb; each puts kinds, cache and trust together for one purpose.

What several verbs share lies in ``documents``, ``host``, ``sealing`` and ``site``.  A verb whose work takes in
another's calls that: a plan resolves as a lock does, an import switches, an audit checks the log.
"""
