"""Outputs of OpenCV's reader of Caffe models for the networks that come from Caffe.

Run it in a separate environment (newer versions of OpenCV do not have the reader):

    python -m venv cv && cv/bin/pip install "opencv-python-headless<5"
    cv/bin/python tests/models/goldens/make_caffe.py

The prototxts are written from BVLC/caffe's (examples/mnist/lenet.prototxt, models/bvlc_alexnet/deploy.prototxt,
models/bvlc_reference_caffenet/deploy.prototxt); the caffemodel is encoded here, field by field, from `parameters`.
"""

import struct

import cv2
import numpy as np
from golden_inputs import images, parameters, store

CLASSES = 10


def conv(name, bottom, top, out, kernel, stride=1, pad=0, group=1):
    return (name, "Convolution", bottom, top,
            f"convolution_param {{ num_output: {out} kernel_size: {kernel} stride: {stride} pad: {pad}"
            f" group: {group} }}", (out, kernel, group))  # fmt: skip


def dense(name, bottom, top, out):
    return (name, "InnerProduct", bottom, top, f"inner_product_param {{ num_output: {out} }}", (out,))


def pool(name, bottom, top, kernel, stride=2):
    text = f"pooling_param {{ pool: MAX kernel_size: {kernel} stride: {stride} }}"
    return (name, "Pooling", bottom, top, text, None)


def relu(name, blob):
    return (name, "ReLU", blob, blob, "", None)


def norm(name, bottom, top):
    return (name, "LRN", bottom, top, "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }", None)


LENET = [
    conv("conv1", "data", "conv1", 20, 5), pool("pool1", "conv1", "pool1", 2),
    conv("conv2", "pool1", "conv2", 50, 5), pool("pool2", "conv2", "pool2", 2),
    dense("ip1", "pool2", "ip1", 500), relu("relu1", "ip1"), dense("ip2", "ip1", "ip2", CLASSES),
]  # fmt: skip


def alexnet(pool_first):
    def pool_and_norm(i, blob):
        if pool_first:  # CaffeNet
            return [pool(f"pool{i}", blob, f"pool{i}", 3), norm(f"norm{i}", f"pool{i}", f"out{i}")]
        return [norm(f"norm{i}", blob, f"norm{i}"), pool(f"pool{i}", f"norm{i}", f"out{i}", 3)]

    return [
        conv("conv1", "data", "conv1", 96, 11, stride=4), relu("relu1", "conv1"), *pool_and_norm(1, "conv1"),
        conv("conv2", "out1", "conv2", 256, 5, pad=2, group=2), relu("relu2", "conv2"), *pool_and_norm(2, "conv2"),
        conv("conv3", "out2", "conv3", 384, 3, pad=1), relu("relu3", "conv3"),
        conv("conv4", "conv3", "conv4", 384, 3, pad=1, group=2), relu("relu4", "conv4"),
        conv("conv5", "conv4", "conv5", 256, 3, pad=1, group=2), relu("relu5", "conv5"),
        pool("pool5", "conv5", "pool5", 3),
        dense("fc6", "pool5", "fc6", 4096), relu("relu6", "fc6"),
        dense("fc7", "fc6", "fc7", 4096), relu("relu7", "fc7"), dense("fc8", "fc7", "fc8", CLASSES),
    ]  # fmt: skip


def prototxt(layers, shape):
    dims = " ".join(f"dim: {n}" for n in (1, *shape[1:]))
    text = f'name: "net" layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'
    for name, kind, bottom, top, parameter, _ in layers:
        text += f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {parameter} }}\n'
    return text.encode()


def shapes(layers, channels, flat):
    """Shapes of weights and biases in order; `flat` is the number of inputs of the first dense layer."""
    result, in_channels, dense_inputs = [], channels, flat
    for *_, facts in layers:
        if facts and len(facts) == 3:
            out, kernel, group = facts
            result += [(out, in_channels // group, kernel, kernel), (out,)]
            in_channels = out
        elif facts:
            result += [(facts[0], dense_inputs), (facts[0],)]
            dense_inputs = facts[0]
    return result


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def blob(array):
    """BlobProto: shape (7) with packed dims (1), packed float data (5)."""
    dims = field(1, b"".join(varint(n) for n in array.shape))
    return field(7, dims) + field(5, struct.pack(f"<{array.size}f", *array.ravel()))


def caffemodel(layers, arrays):
    """NetParameter: layers (100) with name (1), type (2), blobs (7)."""
    out, arrays = field(1, b"net"), list(arrays)
    for name, kind, *_, facts in layers:
        blobs = b"".join(field(7, blob(arrays.pop(0))) for _ in range(2)) if facts else b""
        out += field(100, field(1, name.encode()) + field(2, kind.encode()) + blobs)
    return out


def run(layers, shape, flat, low, high):
    x = images(shape, low, high)
    arrays = parameters(shapes(layers, shape[1], flat))
    buffers = (np.frombuffer(b, np.uint8) for b in (prototxt(layers, shape), caffemodel(layers, arrays)))
    net = cv2.dnn.readNetFromCaffe(*buffers)
    outputs = []
    for image in x:
        net.setInput(image[None])
        outputs.append(net.forward().reshape(-1).copy())
    return np.stack(outputs)


def main():
    cases = {
        "lenet_caffe": (LENET, (4, 1, 28, 28), 800, (0, 0.99609375)),  # scale 0.00390625
        "alexnet_caffe": (alexnet(pool_first=False), (3, 3, 227, 227), 9216, (-118, 137)),
        "caffenet": (alexnet(pool_first=True), (3, 3, 227, 227), 9216, (-118, 137)),
    }
    results = {}
    for name, (layers, shape, flat, (low, high)) in cases.items():
        outputs = run(layers, shape, flat, low, high)
        results[name] = {"input": list(shape), "range": [low, high], "gain": 1.0, "outputs": outputs}
    store(
        "caffe.json",
        f"OpenCV {cv2.__version__}, cv2.dnn.readNetFromCaffe",
        "tests/models/goldens/make_caffe.py",
        results,
    )


if __name__ == "__main__":
    main()
