"""What Apache MXNet 1.9.1 calculates from files at full size: its own AlexNet, and that of Gluon's model zoo.

Run it in a separate environment, as `make_mxnet.py`:

    mx/bin/python tests/models/goldens/make_full_mxnet.py

Stores the networks as MXNet saves them, the names, shapes and checksums of its files of weights, which
`old_files.params` writes again byte by byte, and the values before the softmax. `parity.py` compares these with ours.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import mxnet as mx
import numpy as np
from golden_inputs import FOLDER, images
from mxnet.gluon.model_zoo import vision
from old_files import FOLDER as FULL_SIZE
from old_files import LOGITS_GAIN, params, weights

INPUT = (2, 3, 224, 224)
RANGE = (-118, 137)


def facts(path, named):
    """What the test needs to write the file of weights again; the writer of the tests must agree with MXNet's."""
    content = path.read_bytes()
    assert content == b"".join(params(named)), f"old_files.params does not write {path.name} as MXNet does"
    return {"sha1": hashlib.sha1(content).hexdigest(), "shapes": {n: list(v.shape) for n, v in named.items()}}


def graph(path, name):
    text = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
    (FOLDER / FULL_SIZE / f"{name}-symbol.json").write_text(text + "\n")


def symbol_alexnet(classes):
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


def symbol(folder):
    """example/image-classification/symbols/alexnet.py, saved as Module saves a checkpoint."""
    logits = symbol_alexnet(1000)
    net = mx.sym.SoftmaxOutput(logits, name="softmax")
    shapes = dict(zip(logits.list_arguments(), logits.infer_shape(data=INPUT)[0], strict=True))
    del shapes["data"]
    values = dict(zip(shapes, weights([*shapes.values()], LOGITS_GAIN), strict=True))
    arguments = {name: mx.nd.array(value) for name, value in values.items()}
    mx.model.save_checkpoint(str(folder / "alexnet"), 0, net, arguments, {})
    graph(folder / "alexnet-symbol.json", "alexnet_mxnet")
    rows = facts(folder / "alexnet-0000.params", {f"arg:{name}": value for name, value in values.items()})
    loaded, own, _ = mx.model.load_checkpoint(str(folder / "alexnet"), 0)
    logits = loaded.get_internals()["fc3_output"]
    executor = logits.bind(mx.cpu(), {"data": mx.nd.array(images(INPUT, *RANGE)), **own})
    return rows, executor.forward(is_train=False)[0].asnumpy()


def gluon(folder):
    """The model zoo's AlexNet, saved as `save_parameters` does and as `export` does."""
    net = vision.alexnet(prefix="alexnet0_")
    net.initialize()
    net.hybridize()
    net(mx.nd.array(images(INPUT, *RANGE)[:1]))
    own = net._collect_params_with_prefix()
    values = dict(zip(own, weights([p.shape for p in own.values()], LOGITS_GAIN), strict=True))
    for name, parameter in own.items():
        parameter.set_data(mx.nd.array(values[name]))
    net.save_parameters(str(folder / "gluon.params"))
    net.export(str(folder / "gluon"))
    graph(folder / "gluon-symbol.json", "alexnet_gluon")
    exported = {f"arg:{own[name].name}": value for name, value in values.items()}
    rows = facts(folder / "gluon.params", values), facts(folder / "gluon-0000.params", exported)
    again = vision.alexnet()
    again.load_parameters(str(folder / "gluon.params"))
    return *rows, again(mx.nd.array(images(INPUT, *RANGE))).asnumpy()


def main():
    with tempfile.TemporaryDirectory() as folder:
        own, outputs = symbol(Path(folder))
        structural, exported, gluon_outputs = gluon(Path(folder))
    files = {"alexnet_mxnet": own, "alexnet_gluon": exported, "alexnet_gluon_structural": structural}
    values = {"input": INPUT, "range": RANGE, "files": files}
    (FOLDER / FULL_SIZE / "mxnet.json").write_text(json.dumps(values, indent=1) + "\n")
    outputs = {"alexnet_mxnet": outputs, "alexnet_gluon": gluon_outputs}
    for name, rows in outputs.items():
        print(f"{name}: {rows.shape}, {rows.min():.4g} to {rows.max():.4g}, over images {rows.std(axis=0).mean():.4g}")
    engine = np.array(f"Apache MXNet {mx.__version__}")
    np.savez_compressed(FOLDER / FULL_SIZE / "mxnet.npz", engine=engine, **outputs)


if __name__ == "__main__":
    main()
