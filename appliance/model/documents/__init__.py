"""What we write, sign and read again: definition, lock, bundle, root, override, policy, state, log, report."""
