"""The kinds of artifact: a folder for each, and ``kinds``, which has a line for each."""
