"""Evaluation: the only package that computes metrics on the test split."""
