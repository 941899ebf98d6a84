"""Run folders: where a net came from, what it became, and how to go on."""
