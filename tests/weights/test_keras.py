"""Models of Keras: equal to Keras 2 and 3 on their own files, and what is refused, with the layer that is wrong."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_inputs import images, parameters
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.errors import DataError
from classicnets.models.graph import build
from classicnets.weights import files, keras
from classicnets.weights.keras_layers import translate
from classicnets.weights.keras_model import model
from classicnets.weights.messages import MessageError
from support.command_line import CommandLine

FILES = Path(__file__).parents[1] / "models" / "goldens" / "keras_files"
OUTPUTS: dict[str, Any] = {
    f"{name}_{version}": row
    for version in (2, 3)
    for name, row in json.loads((FILES / f"outputs_{version}.json").read_text())["nets"].items()
}
WHOLE = sorted(path.name for path in FILES.iterdir() if path.stem in OUTPUTS)
HALF = {"float16_3": torch.float16, "bfloat16_3": torch.bfloat16}
Edit = Callable[[dict[str, Any]], Any]


def network(path: Path) -> nn.Module:
    definition, tensors = keras.graph(path), keras.read(path, data=True)
    assert definition.input is not None
    net = build(definition.nodes, definition.input)
    missing, unexpected = net.load_state_dict(tensors, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return net.eval()


@pytest.mark.parametrize("name", WHOLE)
def test_outputs_equal_those_of_keras(name: str) -> None:
    row = OUTPUTS[name.partition(".")[0]]
    x, expected = torch.from_numpy(images(row["input"], *row["range"])), torch.tensor(row["outputs"])
    with torch.no_grad():
        outputs = network(FILES / name)(x)
    spread = expected.max() - expected.min()
    assert (expected[0] - expected[1]).abs().max() > 0.01 * spread  # the images make a difference
    tolerance = 5e-3 if name.partition(".")[0] in HALF else 1e-6  # Keras computes in half precision, and torch does not
    assert (outputs - expected).abs().max() < tolerance * spread


@pytest.mark.parametrize("name", HALF)
def test_half_precision_stays_as_it_is(name: str) -> None:
    tensors = keras.read(FILES / f"{name}.keras", data=True)
    (kernel,) = parameters([(3, 3, 1, 2)], 2.0)
    scaled = torch.from_numpy(kernel * float(((3 * 1 * 2) / (3 * 3 * 1)) ** 0.5))
    assert {tensor.dtype for tensor in tensors.values()} == {HALF[name]}
    assert torch.equal(next(iter(tensors.values())), scaled.to(HALF[name]).permute(3, 2, 0, 1))


def test_all_files_of_a_model_have_the_same_weights() -> None:
    names = ["lenet_2.h5", "lenet_2.keras", "lenet_3.h5", "lenet_3.keras", "lenet_newest.h5"]
    first, *others = [files.read(FILES / name, data=True)[0] for name in names]
    assert [*first] == [
        f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc3", "output") for kind in ("weight", "bias")
    ]
    for other in others:
        assert [*other] == [*first] and all(torch.equal(other[name], first[name]) for name in first)


@pytest.mark.parametrize("name", WHOLE)
def test_shapes_are_read_without_values(name: str) -> None:
    values, shapes = (files.read(FILES / name, data=data)[0] for data in (True, False))
    assert all(tensor.is_meta for tensor in shapes.values())
    assert {n: (t.shape, t.dtype) for n, t in values.items()} == {n: (t.shape, t.dtype) for n, t in shapes.items()}


def test_identifies_a_file(cli: CommandLine) -> None:
    code, out, err = cli("weights", "identify", FILES / "lenet_3.keras")
    assert code == 0 and "8 tensors" in out, err


# --------------------------------------------------------------------------------------------------- what is in a file


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        files.read(path, data=True)
    assert caught.value.code == "CN305" and str(path) in str(caught.value.where)
    return caught.value


@pytest.mark.parametrize("version", [2, 3])
def test_weights_without_a_model_are_listed(version: int) -> None:
    error = refusal(FILES / f"rows_{version}.weights.h5")
    assert "weights only" in error.why and "layers/dense/vars/0 49x5" in error.why
    assert "model.save(" in error.hints[0]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("chunks", "compressed"),
        ("external", "in another file"),
        ("virtual", "virtual"),
        ("unwritten", "without stored values"),
        ("soft_link", "links by name"),
        ("external_link", "links by name"),
        ("newest_link", "links by name"),
        ("links_in_heap", "links in a heap"),
        ("attributes_in_heap", "attributes in a heap"),
    ],
)
def test_parts_of_hdf5_that_are_not_read_are_named(name: str, why: str) -> None:
    error = refusal(FILES / f"refused_{name}.h5")
    assert why in error.why and "byte" in str(error.where) and "save it again" in error.hints[0]


def archive(path: Path, change: Callable[[dict[str, bytes]], Any], compression: int = zipfile.ZIP_STORED) -> Path:
    """A copy of a .keras file whose parts are changed."""
    with zipfile.ZipFile(FILES / "lenet_3.keras") as old:
        parts = {name: old.read(name) for name in old.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return path


def test_a_compressed_archive_is_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "model.keras", lambda parts: None, zipfile.ZIP_DEFLATED)
    assert torch.equal(
        files.read(path, data=True)[0]["fc3.weight"], files.read(FILES / "lenet_3.keras", data=True)[0]["fc3.weight"]
    )


def test_an_archive_that_expands_is_refused(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "a.keras", lambda parts: parts.update({"model.weights.h5": bytes(1 << 22)}), zipfile.ZIP_DEFLATED
    )
    assert "expands to" in refusal(path).why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda parts: parts.update({"model.weights.npz": parts.pop("model.weights.h5")}), "has no model.weights.h5"),
        (lambda parts: parts.update({"config.json": b"{"}), "configuration of the model is damaged"),
        (lambda parts: parts.update({"config.json": b"[1]"}), "not that of a Keras model"),
        (lambda parts: parts.update({"model.weights.h5": b"\x89HDF\r\n\x1a\n"}), "truncated"),
        (lambda parts: parts.update({"model.weights.h5": b"not HDF5, but a text"}), "there is no HDF5"),
    ],
)
def test_damaged_parts_of_an_archive_are_named(tmp_path: Path, change: Any, why: str) -> None:
    assert why in refusal(archive(tmp_path / "model.keras", change)).why


def test_changed_bytes_in_an_archive_are_noticed(tmp_path: Path) -> None:
    content = bytearray((FILES / "lenet_3.keras").read_bytes())
    content[content.index(b"OHDR" if b"OHDR" in content else b"TREE") - 1] ^= 1
    (tmp_path / "model.keras").write_bytes(content)
    assert "model.weights.h5 in the archive is truncated or damaged" in refusal(tmp_path / "model.keras").why


def edited(path: Path, edit: Edit) -> Path:
    """A copy of a .keras file whose configuration is edited."""

    def change(parts: dict[str, bytes]) -> None:
        config = json.loads(parts["config.json"])
        edit(config)
        parts["config.json"] = json.dumps(config).encode()

    return archive(path, change)


def setting(number: int, **settings: Any) -> Edit:
    """Change settings of the layer with this number; 0 is the input."""
    return lambda config: config["config"]["layers"][number]["config"].update(settings)


def of_kind(number: int, kind: str, **settings: Any) -> Edit:
    """Change the class of a layer."""

    def edit(config: dict[str, Any]) -> None:
        config["config"]["layers"][number]["class_name"] = kind
        setting(number, **settings)(config)

    return edit


def without_shape(config: dict[str, Any]) -> None:
    config["config"].pop("build_input_shape")
    setting(0, batch_shape=None)(config)


@pytest.mark.parametrize(
    ("edit", "layer", "why"),
    [
        (of_kind(5, "Lambda"), "flat (Lambda)", "code in Python"),
        (of_kind(1, "DepthwiseConv2D"), "conv1 (DepthwiseConv2D)", "DepthwiseConv2D is not known"),
        (setting(1, activation="gelu"), "conv1 (Conv2D)", "the activation gelu is not known"),
        (setting(1, activation={"class_name": "function", "config": "mine"}), "conv1", "activation mine"),
        (setting(1, filters=5), "conv1 (Conv2D)", "kernel is 5x5x1x4 in the file, and 5x5x1x5 in the configuration"),
        (setting(1, filters="4"), "conv1 (Conv2D)", "out is '4'"),
        (setting(1, kernel_size=[5]), "conv1 (Conv2D)", "kernel_size is [5]"),
        (setting(1, strides=0), "conv1 (Conv2D)", "strides is [0, 0]"),
        (setting(1, padding="causal"), "conv1 (Conv2D)", "padding is 'causal'"),
        (setting(2, data_format="channels_first"), "pool1", "data_format is 'channels_first'"),
        (setting(5, data_format="channels_first"), "flat (Flatten)", "data_format is 'channels_first'"),
        (setting(3, kernel_size=[30, 30]), "conv2 (Conv2D)", "does not fit"),
        (of_kind(5, "Dense", units=3), "flat (Dense)", "applies it to each pixel"),
        (of_kind(5, "Reshape", target_shape=[5, 2, 2]), "flat (Reshape)", "another shape, [5, 2, 2]"),
        (of_kind(5, "ReLU", max_value=6.0), "flat (ReLU)", "largest value"),
        (of_kind(6, "Conv2D", filters=2, kernel_size=1), "fc3 (Conv2D)", "a row of values"),
        (of_kind(6, "BatchNormalization", axis=2), "fc3 (BatchNormalization)", "axis is 2"),
        (
            of_kind(6, "BatchNormalization", axis=-1, scale=False),
            "fc3 (BatchNormalization)",
            "beta is 20x7 in the file, and 20 in",
        ),
        (of_kind(2, "BatchNormalization", axis=1), "pool1 (BatchNormalization)", "another axis"),
        (of_kind(2, "PReLU", shared_axes=None), "pool1 (PReLU)", "slope for each pixel"),
        (of_kind(2, "Add"), "pool1 (Add)", "1 input"),
        (setting(0, batch_shape=[None, 16, 12, 1]), "fc3 (Dense)", "kernel is 20x7 in the file, and 30x7"),
        (setting(0, batch_shape=[None, None, None, 1]), "flat (Flatten)", "size of the images is free"),
        (setting(0, batch_shape=[None, 12, 12, None]), "conv1 (Conv2D)", "channels of its input"),
        (without_shape, "input_layer (InputLayer)", "does not state the shape"),
        (setting(3, name="conv1"), "layer 3", "two layers are called 'conv1'"),
        (setting(3, name=""), "layer 3", "no name"),
    ],
)
def test_layers_that_cannot_be_used_are_named(tmp_path: Path, edit: Edit, layer: str, why: str) -> None:
    error = refusal(edited(tmp_path / "model.keras", edit))
    assert layer in str(error.where) and why in error.why


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda config: config.update(class_name="MyModel"), "of the class MyModel"),
        (lambda config: config["config"].update(layers=[]), "no layers"),
        (lambda config: config["config"].update(layers=config["config"]["layers"][:1]), "no layers beside its input"),
        (lambda config: config["config"].update(layers=config["config"]["layers"][:6]), "image that was flattened"),
        (lambda config: config["config"]["layers"].append(3), "not an object"),
        (lambda config: config["config"]["layers"].append({"class_name": "Dense"}), "no class or no settings"),
        (setting(0, batch_shape=[None, 5]), "shape 5, not images"),
        (setting(0, batch_shape=[None, 2, 2, 2, 2]), "shape 2x2x2x2, not images"),
    ],
)
def test_models_that_cannot_be_used_are_explained(tmp_path: Path, edit: Edit, why: str) -> None:
    assert why in refusal(edited(tmp_path / "model.keras", edit)).why


def test_configurations_of_early_keras_2_are_read() -> None:
    """A Sequential model was a list of layers, and the first of them stated the shape of its input."""
    first = {"name": "a", "filters": 2, "kernel_size": [3, 3], "batch_input_shape": [None, 8, 8, 1]}
    layers = [
        {"class_name": "Conv2D", "config": first},
        {"class_name": "Flatten", "config": {"name": "b"}},
        {"class_name": "Dense", "config": {"name": "c", "units": 3, "activation": "softmax"}},
    ]
    translation = translate(model({"class_name": "Sequential", "config": layers}))
    assert translation.input == (1, 8, 8)
    assert [(node.name, node.kind) for node in translation.nodes] == [
        ("a", "conv"), ("b", "flatten"), ("c", "dense"), ("c_softmax", "softmax"),
    ]  # fmt: skip
    assert [weight.shape for weight in translation.weights] == [(3, 3, 1, 2), (2,), (72, 3), (3,)]


# -------------------------------------------------------------------------------------------------- functional models


def functional(*layers: tuple[str, str, list[Any]], outputs: Any = None) -> dict[str, Any]:
    """A functional model of layers without weights; a layer has a name, a class and the references that it reads."""
    listed: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 4, 4, 2]}, "inbound_nodes": []}
    ]
    listed += [{"class_name": kind, "config": {"name": name}, "inbound_nodes": nodes} for name, kind, nodes in layers]
    return {
        "class_name": "Functional",
        "config": {"layers": listed, "output_layers": outputs or [[layers[-1][0], 0, 0]]},
    }


def reads(*names: str) -> list[Any]:
    return [[[name, 0, 0, {}] for name in names]]


def test_layers_are_computed_in_order_whatever_the_order_of_the_file() -> None:
    layers = [
        ("c", "Add", reads("b", "a")),
        ("b", "ReLU", reads("a")),
        ("a", "ReLU", reads("x")),
        ("z", "ReLU", reads("a")),
    ]
    translation = translate(model(functional(*layers, outputs=["c", 0, 0])))
    assert [node.name for node in translation.nodes] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ([("a", "ReLU", reads("b")), ("b", "ReLU", reads("a"))], "reads its own output"),
        ([("a", "ReLU", reads("a"))], "reads its own output"),
        ([("a", "ReLU", reads("q"))], "'q', and there is no such layer"),
        ([("a", "ReLU", [])], "several times"),
        ([("a", "ReLU", [[]])], "reads no other layer"),
        ([("a", "ReLU", [[["x", 0, 0, {}]], [["x", 0, 0, {}]]])], "several times"),
        ([("a", "ReLU", [[["x", 1, 0, {}]]])], "several outputs"),
        ([("a", "ReLU", [[1.5]])], "something other than"),
        ([("a", "ReLU", reads("x", "x"))], "2 inputs"),
        ([("f", "Flatten", reads("x")), ("g", "Flatten", reads("x")), ("a", "Concatenate", reads("f", "g"))], "joins"),
        ([("p", "GlobalMaxPooling2D", reads("x")), ("a", "Add", reads("p", "x"))], "must be equal"),
    ],
)
def test_connections_that_cannot_be_used_are_explained(layers: list[Any], why: str) -> None:
    with pytest.raises(MessageError, match=why):
        translate(model(functional(*layers)))


def test_a_model_has_one_input_and_one_output() -> None:
    layers = [("a", "ReLU", reads("x")), ("b", "ReLU", reads("x"))]
    with pytest.raises(MessageError, match="1 inputs and 2 outputs"):
        model(functional(*layers, outputs=[["a", 0, 0], ["b", 0, 0]]))


def test_a_long_chain_needs_no_recursion() -> None:
    names = ["x", *(f"a{i}" for i in range(4000))]
    layers = [(name, "ReLU", reads(before)) for before, name in pairwise(names)]
    assert len(translate(model(functional(*layers[::-1], outputs=["a3999", 0, 0]))).nodes) == 4000


# ------------------------------------------------------------------------------------------------------ padding "same"


def chain(*layers: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    listed = [{"class_name": layer["kind"], "config": {"name": f"l{i}", **layer}} for i, layer in enumerate(layers)]
    return {"class_name": "Sequential", "config": {"layers": listed, "build_input_shape": [None, *shape]}}


def windows(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """The windows of TensorFlow's padding "same", [N, C, H', W', kernel, kernel], with a value around the image."""
    total = max(0, (-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1])
    before, after = total // 2, total - total // 2
    padded = F.pad(x, (before, after, before, after), value=value)
    return padded.unfold(2, kernel, stride).unfold(3, kernel, stride)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_padding_same_is_that_of_keras(size: int, kernel: int, stride: int) -> None:
    x = torch.randn(2, 2, size, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64) - 1
    expected = {
        "MaxPooling2D": windows(x, kernel, stride, -torch.inf).amax((4, 5)),
        "AveragePooling2D": windows(x, kernel, stride, torch.nan).flatten(4).nanmean(4),
    }
    for kind, outputs in expected.items():
        pool: dict[str, Any] = {"kind": kind, "pool_size": [kernel] * 2, "strides": [stride] * 2, "padding": "same"}
        try:
            nodes = translate(model(chain(pool, shape=(size, size, 2)))).nodes
        except MessageError as error:
            assert "cannot express" in error.what and kernel % 2 == 0 and stride == 1
            continue
        assert torch.allclose(build(nodes, (2, size, size))(x), outputs, rtol=0, atol=1e-12)
    layer: dict[str, Any] = {
        "kind": "Conv2D",
        "filters": 3,
        "kernel_size": kernel,
        "strides": stride,
        "padding": "same",
    }
    net = build(translate(model(chain(layer, shape=(size, size, 2)))).nodes, (2, size, size)).double()
    conv = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    assert conv.bias is not None
    products = torch.einsum("ncxyhw,ochw->noxy", windows(x, kernel, stride, 0), conv.weight)
    assert torch.allclose(net(x), products + conv.bias.view(1, -1, 1, 1), rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------------------------- layers and names


@pytest.mark.parametrize(
    ("layer", "node"),
    [
        ({"kind": "ReLU"}, ("relu", {"slope": 0.0})),
        ({"kind": "ReLU", "negative_slope": 0.5}, ("relu", {"slope": 0.5})),
        ({"kind": "LeakyReLU"}, ("relu", {"slope": 0.3})),
        ({"kind": "LeakyReLU", "alpha": 0.1}, ("relu", {"slope": 0.1})),
        ({"kind": "Activation", "activation": "leaky_relu"}, ("relu", {"slope": 0.2})),
        ({"kind": "Activation", "activation": "exponential"}, ("exponential", {})),
        (
            {"kind": "Activation", "activation": {"class_name": "LeakyReLU", "config": {"negative_slope": 0.7}}},
            ("relu", {"slope": 0.7}),
        ),
        ({"kind": "Softmax", "axis": -1}, ("softmax", {"axis": 1})),
        ({"kind": "Softmax", "axis": 1}, ("softmax", {"axis": 2})),
        ({"kind": "ZeroPadding2D", "padding": [1, 2]}, ("pad", {"padding": [2, 2, 1, 1]})),
        ({"kind": "ZeroPadding2D", "padding": 3}, ("pad", {"padding": [3, 3, 3, 3]})),
        ({"kind": "GlobalAveragePooling2D", "keepdims": True}, ("pool", {"mode": "average", "whole": True})),
        ({"kind": "Dropout", "rate": 0.1}, ("dropout", {"p": 0.1})),
    ],
)
def test_settings_of_layers(layer: dict[str, Any], node: tuple[str, dict[str, Any]]) -> None:
    (only,) = translate(model(chain(layer, shape=(4, 4, 2)))).nodes
    assert (only.kind, only.settings) == node and only.name == "l0" and only.inputs == ("data",)


def test_the_size_of_images_may_be_free() -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "Conv2D", "filters": 2, "kernel_size": 3, "padding": "same"},
        {"kind": "GlobalMaxPooling2D"},
    ]
    values = chain(*layers, shape=(4, 4, 3))
    values["config"]["build_input_shape"] = [None, None, None, 3]
    translation = translate(model(values))
    assert translation.input is None and [node.kind for node in translation.nodes] == ["conv", "pool", "flatten"]
    values["config"]["layers"][0]["config"]["strides"] = 2
    with pytest.raises(MessageError, match="size of the images is free"):
        translate(model(values))


@pytest.mark.parametrize(
    ("shape", "layers", "input"),
    [
        ((28, 28), [{"kind": "Flatten"}], (1, 28, 28)),
        ((28, 28), [{"kind": "Reshape", "target_shape": [28, 28, 1]}, {"kind": "Flatten"}], (1, 28, 28)),
        ((784,), [{"kind": "Reshape", "target_shape": [28, 28, 1]}, {"kind": "Flatten"}], (1, 28, 28)),
        ((784,), [], (1, 28, 28)),
        ((28, 28, 1), [{"kind": "Reshape", "target_shape": [784]}], (1, 28, 28)),
    ],
)
def test_images_may_be_given_without_channels_or_as_rows(shape: Any, layers: list[Any], input: Any) -> None:
    translation = translate(model(chain(*layers, {"kind": "Dense", "units": 3}, shape=shape)))
    assert translation.input == input and [node.kind for node in translation.nodes] == ["flatten", "dense"]
    assert translation.weights[0].flat_from is None


def test_layers_for_training_only_are_left_out_and_names_stay_unique() -> None:
    layers: list[dict[str, Any]] = [
        {"kind": "RandomFlip"},
        {"kind": "GaussianNoise"},
        {"kind": "Conv2D", "filters": 1, "kernel_size": 1, "activation": "relu"},
    ]
    layers += [{"kind": "ELU", "name": "l2_relu"}]
    nodes = translate(model(chain(*layers, shape=(4, 4, 3)))).nodes
    assert [(node.name, node.inputs) for node in nodes] == [
        ("l2", ("data",)),
        ("l2_relu_", ("l2",)),
        ("l2_relu", ("l2_relu_",)),
    ]


def test_models_of_theano_are_refused(tmp_path: Path) -> None:
    content = (FILES / "lenet_2.h5").read_bytes()
    assert content.count(b"tensorflow") >= 1
    path = tmp_path / "model.h5"
    path.write_bytes(content.replace(b"tensorflow", b"theano\0\0\0\0"))
    assert "Theano" in refusal(path).why


def test_a_file_without_a_whole_network_is_called_truncated(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    shutil.copy(FILES / "lenet_2.h5", path)
    with path.open("r+b") as file:
        file.truncate(5000)
    error = refusal(path)
    assert "truncated" in error.why and "byte" in str(error.where)
