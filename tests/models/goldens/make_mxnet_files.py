"""Small files of Apache MXNet 1.9.1 and what MXNet calculates from them, for the tests that read them without MXNet.

Run it in a separate environment, as `make_mxnet.py`:

    mx/bin/python tests/models/goldens/make_mxnet_files.py

Together, the networks have every operator that is read. Their weights come from `golden_inputs.parameters`.
"""

import json

import mxnet as mx
from golden_inputs import FOLDER, images, parameters, store
from mxnet.gluon import nn

FILES = FOLDER / "mxnet_files"
IMAGES = (3, 2, 9, 9)


def layers():
    """A chain: both kinds of batch normalization, grouped convolution, LRN, both roundings of pooling."""
    s = mx.sym
    x = s.Convolution(s.Variable("data"), name="conv1", kernel=(3, 3), pad=(1, 1), num_filter=4)
    x = s.BatchNorm(x, name="bn1", fix_gamma=False, eps=0.01)
    x = s.LeakyReLU(x, name="prelu1", act_type="prelu")
    x = s.LRN(x, name="norm1", nsize=3, alpha=3, beta=0.5, knorm=1)
    x = s.Pooling(x, name="pool1", kernel=(3, 2), stride=(2, 2), pool_type="max", pooling_convention="full")
    x = s.Convolution(x, name="conv2", kernel=(2, 2), dilate=(2, 1), num_filter=6, num_group=2, no_bias=True)
    x = s.Activation(s.BatchNorm(x, name="bn2"), name="tanh2", act_type="tanh")
    x = s.Pooling(x, name="pool2", kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg")
    x = s.Activation(s.FullyConnected(x, name="fc3", num_hidden=5, no_bias=True), name="soft3", act_type="softrelu")
    x = s.FullyConnected(s.Dropout(x, name="drop3"), name="fc4", num_hidden=3)
    return s.SoftmaxOutput(x, name="softmax")


def branches():
    """Sums, products and maxima of branches, arithmetic with numbers, and an output that is a softmax."""
    s = mx.sym
    x = (1 - (s.Variable("data") - 0.5) * 4) / 2 + 0.25
    a = s.Convolution(x, name="a", kernel=(3, 3), stride=(2, 2), num_filter=3)
    b = s.Convolution(x, name="b", kernel=(3, 3), stride=(2, 2), num_filter=3)
    c = s.Concat(s.relu(a, name="ra"), s.sigmoid(b, name="sb"), name="c")
    e = s.broadcast_maximum(a, b, name="max") * s.LeakyReLU(a - b, name="elu", act_type="elu", slope=0.5)
    f = s.add_n(s.LeakyReLU(b, name="leaky", slope=0.1), e, s.abs(a, name="abs"), name="f")
    g = s.Concat(c, f, name="g")
    g = s.Pooling(g, name="p", kernel=(3, 3), pad=(1, 1), pool_type="avg", count_include_pad=False)
    h = s.Flatten(s.Pooling(g, name="q", global_pool=True, pool_type="max", kernel=(1, 1)), name="flat")
    h = s.FullyConnected(s.BlockGrad(h, name="stop"), name="fc", num_hidden=4, flatten=False)
    return s.softmax(h + s.tanh(h, name="t"), name="prob")


def save(name, symbol, gain):
    """Save a checkpoint of Module, and return the outputs before SoftmaxOutput."""
    arguments, _, auxiliaries = symbol.infer_shape(data=IMAGES)
    names = [n for n in symbol.list_arguments() if n != "softmax_label"]
    shapes = dict(zip(symbol.list_arguments(), arguments, strict=True))
    named = dict(zip(names[1:], parameters([shapes[n] for n in names[1:]], gain), strict=True))
    named = {n: 1 + v if "gamma" in n else v for n, v in named.items()}
    moving = dict(zip(symbol.list_auxiliary_states(), parameters(auxiliaries), strict=True))
    moving = {n: 1 + v**2 if "var" in n else v for n, v in moving.items()}
    arg, aux = ({n: mx.nd.array(v) for n, v in group.items()} for group in (named, moving))
    mx.model.save_checkpoint(str(FILES / name), 0, symbol, arg, aux)
    (FILES / f"{name}-0000.params").rename(FILES / f"{name}.params")
    graph = FILES / f"{name}-symbol.json"
    graph.write_text(json.dumps(json.loads(graph.read_text()), separators=(",", ":")) + "\n")  # without spaces
    inner = symbol.get_internals()
    output = inner["fc4_output"] if "fc4_output" in inner.list_outputs() else symbol
    executor = output.bind(mx.cpu(), {"data": mx.nd.array(images(IMAGES, 0, 1)), **arg}, aux_states=aux)
    return executor.forward(is_train=False)[0].asnumpy()


def lenet():
    """A small LeNet of Gluon, as export writes it and as save_parameters does."""
    net = nn.HybridSequential(prefix="")
    net.add(
        nn.Conv2D(channels=2, kernel_size=3, activation="sigmoid"),
        nn.MaxPool2D(pool_size=2, strides=2),
        nn.Dense(5, activation="sigmoid"),
        nn.Dense(3),
    )
    net.initialize()
    net.hybridize()
    x = mx.nd.array(images(IMAGES, 0, 1))
    net(x)
    own = list(net.collect_params().values())
    for parameter, value in zip(own, parameters([p.shape for p in own], 3), strict=True):
        parameter.set_data(mx.nd.array(value))
    outputs = net(x).asnumpy()
    net.export(str(FILES / "gluon"))
    (FILES / "gluon-0000.params").rename(FILES / "gluon.params")
    net.save_parameters(str(FILES / "gluon_structural.params"))
    return outputs


def main():
    FILES.mkdir(exist_ok=True)
    results = {"layers": save("layers", layers(), 4), "branches": save("branches", branches(), 0.4), "gluon": lenet()}
    mx.nd.save(str(FILES / "list.params"), [mx.nd.array([1, 2], dtype=t) for t in ("int8", "float16", "int64")])
    row_sparse = mx.nd.sparse.row_sparse_array(([[1.0, 2.0]], [3]), shape=(5, 2))
    mx.nd.save(str(FILES / "sparse.params"), {"dense": mx.nd.ones((1,)), "embedding": row_sparse})
    mx.npx.set_np()
    mx.npx.save(str(FILES / "version_3.params"), {"scalar": mx.np.array(3.5), "empty": mx.np.zeros((0, 3))})
    mx.npx.reset_np()
    facts = {"input": list(IMAGES), "range": [0, 1]}
    made_by = "tests/models/goldens/make_mxnet_files.py"
    rows = {name: {**facts, "outputs": outputs} for name, outputs in results.items()}
    store("mxnet_files/outputs.json", f"Apache MXNet {mx.__version__}", made_by, rows)


if __name__ == "__main__":
    main()
