"""A net with its preprocessing as one file that needs neither classicnets nor torch."""
