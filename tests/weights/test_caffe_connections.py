"""Which layers of a Caffe network are read, what they are called, and what they read."""

from __future__ import annotations

from pathlib import Path

import pytest

from classicnets.errors import DataError
from classicnets.weights import caffe, caffe_layers
from classicnets.weights.caffe_graph import Definition
from support.caffe_files import INPUT, error, graph, layer


def names_of(definition: Definition) -> list[tuple[str, tuple[str, ...]]]:
    return [(node.name, node.inputs) for node in definition.nodes]


def test_layers_in_place_are_read_in_their_order(tmp_path: Path) -> None:
    text = INPUT + layer("TanH", name="a", top="a") + layer("ReLU", name="b", bottom="a", top="a")
    text += layer("Dropout", name="c", bottom="a", top="a") + layer("Eltwise", name="d", bottom="a data", top="d")
    text += layer("ReLU", name="e", bottom="data", top="data").replace("data", "d")
    assert names_of(graph(tmp_path, text)) == [
        ("a", ("data",)), ("b", ("a",)), ("c", ("b",)), ("d", ("c", "data")), ("e", ("d",))
    ]  # fmt: skip


def test_splits_are_only_names(tmp_path: Path) -> None:
    """Files of weights have such layers wherever two layers read a blob."""
    text = INPUT + layer("Split", name="s", top="s1 s2") + layer("TanH", name="a", bottom="s1", top="a")
    text += layer("Sigmoid", name="b", bottom="s2", top="b") + layer("Concat", name="c", bottom="a b", top="c")
    assert names_of(graph(tmp_path, text)) == [("a", ("data",)), ("b", ("data",)), ("c", ("a", "b"))]


TRAIN = 'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } }\n'
TEST = """layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.5 crop_size: 6 mirror: false mean_value: [104, 117, 123] } }\n"""
BODY = layer("InnerProduct", "inner_product_param { num_output: 5 }", name="ip", top="ip")
LOSS = layer("SoftmaxWithLoss", name="loss", bottom="ip label", top="loss")
ACCURACY = layer("Accuracy", "include { phase: TEST }", name="accuracy", bottom="ip label", top="accuracy")


def test_losses_and_measures_are_left_out(tmp_path: Path) -> None:
    read = graph(tmp_path, TRAIN + TEST + BODY + ACCURACY + LOSS)
    assert names_of(read) == [("ip", ("data",))] and read.input is None
    assert read.preprocessing == {"scale": 0.5, "crop": 6, "mean_values": [104.0, 117.0, 123.0]}
    split = layer("Split", name="s", bottom="label", top="l1 l2")
    text = TEST + split + BODY + ACCURACY.replace('"label"', '"l1"') + LOSS.replace('"label"', '"l2"')
    assert names_of(graph(tmp_path, text)) == [("ip", ("data",))]


def test_a_network_for_training_only_is_read_as_such(tmp_path: Path) -> None:
    """Files of weights contain it; its rules have been applied by Caffe."""
    extra = layer("Dropout", "include { phase: TRAIN }", name="d", bottom="ip", top="ip")
    assert names_of(graph(tmp_path, TRAIN + BODY + extra + LOSS)) == [("ip", ("data",)), ("d", ("ip",))]
    assert names_of(graph(tmp_path, TRAIN + TEST + BODY + extra + LOSS)) == [("ip", ("data",))]


@pytest.mark.parametrize(
    ("rules", "is_included"),
    [
        ("", True),
        ("include { }", True),
        ("include { phase: TEST }", True),
        ("include { phase: TRAIN }", False),
        ("include { phase: TRAIN } include { phase: TEST }", True),
        ("exclude { phase: TRAIN }", True),
        ("exclude { phase: TEST }", False),
        ("exclude { }", False),
        ("include { min_level: 1 }", False),
        ("include { min_level: -1 max_level: 0 }", True),
        ("include { max_level: -1 }", False),
        ("include { stage: 'deploy' }", False),
        ("include { not_stage: 'deploy' phase: TEST }", True),
        ("exclude { stage: 'deploy' }", True),
    ],
)
def test_rules_choose_the_network_for_testing(tmp_path: Path, rules: str, is_included: bool) -> None:
    text = INPUT + BODY + layer("ReLU", rules, name="r", bottom="ip", top="ip")
    assert (("r", ("ip",)) in names_of(graph(tmp_path, text))) == is_included


def test_rules_of_both_kinds_are_refused(tmp_path: Path) -> None:
    text = INPUT + layer("ReLU", "include { phase: TEST } exclude { phase: TRAIN }")
    assert "include and exclude rules" in error(tmp_path, text).why


INPUTS = {
    'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 6': (3, 8, 6),
    'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 6 }': (3, 8, 6),
    'input: "info" input: "data" input_dim: [1, 1, 1, 3, 2, 3, 8, 6]': (3, 8, 6),
    'input: "info" input: "data" input_shape { dim: 1 } input_shape { dim: [1, 3, 8, 6] }': (3, 8, 6),
    'input: "data"': None,
    'input: "data" input_dim: 1 input_dim: 3': None,
    INPUT: (3, 8, 6),
    INPUT.replace('top: "data"', 'top: "info" top: "data"'): (3, 8, 6),
    'layer { type: "Input" top: "data" }': None,
    'layer { type: "HDF5Data" top: "data" top: "label" }': None,
    'layer { type: "MemoryData" top: "data" top: "label" memory_data_param { channels: 3 height: 8 width: 6 } }': (
        3,
        8,
        6,
    ),
    'layer { type: "DummyData" top: "data" dummy_data_param { shape { dim: [9, 3, 8, 6] } } }': (3, 8, 6),
    'layer { type: "DummyData" top: "data" dummy_data_param { num: 9 channels: 3 height: 8 width: 6 } }': (3, 8, 6),
}


@pytest.mark.parametrize("text", INPUTS)
def test_the_shape_of_images_is_read_if_it_is_stated(tmp_path: Path, text: str) -> None:
    read = graph(tmp_path, f"{text}\n{BODY}")
    assert read.input == INPUTS[text] and names_of(read) == [("ip", ("data",))]


def test_the_first_input_has_the_images_if_none_is_called_data(tmp_path: Path) -> None:
    text = 'input: "image" input: "label" input_dim: [1, 3, 8, 6, 1, 1, 1, 1]' + BODY.replace('"data"', '"image"')
    read = graph(tmp_path, text + LOSS)
    assert read.input == (3, 8, 6) and names_of(read) == [("ip", ("data",))]


PREPROCESSING = {
    'layers { name: "d" type: DATA top: "data" data_param { scale: 0.5 mean_file: "m" crop_size: 6 source: "x" } }': {
        "scale": 0.5, "crop": 6, "mean_file": "m",
    },
    'layers { name: "d" type: IMAGE_DATA top: "data" transform_param { scale: 2 } image_data_param { scale: 3 } }': {
        "scale": 2.0,
    },
    'layers { layer { name: "d" type: "data" source: "x" meanfile: "m" scale: 0.5 cropsize: 6 } top: "data" }': {
        "scale": 0.5, "crop": 6, "mean_file": "m",
    },
}  # fmt: skip


@pytest.mark.parametrize("text", PREPROCESSING)
def test_preprocessing_of_older_formats(tmp_path: Path, text: str) -> None:
    v1 = 'layers { name: "a" type: TANH bottom: "data" top: "a" }'
    v0 = 'layers { layer { name: "a" type: "tanh" } bottom: "data" top: "a" }'
    assert graph(tmp_path, text + (v0 if "meanfile" in text else v1)).preprocessing == PREPROCESSING[text]


CONNECTIONS = {
    INPUT + layer("TanH", bottom="other"): ("it reads the blob other, which no layer before it writes", "line 2"),
    TEST + layer("TanH", bottom="label"): ("it reads the blob label, which is not computed from the images", "line 3"),
    TEST + BODY + LOSS + layer("TanH", bottom="loss"): ("the blob loss, which is not computed from", "line 5"),
    INPUT + layer("TanH", name="a", top="a") + layer("TanH", bottom="a", top="data"): (
        "it writes the blob data",
        "line 3",
    ),
    INPUT + layer("TanH", name="a", top="a") + layer("TanH", name="b", top="a"): (
        "it writes the blob a, which",
        "line 3",
    ),
    INPUT + layer("TanH", bottom=""): ("it reads or writes nothing", "line 2"),
    INPUT + layer("TanH", bottom="data data"): ("it reads 2 blobs instead of 1", "line 2"),
    INPUT + layer("TanH", top=""): ("it reads or writes nothing", "line 2"),
    INPUT + layer("", name="a"): ("layer a has no type", "line 2"),
    INPUT + layer("TanH", name="a", top="a") + layer("TanH", name="b", top="b"): (
        "the network has 2 outputs: a, b",
        "",
    ),
    INPUT: ("the network has no layers beside its input", ""),
    "": ("the file defines no layers", ""),
    "base_lr: 0.1 net: 'x'": ("the file configures the training of a network", ""),
    BODY.replace('"ip"', '"data"', 1) + INPUT: ("or the image, has this name", "line 1"),
    INPUT + BODY + BODY.replace('top: "ip"', 'top: "c"'): ("another layer with weights, or the image", "line 3"),
    'input: "data" input_shape { dim: 1 dim: 784 }' + BODY: ("the input data has the shape 1x784", ""),
    'input: "data" input_dim: [1, 3, 0, 8]' + BODY: ("the input data has the shape 1x3x0x8", ""),
    INPUT.replace("dim: 8", "dim: -8") + BODY: ("the input data has the shape 1x3x-8x6", "line 1"),
}


@pytest.mark.parametrize("text", CONNECTIONS)
def test_networks_that_do_not_fit_together_are_refused(tmp_path: Path, text: str) -> None:
    what, place = CONNECTIONS[text]
    failed = error(tmp_path, text)
    assert what in failed.why
    assert failed.where == str(tmp_path / "net.prototxt") + (f", {place}" if place else "")


def test_what_only_silence_reads_is_no_output(tmp_path: Path) -> None:
    text = INPUT + layer("TanH", name="a", top="a") + layer("Sigmoid", name="b", bottom="a", top="b") + BODY
    text += layer("Silence", name="s", bottom="b", top="")
    assert names_of(graph(tmp_path, text)) == [("ip", ("data",))]


def test_layers_without_weights_get_names_of_their_own(tmp_path: Path) -> None:
    text = INPUT + layer("ReLU", name="ip", top="a") + layer("ReLU", name="", bottom="a", top="a")
    text += layer("ReLU", name="data", bottom="a", top="a") + BODY.replace('"data"', '"a"')
    text += layer("ReLU", name="ip", bottom="ip", top="ip")
    assert [node.name for node in graph(tmp_path, text).nodes] == ["ip_2", "relu", "data_2", "ip", "ip_3"]


def test_the_number_of_layers_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caffe_layers, "_MAX_LAYERS", 3)
    relu = layer("ReLU", bottom="data", top="data")
    assert len(graph(tmp_path, INPUT + relu * 2).nodes) == 2
    assert "more than 3 layers" in error(tmp_path, INPUT + relu * 3).why


def test_files_that_are_no_definitions(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    with pytest.raises(DataError, match="cannot be opened") as caught:
        caffe.graph(path)
    assert caught.value.where == str(path)
    path.write_bytes(b"layer {\n}\n\xff")
    with pytest.raises(DataError) as caught:
        caffe.graph(path)
    assert "neither a network of Caffe in text" in caught.value.why and caught.value.where.endswith("line 3")
    with path.open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(DataError) as caught:
        caffe.graph(path)
    assert "longer than the limit" in caught.value.why
