"""Inspects any module: layer table, explanation, comparison, figure, and shape errors."""
