"""``make bench``: what building and verifying cost beside other tools, as ratios from one run."""
