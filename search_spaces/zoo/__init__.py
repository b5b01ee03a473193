"""Networks of our own, as architectures."""
