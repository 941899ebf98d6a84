"""The only place where figures on the test split are computed."""
