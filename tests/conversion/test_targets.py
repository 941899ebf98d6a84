"""Networks as files of other libraries: names, what is read of the files, and that all files are written or none."""

from __future__ import annotations

import errno
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import classicnets as cn
from classicnets.conversion import targets
from classicnets.conversion.nodes import nodes_of
from classicnets.conversion.published import GLUON, TORCHVISION, Match, Published, match
from classicnets.conversion.targets import write
from classicnets.errors import MachineError, UsageError
from classicnets.files import cannot_write, move_into_place
from classicnets.models.graph import Graph, Node, build
from classicnets.models.graph_kinds import with_defaults
from classicnets.models.graph_layers import Absolute, ChannelScale
from classicnets.models.lrn import LRN
from classicnets.models.registry import NETS
from classicnets.spec import WEIGHT_TARGETS as TARGETS
from classicnets.weights import caffe, files, mxnet_params, mxnet_symbol
from support.graphs import two_paths

SHAPE = (3, 13, 12)


def small() -> nn.Sequential:
    """A chain with every kind of weights that all libraries have, and pooling that rounds both ways."""
    net = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 4, 3, bias=False),  # 4 x 11 x 10
            bn1=nn.BatchNorm2d(4),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, 2),  # 4 x 5 x 4: the height alone would be rounded up to the same
            conv2=nn.Conv2d(4, 6, (3, 2), padding=(0, 1), groups=2),  # 6 x 3 x 5
            norm2=LRN(3, 0.1),
            pool2=nn.MaxPool2d(3, 2, ceil_mode=True),  # 6 x 1 x 2
            flatten=nn.Flatten(),
            drop=nn.Dropout(0.3),
            fc=nn.Linear(12, 5),
        )
    )
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if "var" in name else tensor.normal_()
    return net.eval()


def complete(nodes: list[Node]) -> list[tuple[Any, ...]]:
    """The nodes with all settings, as they can be compared."""
    values = []
    for node in nodes:
        settings = with_defaults(node.kind, node.settings)
        plain = {name: [*each] if isinstance(each, list | tuple) else each for name, each in settings.items()}
        values.append((node.name, node.kind, node.inputs, plain))
    return values


def equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


def refusal(net: nn.Module, target: str, path: Path, shape: tuple[int, int, int] = SHAPE) -> UsageError:
    """The error for a network; nothing is written."""
    with pytest.raises(UsageError) as caught:
        write(net, target, path, shape=shape, name="net")
    assert not path.parent.exists() or not list(path.parent.iterdir())
    return caught.value


# ---------------------------------------------------------------------------------------------------------- round trips


def test_caffe_reads_what_is_written(tmp_path: Path) -> None:
    net = small()
    paths = write(net, "caffe", tmp_path / "net", shape=SHAPE, name="Small")
    assert paths == [tmp_path / "net.caffemodel", tmp_path / "net.prototxt"]
    assert sorted(tmp_path.iterdir()) == paths
    definition, tensors = caffe.graph(paths[1]), caffe.read(paths[0], data=True)
    assert (definition.name, definition.input) == ("Small", SHAPE)
    expected, names = nodes_of(net, SHAPE)
    by_name = {values[0]: values for values in complete(expected)}
    for values in complete(definition.nodes):
        if values[0] in {"bn1_scale", "prob"}:  # what Caffe has in layers of their own
            continue
        if values[0] == "bn1":
            by_name["bn1"][3]["scale"] = False
        if values[0] == "relu1":
            assert values[2] == ("bn1_scale",)
            continue
        assert values == by_name[values[0]]
    assert [node.name for node in definition.nodes][-2:] == ["fc", "prob"]
    state = net.state_dict()
    caffe_names = {"bn1.weight": "bn1_scale.weight", "bn1.bias": "bn1_scale.bias"}
    assert set(tensors) == {caffe_names.get(name, name) for name in names}
    assert all(equal(tensors[caffe_names.get(name, name)], state[own]) for name, own in names.items())


def test_a_network_of_caffe_is_written_to_the_byte(tmp_path: Path) -> None:
    """The factors of a batch normalization are read as a layer of their own, which is written as one."""

    def again(paths: list[Path], name: str) -> list[Path]:
        definition = caffe.graph(paths[1])
        net = build(definition.nodes, SHAPE)
        net.load_state_dict(caffe.read(paths[0], data=True), strict=False)
        return write(net, "caffe", tmp_path / name, shape=SHAPE, name=definition.name)

    with_norm = write(small(), "caffe", tmp_path / "a", shape=SHAPE, name="Small")
    without = [layer for layer in small() if not isinstance(layer, nn.BatchNorm2d)]
    first = write(nn.Sequential(*without), "caffe", tmp_path / "b", shape=SHAPE, name="Small")
    for i, paths in enumerate((again(with_norm, "c"), first)):
        assert [path.read_bytes() for path in again(paths, f"d{i}")] == [path.read_bytes() for path in paths]


def test_outputs_of_the_file_of_caffe_are_probabilities(tmp_path: Path) -> None:
    net = small()
    paths = write(net, "caffe", tmp_path / "net", shape=SHAPE, name="Small")
    read = build(caffe.graph(paths[1]).nodes, SHAPE).eval()
    read.load_state_dict(caffe.read(paths[0], data=True), strict=False)
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(read(x), net(x).softmax(1))


def test_mxnet_reads_what_is_written(tmp_path: Path) -> None:
    net = small()
    paths = write(net, "mxnet", tmp_path / "net", shape=SHAPE, name="Small")
    assert paths == [tmp_path / "net-symbol.json", tmp_path / "net-0000.params"]
    symbol, parameters = mxnet_symbol.read(paths[0]), mxnet_params.load(paths[1], data=True)
    expected, names = nodes_of(net, SHAPE)
    assert complete(symbol.nodes) == complete(expected)
    assert symbol.input_shape == SHAPE
    assert parameters.auxiliary == {"bn1_moving_mean", "bn1_moving_var"}
    tensors, state = symbol.name_tensors(parameters.tensors), net.state_dict()
    assert set(tensors) == set(names) and all(equal(tensors[name], state[own]) for name, own in names.items())
    again = build(symbol.nodes, SHAPE)
    again.load_state_dict(tensors, strict=False)
    second = write(again, "mxnet", tmp_path / "second", shape=SHAPE, name="Small")
    assert [path.read_bytes() for path in second] == [path.read_bytes() for path in paths]


def test_gluon_has_a_child_for_each_layer(tmp_path: Path) -> None:
    net = small()
    paths = write(net, "gluon", tmp_path / "net", shape=SHAPE, name="Small")
    assert paths == [tmp_path / "net.params"]
    tensors, state = mxnet_params.read(paths[0], data=True), net.state_dict()
    names = {
        "0.weight": "conv1.weight", "1.gamma": "bn1.weight", "1.beta": "bn1.bias",
        "1.running_mean": "bn1.running_mean", "1.running_var": "bn1.running_var", "4.weight": "conv2.weight",
        "4.bias": "conv2.bias", "9.weight": "fc.weight", "9.bias": "fc.bias",
    }  # fmt: skip
    assert [*tensors] == [*names]
    assert all(equal(tensors[name], state[own]) for name, own in names.items())


def test_gluon_calls_slopes_alpha(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.PReLU(2), nn.BatchNorm2d(2, affine=False))
    (path,) = write(net, "gluon", tmp_path / "net", shape=SHAPE, name="net")
    tensors = mxnet_params.read(path, data=True)
    assert [*tensors][2:] == ["1.alpha", "2.gamma", "2.beta", "2.running_mean", "2.running_var"]
    assert tensors["2.gamma"].tolist() == [1, 1] and tensors["2.beta"].tolist() == [0, 0]


def test_the_book_has_activations_inside_its_layers(tmp_path: Path) -> None:
    """LeNet of both editions, in a chapter that was written for MXNet."""
    for name in ("lenet_d2l_v1", "lenet_d2l"):
        net = cn.create(name)
        (path,) = write(net, "gluon", tmp_path / name, shape=NETS[name].input, name=name)
        tensors = mxnet_params.read(path, data=True)
        assert [*tensors] == [f"{i}.{own}" for i in (0, 2, 4, 5, 6) for own in ("weight", "bias")]
        assert all(map(equal, tensors.values(), net.state_dict().values()))


def test_torchvision_gets_a_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in place of torchvision's, which have 61 million weights and more."""
    layers = ("conv 3>4 3x3, stride 2", "relu", "dense 120>5")
    monkeypatch.setattr(targets, "TORCHVISION", (Published(name="tiny", layers=layers, names=("a.0", "b.1")),))
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(120, 5))
    paths = write(net, "torchvision", tmp_path / "tiny", shape=SHAPE, name="net")
    assert paths == [tmp_path / "tiny.pth"]
    state = torch.load(paths[0], weights_only=True)
    assert [*state] == ["a.0.weight", "a.0.bias", "b.1.weight", "b.1.bias"]
    assert all(map(equal, state.values(), net.state_dict().values()))
    assert all(map(equal, files.read(paths[0], data=True)[0].values(), state.values()))
    (second,) = write(net, "torchvision", tmp_path / "other.pt", shape=SHAPE, name="net")
    assert second.name == "other.pt" and second.read_bytes() == paths[0].read_bytes()
    net[0] = nn.Conv2d(3, 4, 3, 2, padding=1)
    net[4] = nn.Linear(4 * 7 * 6, 5)
    error = refusal(net, "torchvision", tmp_path / "folder" / "tiny")
    assert error.code == "CN219" and "tiny" in error.what
    assert error.why == "layer 0 is: conv 3>4 3x3, stride 2, padding 1; tiny has there: conv 3>4 3x3, stride 2"


def test_parts_of_larger_tensors_are_stored_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "TORCHVISION", (Published(name="tiny", layers=("dense 468>2",), names=("fc",)),))
    net = nn.Sequential(nn.Flatten(), nn.Linear(468, 2, bias=False))
    net[1].bias = nn.Parameter(torch.zeros(100_000)[:2])
    (path,) = write(net, "torchvision", tmp_path / "net", shape=SHAPE, name="net")
    assert path.stat().st_size < 10_000


# ------------------------------------------------------------------------------------------------------ published names


def found(name: str, published: tuple[Published, ...], **options: Any) -> Match:
    """The most similar network of a library."""
    with torch.device("meta"):
        net = cn.create(name, **options)
    shape = NETS[name].input
    return match(Graph(name=name, input=shape, nodes=tuple(nodes_of(net, shape)[0])), published)


def test_torchvision_names_its_alexnet() -> None:
    """The registry's network has torchvision's names; another number of classes is another head of the same network."""
    names = found("alexnet_torchvision", TORCHVISION).names
    assert all(name == own for name, own in names.items()) and len(names) == 8
    assert found("alexnet_torchvision", TORCHVISION, num_classes=7).names == names
    assert found("alexnet_torchvision", GLUON).names == dict(
        zip(
            names,
            [*(f"features.{i}" for i in (0, 2, 4, 5, 6, 9, 11)), "output"],
            strict=True,
        )
    )


@pytest.mark.parametrize(
    ("depth", "features"),
    [
        (11, [0, 3, 6, 8, 11, 13, 16, 18]),
        (13, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]),
        (16, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]),
        (19, [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]),
    ],
)
def test_vgg_has_the_names_of_its_libraries(depth: int, features: list[int]) -> None:
    """Names of features; those of vgg11 and vgg16 were read off the model zoo of MXNet 1.9.1."""
    names = [f"features.{i}" for i in features]
    dense = {16: (31, 33), 11: (21, 23), 13: (25, 27), 19: (37, 39)}[depth]
    of = {each.name: each for each in TORCHVISION}[f"vgg{depth}"]
    assert [*of.names] == [*names, "classifier.0", "classifier.3", "classifier.6"]
    gluon = {each.name: each for each in GLUON}[f"vgg{depth}"]
    assert [*gluon.names] == [*names, *(f"features.{i}" for i in dense), "output"]
    assert gluon.layers == of.layers
    if depth == 16:
        assert [*found("vgg16", TORCHVISION).names.values()] == [*of.names]


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("alexnet_caffe", "layer conv1 is: conv 3>96 11x11, stride 4; alexnet has there: conv 3>64 11x11, stride 4, "),
        ("alexnet_d2l", "layer conv1 is: conv 1>96"),
        ("cifar10_18pct", "layer conv1 is"),
    ],
)
def test_other_networks_differ_in_a_layer(name: str, difference: str) -> None:
    result = found(name, TORCHVISION)
    assert result.names == {} and result.difference.startswith(difference)


def test_equal_weights_are_not_equal_layers() -> None:
    """The book's AlexNet and MXNet's have the same tensors, but not the same layers."""
    assert found("alexnet_d2l_v1", GLUON).names and not found("alexnet_mxnet", GLUON).names
    assert "layer norm1 is: lrn, size 5" in found("alexnet_mxnet", GLUON).difference


def test_missing_layers_are_described() -> None:
    published = (Published(name="two", layers=("relu", "tanh"), names=()),)
    for layers, difference in (
        ([nn.ReLU()], "after its last layer, two has: tanh"),
        ([nn.ReLU(), nn.Tanh(), nn.LeakyReLU(0.25)], "layer 2 is: relu, slope 0.25; two has there: nothing"),
        ([nn.ReLU(), nn.Tanh(), nn.Softmax(1)], ""),
        ([nn.ReLU(), nn.Softmax(1), nn.Tanh()], "layer 1 is: softmax, axis 1; two has there: tanh"),
        ([nn.AvgPool2d((3, 1), 2, (1, 0), count_include_pad=False)], "layer 0 is: average pooling 3x1, stride 2, "
         "padding 1x0, padding not counted; two has there: relu"),
        ([nn.MaxPool2d(2, 2, ceil_mode=True)], "layer 0 is: max pooling 2x2, stride 2, rounded up; "
         "two has there: relu"),
        ([nn.AdaptiveMaxPool2d(1)], "layer 0 is: pool, mode max, whole True; two has there: relu"),
        ([nn.Conv2d(3, 3, 3, dilation=2, groups=3, bias=False)], "layer 0 is: conv 3>3 3x3, dilation 2x2, 3 groups, "
         "no bias; two has there: relu"),
    ):  # fmt: skip
        nodes, _names = nodes_of(nn.Sequential(*layers), SHAPE)
        assert match(Graph(name="", input=SHAPE, nodes=tuple(nodes)), published).difference == difference


# -------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("target", ["caffe", "mxnet", "gluon"])
def test_blue_green_red_reverses_the_first_convolution(tmp_path: Path, target: str) -> None:
    first, second = nn.Conv2d(3, 2, 3), nn.Conv2d(2, 3, 3)
    net, before = nn.Sequential(first, nn.ReLU(), second), first.weight.detach().clone()
    path = write(net, target, tmp_path / "net", shape=SHAPE, name="net", bgr=True)[-1 if target == "mxnet" else 0]
    weights = [tensor for tensor in files.read(path, data=True)[0].values() if tensor.dim() == 4]
    assert equal(weights[0], before[:, [2, 1, 0]]) and equal(weights[1], second.weight.detach())
    assert torch.equal(first.weight, before)


def test_gray_images_have_no_order_of_channels(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3))
    paths = [write(net, "gluon", tmp_path / f"{bgr}", shape=(1, 5, 5), name="net", bgr=bgr)[0] for bgr in (False, True)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("first", [nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, groups=3)])
def test_only_a_convolution_can_reverse_colors(tmp_path: Path, first: nn.Module) -> None:
    with pytest.raises(UsageError) as caught:
        write(nn.Sequential(first), "caffe", tmp_path / "net", shape=SHAPE, name="net", bgr=True)
    assert (caught.value.code, caught.value.where) == ("CN219", "0") and "colors" in caught.value.why


def test_old_versions_of_caffe_round_up(tmp_path: Path) -> None:
    """Caffe has round_mode since 2018, so it is written only where it matters."""
    net = nn.Sequential(OrderedDict(exact=nn.MaxPool2d(3, 2), down=nn.MaxPool2d(2, 2), beyond=nn.MaxPool2d(1, 2)))
    # 13 pixels become 6, 3 and 2; 15 become 7, 3 and 2; 9 become 4, 2 and 1; 11 become 5, 2 and 1
    for size, rounded in ((13, ""), (15, "down"), (9, "beyond"), (11, "down beyond")):
        text = write(net, "caffe", tmp_path / "net", shape=(1, size, size), name="net")[1].read_text()
        blocks = {name: text.split(f'name: "{name}"')[1].split("layer {")[0] for name in ("exact", "down", "beyond")}
        assert [name for name, block in blocks.items() if "round_mode: FLOOR" in block] == rounded.split()


def test_mxnet_rounds_down_where_a_window_may_lie_beyond(tmp_path: Path) -> None:
    net = nn.Sequential(nn.MaxPool2d(2, 3, ceil_mode=True))
    assert "full" not in write(net, "mxnet", tmp_path / "net", shape=(1, 8, 8), name="net")[0].read_text()
    net = nn.Sequential(nn.MaxPool2d(3, 3, padding=1, ceil_mode=True))
    error = refusal(net, "mxnet", tmp_path / "folder" / "net", (1, 6, 6))
    assert error.code == "CN219" and "node '0' (pool)" in error.what


@pytest.mark.parametrize(
    ("target", "layer", "what"),
    [
        ("caffe", LRN(groups=3), "layer 0 has no equivalent in the file: LRN"),
        ("caffe", nn.AvgPool2d(3, 2, 1, count_include_pad=False), "Caffe has no equivalent of node '0' (pool)"),
        ("mxnet", ChannelScale(3), "MXNet has no equivalent of node '0' (scale)"),
        ("gluon", ChannelScale(3), "layer 0 has no equivalent in the file: scale"),
        ("torchvision", Absolute(), "torchvision has no network with these layers"),
    ],
)
def test_layers_without_equivalent_are_refused(tmp_path: Path, target: str, layer: nn.Module, what: str) -> None:
    error = refusal(nn.Sequential(layer), target, tmp_path / "folder" / "net")
    assert error.code == "CN219" and error.what.startswith(what) and "classicnets export RUN" in error.hints[0]


@pytest.mark.parametrize("target", ["torchvision", "gluon"])
def test_only_chains_have_these_names(tmp_path: Path, target: str) -> None:
    graph = two_paths()
    error = refusal(graph.build(), target, tmp_path / "folder" / "net", graph.input)
    assert error.code == "CN219" and "right_3x3 does not read only the layer before it" in error.what


# ---------------------------------------------------------------------------------------------------------------- files

ENDINGS = {
    "caffe": [".caffemodel", ".prototxt"],
    "mxnet": ["-symbol.json", "-0000.params"],
    "gluon": [".params"],
}


@pytest.mark.parametrize(
    ("target", "name", "stem"),
    [
        ("caffe", "net.caffemodel", "net"),
        ("caffe", "net.prototxt", "net"),
        ("caffe", "net.v1", "net.v1"),
        ("mxnet", "net-symbol.json", "net"),
        ("mxnet", "net-0000.params", "net"),
        ("mxnet", "net.params", "net"),
        ("gluon", "net.params", "net"),
        ("gluon", ".params", ".params"),
    ],
)
def test_endings_may_be_given_or_not(tmp_path: Path, target: str, name: str, stem: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3))
    paths = write(net, target, tmp_path / name, shape=SHAPE, name="net")
    assert [path.name for path in paths] == [stem + ending for ending in ENDINGS[target]]


def test_files_in_a_folder_have_the_name_of_the_network(tmp_path: Path) -> None:
    paths = write(nn.Sequential(nn.Conv2d(3, 2, 3)), "caffe", tmp_path, shape=SHAPE, name="mine")
    assert paths == [tmp_path / "mine.caffemodel", tmp_path / "mine.prototxt"]


def test_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "net.caffemodel").write_bytes(b"old")
    paths = write(nn.Sequential(nn.Conv2d(3, 2, 3)), "caffe", tmp_path / "net", shape=SHAPE, name="net")
    assert caffe.read(paths[0], data=False)["0.weight"].shape == (2, 3, 3, 3)
    assert sorted(tmp_path.iterdir()) == paths


@pytest.mark.parametrize("name", ["net-symbol.json", "net-0000.params"])
def test_a_folder_of_that_name_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(MachineError) as caught:
        write(nn.Sequential(nn.Conv2d(3, 2, 3)), "mxnet", tmp_path / "net", shape=SHAPE, name="net")
    assert (caught.value.code, caught.value.where) == ("CN401", str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("place", ["writing", "syncing"])
def test_a_full_disk_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Whether the second file cannot be written, or cannot be moved to its place after the first one."""
    full = OSError(errno.ENOSPC, "No space left on device")

    def no_space(_tensors: object, path: Path) -> None:
        raise cannot_write(path, full, option="-o") from full

    def no_move(part: Path, path: Path) -> None:
        if path.suffix == ".params":
            raise full
        move_into_place(part, path)

    if place == "writing":
        monkeypatch.setattr(mxnet_params, "write", no_space)
    else:
        monkeypatch.setattr("classicnets.conversion.targets.move_into_place", no_move)
    with pytest.raises(MachineError) as caught:
        write(nn.Sequential(nn.Conv2d(3, 2, 3)), "mxnet", tmp_path / "net", shape=SHAPE, name="net")
    assert (caught.value.code, caught.value.where) == ("CN401", str(tmp_path / "net-0000.params"))
    assert "-o" in caught.value.hints[0]
    assert list(tmp_path.iterdir()) == []


def test_unknown_targets_are_refused(tmp_path: Path) -> None:
    error = refusal(small(), "mxnets", tmp_path / "folder" / "net")
    assert (error.code, error.hints) == ("CN202", ("mxnet",))
    assert TARGETS == ("torchvision", "caffe", "mxnet", "gluon")
