"""Turns a net, a recipe and batches into a run."""
