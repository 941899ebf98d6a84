"""Published data sets: a catalogue of facts, fetching with verification, and parsers for IDX and CIFAR files."""
