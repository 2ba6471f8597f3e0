"""The build and verification side of an air-gapped LLM appliance.

Data flows one way: definition, lock, cache, bundle, verify, site.  The packages
below follow it: ``cli -> steps -> {artifacts, trust, store} -> tools -> formats ->
model -> errors``; ``tests/unit/test_layers.py`` holds the arrows.
"""

__version__ = "0.1.0"
