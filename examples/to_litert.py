"""Convert an exported torch program (.pt2) to LiteRT (.tflite), and compare both on noise.

    python -m venv litert && litert/bin/pip install litert-torch     # an environment of its own
    litert/bin/python examples/to_litert.py NET.pt2 NET.tflite

The .tflite file takes one image, pixels uint8 [1, 3, S, S] RGB, and returns probabilities [1, classes]. Class names and
preprocessing stay in the .pt2 file: `classicnets show NET.pt2 --json`. torch.export.load can run code of the file, so
convert only files that you trust.
"""

import sys

import litert_torch
import torch

IMAGES = 20
MAX_DIFFERENCE = 1e-5


def main(source: str, target: str) -> None:
    # decomposed, because operators that work in place cannot be traced again
    program = torch.export.load(source).run_decompositions({})
    module = program.module()
    (pixels,) = (node.meta["val"] for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
    shape = (1, *pixels.shape[1:])
    images = torch.randint(0, 256, (IMAGES, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    # traced again for one image, because LiteRT's shapes are fixed
    converted = litert_torch.convert(module, (images[0],), strict_export=False)
    with torch.inference_mode():
        difference = max(float((torch.from_numpy(converted(image)) - module(image)).abs().max()) for image in images)
    print(f"largest difference of a probability, {IMAGES} images of noise: {difference:.1g}")
    if difference > MAX_DIFFERENCE:
        sys.exit(f"the difference is above {MAX_DIFFERENCE:g}; {target} is not written")
    converted.export(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
