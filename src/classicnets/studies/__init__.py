"""Tool: trains arms with the same seeds, here or on a cluster, and compares them (`study`, `train --seeds`)."""
