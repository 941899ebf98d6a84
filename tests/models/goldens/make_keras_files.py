"""Small models of Keras, and what Keras calculates from them, for the tests that read them without Keras.

Run it in separate environments, once with Keras 2 (of TensorFlow 2.15) and once with Keras 3 (on torch):

    keras2/bin/python tests/models/goldens/make_keras_files.py
    KERAS_BACKEND=torch keras3/bin/python tests/models/goldens/make_keras_files.py

Together, the models have every layer that is read; their weights come from `golden_inputs.parameters`. With Keras 3,
files are also written that h5py can write, and Keras does not: one in the newest version of HDF5, and refused ones.
"""

import h5py
import keras
import numpy as np
from golden_inputs import FOLDER, images, parameters, store

FILES = FOLDER / "keras_files"
L = keras.layers
VERSION = keras.__version__.split(".")[0]


def lenet():
    """A small LeNet."""
    return keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            L.Conv2D(4, 5, padding="same", activation="sigmoid", name="conv1"),
            L.AveragePooling2D(2, 2, name="pool1"),
            L.Conv2D(5, (3, 2), activation="tanh", name="conv2"),
            L.MaxPooling2D((2, 2), name="pool2"),
            L.Flatten(name="flat"),
            L.Dense(7, activation="relu", name="fc3"),
            L.Dropout(0.25, name="drop3"),
            L.Dense(3, activation="softmax", name="output"),
        ],
        name="lenet",
    )


def layers():
    """A chain of all other layers, under the names that Keras gives, with paddings of all kinds."""
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            L.Rescaling(2.0, -0.5),
            L.ZeroPadding2D(((1, 2), (0, 1))),
            L.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
            L.BatchNormalization(epsilon=0.01, momentum=0.9),
            L.LeakyReLU(0.2),
            L.MaxPooling2D(3, 2, padding="same"),
            L.Conv2D(4, (2, 4), padding="same", activation="elu"),
            L.AveragePooling2D(2, 3, padding="same"),
            L.PReLU(shared_axes=[1, 2]),
            L.SpatialDropout2D(0.5),
            L.ZeroPadding2D(2),
            L.Conv2D(4, 2, dilation_rate=2, padding="same", activation="softplus"),
            L.BatchNormalization(scale=False),
            L.ReLU(),
            L.BatchNormalization(center=False),
            L.ELU(),
            L.BatchNormalization(center=False, scale=False),
            L.Activation("tanh"),
            L.Flatten(),
            L.BatchNormalization(),
            L.PReLU(),
            L.Dense(6, use_bias=False),
            L.Activation("sigmoid"),
            L.Dense(4),
            L.Softmax(),
        ],
        name="layers",
    )


def branches():
    """A functional model with everything that reads several layers, listed in another order than it is computed."""
    x = keras.Input((9, 9, 3), name="images")
    a = L.Conv2D(4, 3, padding="same", name="a")(x)
    b = L.Conv2D(4, 1, name="b")(x)
    c = L.Maximum(name="c")([L.Add(name="sum")([a, b]), L.Multiply(name="product")([a, b])])
    d = L.Subtract(name="difference")([L.Average(name="mean")([a, b, c]), L.Activation("tanh", name="t")(b)])
    e = L.Concatenate(name="e")([d, a])
    f = L.MaxPooling2D(2, name="pool")(L.Conv2D(3, 2, name="f")(e))
    g = L.Add(name="g")([L.Flatten(name="f1")(f), L.Flatten(name="f2")(L.Activation("sigmoid", name="s")(f))])
    h = L.Dense(4, activation="relu", name="h")(g)
    i = L.GlobalAveragePooling2D(name="i")(e)
    j = L.GlobalMaxPooling2D(name="j")(e)
    return keras.Model(x, L.Dense(3, name="out")(L.Concatenate(name="all")([h, i, j])), name="branches")


def rows():
    """Dense layers that read the rows of a square image."""
    return keras.Sequential([keras.Input((49,)), L.Dense(5, activation="tanh"), L.Dense(3)], name="rows")


def channels_first():
    """A model with channels first, and both ways to flatten."""
    x = keras.Input((3, 9, 9))
    y = L.Conv2D(4, 3, padding="same", data_format="channels_first", activation="relu")(x)
    y = L.BatchNormalization(axis=1)(L.MaxPooling2D(2, data_format="channels_first")(y))
    y = L.PReLU(shared_axes=[2, 3])(y)
    a, b = (L.Dense(4)(L.Flatten(data_format=form)(y)) for form in ("channels_first", "channels_last"))
    return keras.Model(x, L.Concatenate()([a, b]), name="channels_first")


def rounded(dtype):
    """A model in half precision."""
    half = {"dtype": dtype}
    return keras.Sequential(
        [keras.Input((6, 6, 1)), L.Conv2D(2, 3, **half), L.Flatten(), L.Dense(3, **half)], name=dtype
    )


def outputs(model, gain=2.0):
    """Give a model its weights, and return what it calculates."""
    shapes = [tuple(w.shape) for w in model.weights]
    values = parameters(shapes, gain)
    for weight, value in zip(model.weights, values, strict=True):
        name = weight.name.rpartition("/")[2]
        if len(weight.shape) > 1 and "alpha" not in name:  # fan-in of Keras' layout
            value = value * float((np.prod(value.shape[1:]) / np.prod(value.shape[:-1])) ** 0.5)
        if "gamma" in name or "variance" in name:
            value = 1 + value**2
        weight.assign(value.astype("float32"))
    shape = model.input_shape[1:]
    side = 7 if len(shape) == 1 else shape[1]
    channels = 1 if len(shape) == 1 else min(shape)
    x = images((3, channels, side, side), 0, 1)
    is_last = len(shape) == 3 and shape[2] == channels
    x = x.transpose(0, 2, 3, 1) if is_last else x.reshape(3, *shape)
    facts = {"input": [3, channels, side, side], "range": [0, 1]}
    return {**facts, "outputs": np.asarray(model.predict(x, verbose=0), dtype=np.float64)}


def newest_version(source, path):
    """Copy the weights and the configuration of a .h5 file in the newest version of HDF5."""
    with h5py.File(source) as old, h5py.File(path, "w", libver="latest") as new:
        new.attrs["model_config"] = old.attrs["model_config"]
        names: list[str] = []
        old.visit(names.append)
        for name in names:
            if isinstance(old[name], h5py.Dataset):
                new[name] = old[name][()]
                new[name].parent.attrs["fixed"] = np.bytes_("text")


def refused():
    """Write one file for each part of HDF5 that is not read."""

    def write(name, fill, **settings):
        with h5py.File(FILES / f"refused_{name}.h5", "w", **settings) as file:
            fill(file)

    def many(file):
        for i in range(10):
            file[f"w{i}"] = np.float32(i)

    ones = np.ones((4, 4), np.float32)
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "w", (4,))
    write("chunks", lambda file: file.create_dataset("w", data=ones, compression="gzip"))
    write("external", lambda file: file.create_dataset("w", (4,), "f4", external=[("other.bin", 0, 16)]))
    write("virtual", lambda file: file.create_virtual_dataset("w", layout))
    write("unwritten", lambda file: file.create_dataset("w", (4,), "f4"))
    write("soft_link", lambda file: file.__setitem__("w", h5py.SoftLink("/v")))
    write("external_link", lambda file: file.__setitem__("w", h5py.ExternalLink("other.h5", "/v")))
    write("newest_link", lambda file: file.__setitem__("w", h5py.SoftLink("/v")), libver="latest")
    write("links_in_heap", many, libver="latest")
    write("attributes_in_heap", lambda file: file.attrs.update({f"a{i}": i for i in range(10)}), libver="latest")


def main():
    FILES.mkdir(exist_ok=True)
    models = [lenet(), layers(), branches(), rows()]
    if VERSION == "3":
        models += [channels_first(), rounded("float16"), rounded("bfloat16")]
    results = {}
    for model in models:
        results[model.name] = outputs(model)
        if VERSION == "3" or model.name in {"lenet", "rows"}:
            model.save(FILES / f"{model.name}_{VERSION}.keras")
        if model.name == "lenet" or (VERSION == "2" and model.name != "rows"):
            model.save(FILES / f"{model.name}_{VERSION}.h5", **({"save_format": "h5"} if VERSION == "2" else {}))
        if model.name == "rows":
            model.save_weights(FILES / f"rows_{VERSION}.weights.h5")
    if VERSION == "3":
        newest_version(FILES / "lenet_3.h5", FILES / "lenet_newest.h5")
        refused()
    made_by = "tests/models/goldens/make_keras_files.py"
    store(f"keras_files/outputs_{VERSION}.json", f"Keras {keras.__version__}", made_by, results)


if __name__ == "__main__":
    main()
