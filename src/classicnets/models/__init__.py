"""The networks. Each file needs only torch and can be copied out and run."""
