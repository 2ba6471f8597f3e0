"""``make bench``: what building, verifying and importing cost beside other tools, as ratios from one run."""
