"""The kinds of artifact: a folder for each, and ``kinds``, which has a line for each.

What several of them share lies beside: ``directory`` is a source, ``paths`` checks names.
"""
