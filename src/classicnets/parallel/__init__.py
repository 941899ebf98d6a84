"""Training of one run by several processes."""
