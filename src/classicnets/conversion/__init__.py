"""Weights of other libraries become runs, and the other way."""
