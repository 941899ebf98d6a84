"""Converts weights of other libraries to runs, and back."""
