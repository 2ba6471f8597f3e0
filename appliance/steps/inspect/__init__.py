"""``appliance inspect``: a bundle, and a definition before there is one."""
