"""Trains a network by a recipe: RunSpec -> Plan -> Session -> loop."""
