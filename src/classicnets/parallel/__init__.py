"""Training of one run by several processes: how a network and its batches are divided over them."""
