"""The networks. Each file needs torch alone and can be copied out and run."""
