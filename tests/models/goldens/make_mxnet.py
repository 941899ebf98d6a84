"""Outputs of Apache MXNet 1.9.1 for the networks that come from it: the book's first edition and MXNet's own AlexNet.

Run it in a separate environment (MXNet needs an old NumPy):

    python -m venv mx && mx/bin/pip install "numpy==1.23.5" mxnet==1.9.1
    mx/bin/python tests/models/goldens/make_mxnet.py

The networks are written as in their sources; their weights come from `golden_inputs.parameters`.
"""

import mxnet as mx
import numpy as np
from golden_inputs import images, parameters, store
from mxnet import gluon
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


def symbol_alexnet(classes=CLASSES):
    """example/image-classification/symbols/alexnet.py, MXNet v0.11 to v1.9; without its softmax."""
    s = mx.sym
    x = s.Variable("data")
    x = s.Convolution(x, name="conv1", kernel=(11, 11), stride=(4, 4), num_filter=96)
    x = s.LRN(s.Activation(x, act_type="relu"), alpha=0.0001, beta=0.75, knorm=2, nsize=5)
    x = s.Pooling(x, pool_type="max", kernel=(3, 3), stride=(2, 2))
    x = s.Convolution(x, name="conv2", kernel=(5, 5), pad=(2, 2), num_filter=256)
    x = s.LRN(s.Activation(x, act_type="relu"), alpha=0.0001, beta=0.75, knorm=2, nsize=5)
    x = s.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max")
    for name, channels in (("conv3", 384), ("conv4", 384), ("conv5", 256)):
        x = s.Convolution(x, name=name, kernel=(3, 3), pad=(1, 1), num_filter=channels)
        x = s.Activation(x, act_type="relu")
    x = s.Flatten(s.Pooling(x, kernel=(3, 3), stride=(2, 2), pool_type="max"))
    for name in ("fc1", "fc2"):
        x = s.FullyConnected(x, name=name, num_hidden=4096)
        x = s.Dropout(s.Activation(x, act_type="relu"), p=0.5)
    return s.FullyConnected(x, name="fc3", num_hidden=classes)


def run_gluon(net, x, gain):
    net.initialize()
    net(mx.nd.array(x[:1]))  # initializes the shapes
    own_parameters = list(net.collect_params().values())
    for parameter, value in zip(own_parameters, parameters([p.shape for p in own_parameters], gain), strict=True):
        parameter.set_data(mx.nd.array(value))
    return net(mx.nd.array(x)).asnumpy()


def run_symbol(symbol, x, gain):
    net = gluon.SymbolBlock(symbol, mx.sym.Variable("data"))
    net.initialize()
    net(mx.nd.array(x[:1]))
    own_parameters = [net.params[name] for name in symbol.list_arguments() if name != "data"]
    for parameter, value in zip(own_parameters, parameters([p.shape for p in own_parameters], gain), strict=True):
        parameter.set_data(mx.nd.array(value))
    return net(mx.nd.array(x)).asnumpy()


def main():
    np.set_printoptions(precision=4)
    cases = {
        "lenet_d2l_v1": (run_gluon, lenet_v1, (4, 1, 28, 28), (0, 1), 6.0),
        "alexnet_d2l_v1": (run_gluon, alexnet_v1, (3, 1, 224, 224), (0, 1), 1.0),
        "alexnet_mxnet": (run_symbol, symbol_alexnet, (3, 3, 224, 224), (-118, 137), 1.0),
    }
    results = {}
    for name, (run, make, shape, (low, high), gain) in cases.items():
        outputs = run(make(), images(shape, low, high), gain)
        results[name] = {"input": list(shape), "range": [low, high], "gain": gain, "outputs": outputs}
    store("mxnet.json", f"Apache MXNet {mx.__version__}", "tests/models/goldens/make_mxnet.py", results)


if __name__ == "__main__":
    main()
