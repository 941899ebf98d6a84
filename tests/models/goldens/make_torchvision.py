"""Outputs of torchvision's own AlexNet.

    pip install --no-deps torchvision==0.28.0        (beside torch 2.13.0)
    python tests/models/goldens/make_torchvision.py

A torchvision built for CUDA needs two operators that a CPU build of torch lacks; they are declared and never called.
"""

import torch
from golden_inputs import images, parameters, store

library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402 (after the declarations)

SHAPE, LOW, HIGH = (3, 3, 224, 224), -2.1, 2.6


def main():
    net = torchvision.models.alexnet(num_classes=10).eval()
    own_parameters = list(net.parameters())
    with torch.no_grad():
        for parameter, value in zip(own_parameters, parameters([tuple(p.shape) for p in own_parameters]), strict=True):
            parameter.copy_(torch.from_numpy(value))
        outputs = net(torch.from_numpy(images(SHAPE, LOW, HIGH))).numpy()
    row = {"input": list(SHAPE), "range": [LOW, HIGH], "gain": 1.0, "outputs": outputs, "names": list(net.state_dict())}
    made_by = "tests/models/goldens/make_torchvision.py"
    store("torchvision.json", f"torchvision {torchvision.__version__}", made_by, {"alexnet_torchvision": row})


if __name__ == "__main__":
    main()
