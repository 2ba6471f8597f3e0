"""Frozen types and pure functions over them.  Nothing here opens a file or a socket."""
