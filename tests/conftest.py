"""Settings that all tests share."""

import signal

from hypothesis import settings

# Whoever starts the tests in the background may have Ctrl-C ignored, which children would
# inherit: the tests of interruption need it as a terminal has it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no time limit for one of them on a busy machine.
settings.register_profile("appliance", derandomize=True, deadline=None, database=None)
settings.load_profile("appliance")
