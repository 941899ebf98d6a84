"""Tool: trains one run with several processes (`classicnets train --processes N`, torchrun), and predicts its cost."""
