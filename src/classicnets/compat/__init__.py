"""Compatibility with other APIs: `from classicnets.compat import d2l` for *Dive into Deep Learning*."""
