"""From fetched artifacts to a bundle directory that waits for signatures."""
