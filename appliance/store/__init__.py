"""Files on disk: the content-addressed cache, trees that cannot be left, hashing."""
