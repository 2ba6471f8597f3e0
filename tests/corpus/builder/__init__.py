"""Makes bundles from cases: a small interpreter of operations, one file for each place to act."""
