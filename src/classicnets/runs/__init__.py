"""Run folders: run.json, the history, checkpoints, and how a network is rebuilt."""
