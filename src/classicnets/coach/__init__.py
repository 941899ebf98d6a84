"""The coach: watches a session, detects common faults of images, labels and training, and suggests a change."""
