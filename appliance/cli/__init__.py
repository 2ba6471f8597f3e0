"""The command line: flags to typed options to a step, and errors to exit codes."""
