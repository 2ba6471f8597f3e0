"""What all tests share."""

import signal

# Whoever starts the tests in the background may have Ctrl-C ignored, which children would
# inherit: the tests of interruption need it as a terminal has it.
signal.signal(signal.SIGINT, signal.default_int_handler)
