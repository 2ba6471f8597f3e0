"""One file per verb; each puts kinds, cache and trust together for one purpose."""
