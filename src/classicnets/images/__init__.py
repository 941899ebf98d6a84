"""Image files and arrays: folder layout, decoding, cache, near-duplicates, preprocessing, batches."""
