"""Weights from other sources: which network they belong to, and loading them into a network."""
