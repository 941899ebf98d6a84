"""Recipes: the training hyperparameters of each source, one file per source."""
