"""Input that nobody has thought of: coverage-guided, random and structured.

``targets`` are the parsers that trust rests on, ``guided`` gives one to atheris, ``damage``
spoils whole bundles, ``test_agreement`` asks verify.sh about the same documents.  ``make
fuzz`` runs all of it for long; ``make test`` a part that is the same every time.  What was
found once lies in ``findings/<target>/`` and is tried in every run.
"""
