"""One file or folder per verb; each puts kinds, cache and trust together for one purpose.

What several verbs share lies in ``documents``, ``host``, ``sealing`` and ``site``.
"""
