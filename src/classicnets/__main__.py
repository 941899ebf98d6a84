"""Runs the command line: `python -m classicnets` is the same as `classicnets`."""

import sys

from classicnets.cli.process import run

sys.exit(run())
