"""What this host lends to a step: its clock, and keys on its tokens."""
