"""Acceleration: faster layers, memory format, and batches that are split over threads; the results stay the same."""
