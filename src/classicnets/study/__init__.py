"""Tool: several runs of one plan with different seeds, and their statistics (`classicnets train --seeds`)."""
