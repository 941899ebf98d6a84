"""Tool: trains one plan with several seeds and computes statistics (`classicnets train --seeds`)."""
