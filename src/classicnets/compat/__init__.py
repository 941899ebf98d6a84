"""Other people's names over our parts: `from classicnets.compat import d2l` for *Dive into Deep Learning*."""
