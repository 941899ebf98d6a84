"""The pages of the documentation that are generated, one file for each page."""
