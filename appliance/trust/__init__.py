"""Keys, signatures, the root chain, policy and verification.

Everything here works on bytes that it is given; nothing opens a file by itself, so each
rule can be tested without a disk.
"""
