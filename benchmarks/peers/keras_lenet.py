"""The book's LeNet in Keras 3 on JAX; an epoch whenever a line comes in: `python keras_lenet.py fashion_mnist.npz`.

The file holds x, y (training images uint8 [N, 28, 28], labels) and x_test, y_test. The first line out is JSON about
the versions, or about what is missing; then, for each line in, one with the seconds of an epoch and its evaluation.
    pip install keras jax
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["KERAS_BACKEND"] = "jax"

import numpy as np

try:
    import jax
    import keras
    from keras import layers
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit()


def main() -> None:
    data = np.load(sys.argv[1])
    x, x_test = (data[name][..., None].astype("float32") / 255 for name in ("x", "x_test"))
    y, y_test = (data[name].astype("int32") for name in ("y", "y_test"))
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="sigmoid"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="sigmoid"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="sigmoid"),
            layers.Dense(84, activation="sigmoid"),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(0.9), loss, metrics=["accuracy"])
    versions = {"keras": keras.__version__, "jax": jax.__version__, "devices": [str(one) for one in jax.devices()]}
    print(json.dumps({**versions, "parameters": net.count_params()}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        history = net.fit(x, y, batch_size=256, epochs=1, verbose=0)
        _, accuracy = net.evaluate(x_test, y_test, batch_size=256, verbose=0)
        seconds = time.perf_counter() - started
        result = {"seconds": seconds, "loss": history.history["loss"][0], "test_accuracy": accuracy}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
