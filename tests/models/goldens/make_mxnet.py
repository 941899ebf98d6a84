"""Outputs of Apache MXNet 1.9.1 for the networks of the first edition of the book.

Run it in a separate environment (MXNet needs an old NumPy):

    python -m venv mx && mx/bin/pip install "numpy==1.23.5" mxnet==1.9.1
    mx/bin/python tests/models/goldens/make_mxnet.py

The networks are written as in their sources; their weights come from `golden_inputs.parameters`.
"""

import mxnet as mx
import numpy as np
from golden_inputs import images, parameters, store
from mxnet.gluon import nn

CLASSES = 10


def lenet_v1():
    """d2l-zh, branch v1, lenet.md."""
    net = nn.Sequential()
    net.add(
        nn.Conv2D(channels=6, kernel_size=5, activation="sigmoid"),
        nn.MaxPool2D(pool_size=2, strides=2),
        nn.Conv2D(channels=16, kernel_size=5, activation="sigmoid"),
        nn.MaxPool2D(pool_size=2, strides=2),
        nn.Dense(120, activation="sigmoid"),
        nn.Dense(84, activation="sigmoid"),
        nn.Dense(CLASSES),
    )
    return net


def alexnet_v1():
    """d2l-zh, branch v1, alexnet.md."""
    net = nn.Sequential()
    net.add(
        nn.Conv2D(96, kernel_size=11, strides=4, activation="relu"),
        nn.MaxPool2D(pool_size=3, strides=2),
        nn.Conv2D(256, kernel_size=5, padding=2, activation="relu"),
        nn.MaxPool2D(pool_size=3, strides=2),
        nn.Conv2D(384, kernel_size=3, padding=1, activation="relu"),
        nn.Conv2D(384, kernel_size=3, padding=1, activation="relu"),
        nn.Conv2D(256, kernel_size=3, padding=1, activation="relu"),
        nn.MaxPool2D(pool_size=3, strides=2),
        nn.Dense(4096, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(4096, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(CLASSES),
    )
    return net


def run_gluon(net, x, gain):
    net.initialize()
    net(mx.nd.array(x[:1]))  # initializes the shapes
    own_parameters = list(net.collect_params().values())
    for parameter, value in zip(own_parameters, parameters([p.shape for p in own_parameters], gain), strict=True):
        parameter.set_data(mx.nd.array(value))
    return net(mx.nd.array(x)).asnumpy()


def main():
    np.set_printoptions(precision=4)
    cases = {
        "lenet_d2l_v1": (lenet_v1, (4, 1, 28, 28), (0, 1), 6.0),
        "alexnet_d2l_v1": (alexnet_v1, (3, 1, 224, 224), (0, 1), 1.0),
    }
    results = {}
    for name, (make, shape, (low, high), gain) in cases.items():
        outputs = run_gluon(make(), images(shape, low, high), gain)
        results[name] = {"input": list(shape), "range": [low, high], "gain": gain, "outputs": outputs}
    store("mxnet.json", f"Apache MXNet {mx.__version__}", "tests/models/goldens/make_mxnet.py", results)


if __name__ == "__main__":
    main()
