"""Fixtures and settings that all tests share."""

from hypothesis import settings

# The same examples in every run, and no time limit for one of them on a busy machine.
settings.register_profile("appliance", derandomize=True, deadline=None, database=None)
settings.load_profile("appliance")
