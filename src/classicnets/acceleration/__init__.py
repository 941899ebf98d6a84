"""What makes a network faster without changing what it computes: layers, memory format and threads for a batch."""
