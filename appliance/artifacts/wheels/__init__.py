"""Python wheels for a target that is not this host."""
