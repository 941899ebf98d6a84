"""Published data sets: a catalog of facts, fetching with verification, and parsers for IDX and CIFAR files."""
