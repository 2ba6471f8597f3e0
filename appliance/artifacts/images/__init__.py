"""Container images, from a registry or built here."""
