"""Exports a trained network with its preprocessing as one file, ONNX or a torch.export program, or as a web page."""
