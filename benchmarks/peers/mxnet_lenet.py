"""The book's LeNet in MXNet's gluon, hybridized; an epoch whenever a line comes in: `python mxnet_lenet.py FILE.npz`.

The file and the lines are those of keras_lenet.py. MXNet's last release needs an old NumPy and so its own environment:
    python -m venv mxnet-env && mxnet-env/bin/pip install mxnet==1.9.1 "numpy<1.24"
"""

import json
import sys
import time

import numpy as np

try:
    import mxnet
    from mxnet import autograd, gluon, init
    from mxnet.gluon import nn
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()


def main() -> None:
    data = np.load(sys.argv[1])
    x, x_test = (mxnet.nd.array(data[name][:, None].astype("float32") / 255) for name in ("x", "x_test"))
    y, y_test = (mxnet.nd.array(data[name]) for name in ("y", "y_test"))
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(6, 5, padding=2, activation="sigmoid"),
        nn.AvgPool2D(2, 2),
        nn.Conv2D(16, 5, activation="sigmoid"),
        nn.AvgPool2D(2, 2),
        nn.Dense(120, activation="sigmoid"),
        nn.Dense(84, activation="sigmoid"),
        nn.Dense(10),
    )
    net.initialize(init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.9})
    print(json.dumps({"mxnet": mxnet.__version__, "numpy": np.__version__}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        order = mxnet.nd.array(np.random.permutation(len(y)), dtype="int32")
        loss_sum = mxnet.nd.zeros(1)
        for start in range(0, len(y), 256):
            index = order[start : start + 256]
            images, labels = mxnet.nd.take(x, index), mxnet.nd.take(y, index)
            with autograd.record():
                loss = loss_of(net(images), labels)
            loss.backward()
            trainer.step(len(labels))
            loss_sum += loss.sum()
        right = mxnet.nd.zeros(1)
        for start in range(0, len(y_test), 256):
            logits = net(x_test[start : start + 256])
            right += (logits.argmax(axis=1) == y_test[start : start + 256]).sum()
        accuracy, loss_mean = float(right.asscalar()) / len(y_test), float(loss_sum.asscalar()) / len(y)
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "loss": loss_mean, "test_accuracy": accuracy}), flush=True)


if __name__ == "__main__":
    main()
