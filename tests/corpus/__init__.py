"""The attack corpus: bundles and root chains that a verifier must refuse, as data.

``cases/*.yaml`` say what is done to a good bundle, ``classes.yaml`` which attacks there are,
``builder`` makes directories of them, and ``python -m tests.corpus`` lets any verifier judge.
README.md is for those who bring one.
"""
