"""Exported files compute what the network computes, describe themselves, and are not written otherwise."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional as F

import classicnets as cn
from classicnets import machine
from classicnets.api import models
from classicnets.errors import CheckFailed, DataError, MachineError, UsageError
from classicnets.evaluation.exported import RECORD as PROGRAM_FACTS
from classicnets.evaluation.onnx import INPUT
from classicnets.export import budget, graph, int8, layers, low_rank, parity, program
from classicnets.export import onnx as export_onnx
from classicnets.images import transforms
from classicnets.images.decode import fit_image, read_image
from classicnets.models.lrn import LRN
from classicnets.models.registry import NETS
from classicnets.options import about, read_size
from classicnets.spec import ExportOptions
from classicnets.values import Preprocess, fit_box, luma
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.networks import small_input
from support.typed import layer_of, present

FACTS = {
    "net": "n", "data_name": "d", "int8": False, "classes": ["a"], "licence": "MIT", "test_accuracy": None,
    "test_pictures": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    settings = {"epochs": 3, "lr": 0.05, "optimizer": "sgd", "validation": 0.1, "monitor": "validation"}
    path: Path = cn.train("lenet_caffe", data=str(blobs), recipe="fast", quiet=True, runs=runs, **settings).path
    return path


@pytest.fixture(scope="module")
def file(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "net.onnx"
    cn.Run(trained).export(path, license="CC0-1.0")
    return path


def session(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])


def with_large_weights(net: nn.Module) -> nn.Module:
    """The network with weights that make its outputs differ between images; initial weights hardly do."""
    torch.manual_seed(0)
    for layer in net.modules():
        weight = getattr(layer, "weight", None)
        if weight is not None and weight.dim() > 1:
            nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            present(layer.running_mean).normal_()
            present(layer.running_var).uniform_(0.5, 2)
    return net.eval()


def check_export(net: nn.Module, shape: tuple[int, int, int], tolerance: float = 2e-5) -> Counter[str]:
    """Compares the exported logits with torch's for batches of 1, 2 and 7; returns the number of nodes of each type."""
    model = export_onnx.export_network(net, Preprocess(channels=shape[0], image_size=shape[1]))
    onnx_session = session(model)
    x = torch.rand(7, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = net(x)
    spread = float((expected - expected.mean(0)).abs().max())
    assert spread > 1e-4 * float(expected.abs().max())  # otherwise a wrong network might pass
    for n in (1, 2, 7):
        (logits,) = onnx_session.run(None, {graph.PREPARED: x[:n].numpy()})
        assert logits.shape == expected[:n].shape
        assert np.abs(logits - expected[:n].numpy()).max() < tolerance * max(spread, float(expected.abs().max()))
    return Counter(node.op_type for node in model.graph.node)


# --- preprocessing -----------------------------------------------------------------------------------------------


def preprocessed(preprocess: Preprocess, pixels: np.ndarray) -> np.ndarray:
    images: np.ndarray = session(graph.preprocessing_graph(preprocess)).run(None, {INPUT: pixels})[0]
    return images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@given(data=st.data())
@settings(max_examples=12)
def test_fits_images_of_any_size_as_pillow_does_bit_for_bit(fit: str, channels: int, data: st.DataObject) -> None:
    side, height, width = (data.draw(st.integers(1, top)) for top in (40, 130, 130))
    seed = data.draw(st.integers(0, 99))
    pixels = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    outputs = preprocessed(Preprocess(channels=channels, image_size=side, fit=fit), pixels)
    for output, image in zip(outputs, pixels, strict=True):
        planes = np.asarray(Image.fromarray(image).convert("L"))[None] if channels == 1 else image.transpose(2, 0, 1)
        assert np.array_equal(np.rint(output * 255).astype(np.uint8), fit_image(planes, side, fit))


def test_onnx_resize_differs_from_pillow() -> None:
    """The reason for the matrix products. If this fails, onnxruntime has changed: try Resize again."""
    helper = onnx.helper
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=1, axes=[2, 3])
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, [None] * 4) for name in "xy")
    sizes = helper.make_tensor("sizes", onnx.TensorProto.INT64, [2], [28, 28])
    model = helper.make_model(
        helper.make_graph([node], "g", [x], [y], [sizes]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    image = np.random.default_rng(0).integers(0, 256, (1, 60, 60), dtype=np.uint8)
    resized = session(model).run(None, {"x": image[None]})[0][0].astype(int)
    assert np.abs(resized - fit_image(image, 28, "stretch")).max() > 3


@pytest.mark.parametrize("views", [1, 2, 9, 10])
@pytest.mark.parametrize("pad", [0, 2])
def test_padding_views_and_normalization_equal_those_of_the_predictor(views: int, pad: int) -> None:
    preprocess = Preprocess(
        channels=3, image_size=17, resize=20, pad=pad, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), views=views
    )
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    expected = torch.cat(transforms.views(torch.from_numpy(pixels.transpose(0, 3, 1, 2)), preprocess)).numpy()
    assert np.allclose(preprocessed(preprocess, pixels), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
def test_node_names_are_unique_and_types_are_explicit(fit: str) -> None:
    preprocess = Preprocess(channels=1, image_size=8, resize=9, views=10, fit=fit, mean=(0.5,))
    model = graph.preprocessing_graph(preprocess)
    onnx.checker.check_model(model, full_check=True)
    graphs, nodes = [model.graph], []
    while graphs:
        nodes += (level := graphs.pop()).node
        graphs += [a.g for node in level.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names) > 50 and all(name.startswith("before/") for name in names)
    assert "CastLike" not in {node.op_type for node in nodes} and not any(node.metadata_props for node in nodes)


def test_luma_equals_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal(luma(*np.moveaxis(pixels.astype(np.int32), -1, 0)), expected)
    assert np.array_equal(luma(*torch.from_numpy(pixels).int().unbind(-1)).numpy(), expected)


@pytest.mark.parametrize(("width", "height"), [(5, 5), (9, 4), (4, 9), (8, 3), (1, 6)])
def test_fit_box_is_centered(width: int, height: int) -> None:
    for fit, side in (("crop", min(width, height)), ("letterbox", max(width, height))):
        left, top, right, bottom = fit_box(width, height, fit)
        assert (right - left, bottom - top) == (side, side)
        for before, after in ((left, width - right), (top, height - bottom)):  # the smaller half comes first
            assert abs(after) - abs(before) in {0, 1} and before * after >= 0
    assert fit_box(width, height, "stretch") == (0, 0, width, height)


@pytest.mark.parametrize("views", [1, 10])
def test_averages_the_probabilities_of_the_views(views: int) -> None:
    preprocess = Preprocess(channels=1, image_size=8, resize=9, views=views)
    logits = np.random.default_rng(0).normal(size=(views * 3, 5)).astype(np.float32)
    (probabilities,) = session(graph.postprocessing_graph(preprocess, 5)).run(None, {graph.LOGITS: logits})
    expected = torch.from_numpy(logits).softmax(1).view(views, 3, 5).mean(0).numpy()
    assert np.allclose(probabilities, expected, atol=1e-7)


# --- networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if e.macs > 5e6 else ()) for n, e in NETS.items() if e.parameters < 70e6],
)
def test_exports_every_net_of_the_registry(name: str) -> None:
    shape = small_input(name)
    net = with_large_weights(NETS[name].load()(10, *shape[:2]))
    nodes = check_export(net, shape)
    norms = sum(isinstance(layer, LRN) for layer in net.modules())
    assert nodes["LRN"] == norms


class FunctionalNet(nn.Module):
    """A custom module that calls functions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Linear(8 * 9, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.b(F.adaptive_avg_pool2d(F.gelu(self.a(x)), 3).flatten(1))
        return x


CUSTOM_MODULES: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(648, 4)),
    "varied": lambda: cn.vary(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(128, 4)),
        activation="random_relu", pool="max", norm="batch",
    ),
    "functions": FunctionalNet,
    "dropout": lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(363, 4)),
    "hooked": lambda: cn.create("lenet_32", in_channels=3, image_size=32, num_classes=4),
}  # fmt: skip


@pytest.mark.parametrize("kind", CUSTOM_MODULES)
def test_exports_custom_modules(kind: str) -> None:
    side = 32 if kind == "hooked" else 11
    net = with_large_weights(CUSTOM_MODULES[kind]())
    before = {name: t.clone() for name, t in net.state_dict().items()}
    check_export(net, (3, side, side))
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())


NORMS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "torch, odd": (lambda: nn.LocalResponseNorm(3, alpha=0.9, beta=0.6, k=1.5), 1),
    "torch, even: ONNX places the window differently": (lambda: nn.LocalResponseNorm(4, alpha=0.9), 0),
    "paper": (lambda: LRN(size=5, alpha=0.5, convention="paper"), 1),
    "caffe": (lambda: LRN(size=5, alpha=0.5, convention="caffe", k=1.0), 1),
    "groups": (lambda: LRN(size=3, alpha=0.5, groups=2), 1),
    "alpha 0: ONNX rejects it": (lambda: LRN(alpha=0.0), 0),
}


@pytest.mark.parametrize("kind", NORMS)
def test_exports_local_response_normalization(kind: str) -> None:
    make, nodes = NORMS[kind]
    net = nn.Sequential(nn.Conv2d(3, 8, 3), make(), nn.Flatten()).eval()
    assert check_export(with_large_weights(net), (3, 9, 9))["LRN"] == nodes


@pytest.mark.parametrize("out", [1, 3, 4, (2, 5), 11, (None, 3)])
@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_adaptive_pooling_becomes_pooling_with_fixed_windows(
    kind: type[nn.Module], out: int | tuple[int | None, int]
) -> None:
    nodes = check_export(nn.Sequential(kind(out), nn.Flatten()), (3, 11, 11))
    assert not nodes.keys() & {"GatherND", "Where", "Shape"}


def test_replaced_layers_compute_the_same_outside_of_the_exporter() -> None:
    net = nn.Sequential(LRN(), nn.AdaptiveAvgPool2d(2))
    x = torch.rand(2, 8, 5, 5)
    expected = net(x)
    assert torch.equal(layers.replace_layers(net)(x), expected)


def test_rejects_a_net_with_data_dependent_control_flow() -> None:
    class DataDependent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1) if x.sum() > 0 else -x.flatten(1)

    with pytest.raises(CheckFailed) as caught:
        export_onnx.export_network(DataDependent(), Preprocess(channels=1, image_size=8))
    assert caught.value.code == "CN105" and caught.value.why
    assert caught.value.where.endswith("return x.flatten(1) if x.sum() > 0 else -x.flatten(1)")
    assert "torch.where" in caught.value.hints[0]


class Unsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.special.bessel_j0(x.flatten(1))
        return y


class FixedBatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([image.flatten()[None] for image in x])


class ReadsValues(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) * float(x.max())


def test_names_an_unsupported_operator_and_the_format_that_has_it() -> None:
    preprocess = Preprocess(channels=1, image_size=4)
    with pytest.raises(CheckFailed) as caught:
        export_onnx.export_network(Unsupported(), preprocess)
    assert caught.value.code == "CN105" and "bessel" in caught.value.why and caught.value.hints == ("--format torch",)
    assert program.program(Unsupported(), preprocess, FACTS)


def test_rejects_a_net_for_a_fixed_number_of_images() -> None:
    for convert in (export_onnx.export_network, lambda net, preprocess: program.program(net, preprocess, FACTS)):
        with pytest.raises(CheckFailed) as caught:
            convert(FixedBatch(), Preprocess(channels=1, image_size=4))
        assert caught.value.code == "CN105" and "number of images" in caught.value.why
        assert "x.flatten(1)" in caught.value.hints[0] and "--format" not in caught.value.hints[0]


def test_names_the_line_that_reads_a_value() -> None:
    with pytest.raises(CheckFailed) as caught:
        program.program(ReadsValues(), Preprocess(channels=1, image_size=4), FACTS)
    assert caught.value.where.endswith("return x.flatten(1) * float(x.max())") and "item" in caught.value.hints[0]


class Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x.flatten(1), 0.5)


class ByBatch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return 5 * x / x.mean()


@pytest.mark.parametrize(
    ("net", "what"), [(Random(), "different outputs each time"), (ByBatch(), "other images of the batch")]
)
def test_finds_a_net_that_does_not_agree_with_itself(net: nn.Module, what: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 3, 3), dtype=np.uint8)
    preprocess = Preprocess(channels=1, image_size=3)
    parity.check_network(parity.Reference(nn.Flatten(), preprocess, tuple("abcdefghi")), images)
    with pytest.raises(CheckFailed) as caught:
        parity.check_network(parity.Reference(net, preprocess, tuple("abcdefghi")), images)
    assert caught.value.code == "CN102" and what in caught.value.what and len(caught.value.hints) == 1


def test_blames_a_random_net_before_the_export(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = cn.Run(trained)
    forward = type(run.net).forward
    monkeypatch.setattr(type(run.net), "forward", lambda self, x: nn.functional.dropout(forward(self, x), 0.5))
    with pytest.raises(CheckFailed) as caught:
        run.export(tmp_path / "net.pt2", format="torch")
    assert caught.value.code == "CN102" and "each time" in caught.value.what


def test_rejects_a_net_too_large_for_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_onnx, "MAX_BYTES", 1000)
    with pytest.raises(CheckFailed) as caught:
        export_onnx.export_network(nn.Linear(100, 100), Preprocess(channels=1, image_size=10))
    assert caught.value.code == "CN105" and "2 GB" in caught.value.what


# --- exported files ----------------------------------------------------------------------------------------------


def test_the_file_describes_itself(file: Path, trained: Path, blobs: Path) -> None:
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    entry, _checksum = model.metadata_props
    facts, run = json.loads(entry.value), json.loads((trained / "run.json").read_text())
    assert entry.key == "classicnets" and facts["format"] == 1 and facts["net"] == "lenet_caffe"
    for key in ("classes", "preprocess", "parameters", "macs", "data_name", "fingerprint"):
        assert facts[key] == run[key]
    recorded = json.loads((trained / "trained_images.json").read_text())
    assert facts["trained_images"] == {key: value for key, value in recorded.items() if key != "checksum"}
    assert facts["licence"] == "CC0-1.0" and facts["int8"] is False and facts["test_pictures"] == 100
    assert facts["test_accuracy"] == run["result"]["test_accuracy"]
    assert facts["weights_sha256"] == hashlib.sha256((trained / "best.safetensors").read_bytes()).hexdigest()
    assert model.producer_name == "classicnets" and "100 test images" in model.doc_string
    assert [i.name for i in model.graph.input] == ["pixels"] and [o.name for o in model.graph.output] == [
        "probabilities"
    ]
    assert str(Path(cn.__file__).parent) not in str(model) and "stack_trace" not in str(model)


def test_the_file_predicts_what_predict_predicts(file: Path, trained: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (prediction,) = cn.Run(trained).predict(tmp_path / "a.png", top=10)
    color = read_image(tmp_path / "a.png", 3).transpose(1, 2, 0)
    (probabilities,) = session(file).run(None, {"pixels": color[None]})
    assert np.allclose(np.sort(probabilities[0])[::-1], prediction.probabilities, atol=1e-6)


def test_exporting_again_gives_the_same_file_except_for_the_time(file: Path, trained: Path, tmp_path: Path) -> None:
    cn.Run(trained).export(tmp_path / "again.onnx", license="CC0-1.0")
    changing = rb'"created_at": "[^"]*"|[0-9a-f]{64}$'  # and the checksum at the end, which covers the time
    first, second = (re.sub(changing, b"", p.read_bytes()) for p in (file, tmp_path / "again.onnx"))
    assert first == second


@pytest.mark.parametrize("broken", ["weight", "pixels", "softmax"])
def test_does_not_write_a_file_that_computes_something_else(
    broken: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assemble = export_onnx.assemble

    def assemble_wrongly(*arguments: Any) -> bytes:
        model = onnx.load_from_string(assemble(*arguments))
        if broken == "weight":
            tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[3] *= -1
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        if broken == "pixels":  # like a wrong color order or luma: only color probes detect it
            branches = [a.g for node in model.graph.node for a in node.attribute if node.op_type == "If"]
            for node in (node for graph in branches for node in graph.node):
                if node.op_type == "Floor":
                    node.op_type = "Ceil"
        if broken == "softmax":
            next(node for node in model.graph.node if node.op_type == "Softmax").attribute[0].i = 0
        content: bytes = model.SerializeToString()
        return content

    monkeypatch.setattr(export_onnx, "assemble", assemble_wrongly)
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckFailed) as caught:
        cn.Run(trained).export(tmp_path / "out/net.onnx")
    assert caught.value.code == "CN102" and list((tmp_path / "out").iterdir()) == []


def test_checks_on_noise_and_reports_it_without_the_data(
    trained: Path, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_missing(*_: Any, **__: Any) -> None:
        raise DataError("CN302", "no data set at blobs")

    monkeypatch.setattr("classicnets.images.loading.load", raise_missing)
    exported = cn.Run(trained).export(tmp_path / "net.onnx")
    assert (
        exported.accuracy is None
        and "no data set" in exported.missing_data
        and exported.difference <= present(exported.bound)
    )
    facts = json.loads(onnx.load(tmp_path / "net.onnx").metadata_props[0].value)
    assert facts["test_accuracy"] is None and facts["test_pictures"] == 0
    with pytest.raises(DataError):
        cn.Run(trained).export(tmp_path / "small.onnx", int8=True)
    assert not (tmp_path / "small.onnx").exists()


def test_reports_the_extra_of_a_missing_package(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_missing(module: Any, *, extra: Any) -> None:
        raise MachineError("CN403", "missing", hint=f"pip install 'classicnets[{extra}]'")

    monkeypatch.setattr(machine, "require", raise_missing)
    with pytest.raises(MachineError) as caught:
        cn.Run(trained).export(tmp_path / "net.onnx")
    assert caught.value.hints == ("pip install 'classicnets[export]'",)


def test_exports_a_bfloat16_run_on_color_images_in_float32(folder: Path, tmp_path: Path) -> None:
    settings = {"image_size": 16, "epochs": 1, "precision": "bfloat16", "views": 2, "fit": "crop"}
    run = cn.train("lenet_d2l", data=str(folder), recipe="fast", quiet=True, **settings)
    exported = run.export(tmp_path / "net.onnx")
    assert exported.difference <= present(exported.bound) and exported.accuracy == present(run.result)["test_accuracy"]
    kinds = {t.data_type for t in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT in kinds and not kinds & {onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT16}


# --- smaller files -----------------------------------------------------------------------------------------------


def test_int8_is_small_and_reports_its_accuracy(file: Path, trained: Path, tmp_path: Path) -> None:
    exported = cn.Run(trained).export(tmp_path / "small.onnx", int8=True)
    facts = json.loads(onnx.load(tmp_path / "small.onnx").metadata_props[0].value)
    assert 0 < largest_pair_sum(onnx.load(tmp_path / "small.onnx")) < 2**15
    assert facts["int8"] is True and facts["test_accuracy"] == exported.accuracy and exported.calibration_count == 360
    assert exported.bytes == (tmp_path / "small.onnx").stat().st_size < 0.3 * file.stat().st_size
    assert (
        exported.difference > 1e-5
        and exported.bound is None
        and present(exported.net_accuracy) - present(exported.accuracy) <= 0.05
    )
    preprocessing = [n for n in onnx.load(tmp_path / "small.onnx").graph.node if n.name.startswith("before/")]
    assert preprocessing and not [n for n in preprocessing if "Quantize" in n.op_type]
    assert session(tmp_path / "small.onnx").run(None, {"pixels": np.zeros((7, 5, 9, 3), np.uint8)})[0].shape == (7, 10)


def largest_pair_sum(model: onnx.ModelProto) -> int:
    """The largest sum of two products of bytes that x86 processors without VNNI can meet in 16 bits.

    They multiply unsigned bytes of the first factor with signed bytes of the second. A second factor that is unsigned
    is widened first, and its products are added in 32 bits.
    """
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    dequantized = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    largest = 0
    for node in model.graph.node:
        if node.op_type not in {"Conv", "Gemm", "MatMul"} or not {*node.input[:2]} <= dequantized.keys():
            continue
        first, second = (dequantized[name] for name in node.input[:2])
        assert weights[first.input[2]].dtype == np.uint8
        if weights[second.input[2]].dtype == np.int8:
            values = weights.get(second.input[0], np.array([-128, 127], np.int8)).astype(int)
            largest = max(largest, 2 * 255 * int(abs(values).max()))
        else:
            assert second.input[0] not in weights, "weights are signed, which all processors multiply fast"
    return largest


class Attention(nn.Module):
    """Convolution, dense layers with large weights, and a product of two layer outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.query, self.out = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 64), nn.Linear(64, 3)
        for layer in (self.conv, self.query, self.out):
            nn.init.constant_(layer.weight, 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).flatten(2)
        scores = self.query(x) @ x.transpose(1, 2)
        return torch.as_tensor(self.out((scores.softmax(dim=2) @ x).mean(dim=1)))


def test_int8_sums_are_clipped_on_no_processor() -> None:
    """The file is judged as it will run: by construction, its sums fit into the 16 bits of the oldest kernels."""
    preprocess = Preprocess(channels=1, image_size=8)
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), dtype=np.uint8)
    quantized = int8.quantize(export_onnx.export_network(Attention(), preprocess), images, preprocess)
    assert 2 * 255 * 60 < largest_pair_sum(quantized) < 2**15
    kinds = [node.op_type for node in quantized.graph.node]
    assert kinds.count("Conv") == 1 and kinds.count("MatMul") + kinds.count("Gemm") >= 4


def test_rejects_int8_that_costs_too_much_accuracy(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed) as caught:
        cn.Run(trained).export(tmp_path / "small.onnx", int8=True, max_loss=-1)
    assert caught.value.code == "CN103" and not (tmp_path / "small.onnx").exists()


def test_low_rank_layers_are_the_best_approximation_of_their_rank() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(30, 20)
    net = nn.Sequential(nn.Flatten(), layer)
    small = low_rank.approximate(net, 50 * 4)
    pair = layer_of(small, 1, nn.Sequential)
    assert len(pair) == 2
    first, second = (layer_of(pair, place, nn.Linear) for place in (0, 1))
    assert first.weight.shape == (4, 30) and net[1] is layer
    s = torch.linalg.svdvals(layer.weight)
    error = (second.weight @ first.weight - layer.weight).norm()
    assert torch.isclose(error, s[4:].square().sum().sqrt(), rtol=1e-4)
    assert torch.equal(layer_of(low_rank.approximate(net, 10_000), 1, nn.Linear).weight, layer.weight)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small network of linear layers, which int8 makes four times as small, and low rank smaller still."""
    root = tmp_path_factory.mktemp("dense")
    layers = "nn.Flatten(), nn.Linear(784, 150), nn.ReLU(), nn.Linear(150, 10)"
    (root / "own.py").write_text(f"from torch import nn\nnet = nn.Sequential({layers})\n")
    data = make_idx_folder(root / "blobs", train=100, test=20)
    settings = {"epochs": 3, "optimizer": "sgd", "validation": 0.2, "monitor": "validation"}
    path: Path = cn.train(f"{root}/own.py:net", data=str(data), recipe="fast", quiet=True, runs=root, **settings).path
    return path


def test_size_budget_writes_the_most_accurate_file_that_fits(dense: Path, tmp_path: Path, cli: CommandLine) -> None:
    code, out, err = cli("export", dense, "--size-budget", "200kB", "-o", tmp_path / "b.onnx", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (tmp_path / "b.onnx").stat().st_size == result["bytes"] <= 200_000
    rows = {row["name"]: row for row in result["candidates"]}
    assert list(rows) == ["unchanged", "low-rank layers", "int8"] and rows["unchanged"]["bytes"] > 400_000
    assert 190_000 < rows["low-rank layers"]["bytes"] <= 200_000 and result["chosen_on"] == "20 validation images"
    best = max((rows["low-rank layers"], rows["int8"]), key=lambda row: row["accuracy"])
    assert result["int8"] == best["int8"]


def test_reports_the_smallest_possible_size_budget(dense: Path, tmp_path: Path, cli: CommandLine) -> None:
    code, _, err = cli("export", dense, "--size-budget", "9kB", "-o", tmp_path / "c.onnx")
    assert code == 1 and "CN104" in err and not (tmp_path / "c.onnx").exists()
    smallest = present(re.search(r"--size-budget (\d+B)", err))[1]
    code, out, _ = cli("export", dense, "--size-budget", smallest, "-o", tmp_path / "c.onnx")
    assert code == 0 and (tmp_path / "c.onnx").stat().st_size <= int(smallest[:-1]) < 90_000
    assert "low-rank layers and int8" in out


def test_prefers_the_first_of_equally_accurate_candidates() -> None:
    sizes = {"a": 9, "b": 5}
    candidates = [
        budget.Candidate(name=name, bytes=size, accuracy=0.9, int8=False, max_weights=None)
        for name, size in sizes.items()
    ]
    assert budget.best(candidates, 10).name == "a" and budget.best(candidates, 8).name == "b"


# --- torch programs and the command line -------------------------------------------------------------------------


def test_exports_a_torch_program(trained: Path, tmp_path: Path) -> None:
    exported = cn.Run(trained).export(tmp_path / "net.pt2", format="torch", license="MIT")
    assert exported.difference <= present(exported.bound) and exported.accuracy == exported.net_accuracy
    extra = {PROGRAM_FACTS: ""}
    net = torch.export.load(tmp_path / "net.pt2", extra_files=extra).module()
    assert json.loads(extra[PROGRAM_FACTS])["licence"] == "MIT"
    for n in (1, 2, 7):
        assert net(torch.zeros(n, 3, 28, 28, dtype=torch.uint8)).shape == (n, 10)


def test_command_reports_the_checks(
    trained: Path, cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("export", trained)
    name = f"{trained.name}.onnx"
    assert code == 0 and out.endswith(f"next: classicnets predict {name} image.png\n")
    assert "agrees with the network on 100 images" in out and "license unknown" in out and "torchvision" not in err
    assert [p.name for p in tmp_path.glob("*.onnx")] == [name]


def test_command_rejects_invalid_options(trained: Path, cli: CommandLine) -> None:
    assert cli("export", trained, "--size-budget", "lots")[0] == 2
    assert cli("export", trained, "--format", "torch", "--int8")[0] == 2


@pytest.mark.parametrize("wrong", [{"format": "tflite"}, {"format": "torch", "size_budget": 9}])
def test_rejects_options_that_exclude_each_other(wrong: dict[str, Any], trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        cn.Run(trained).export(tmp_path / "net", **wrong)
    assert caught.value.code == "CN206" and not (tmp_path / "net").exists()


def test_every_option_has_a_help_text_and_a_default() -> None:
    for option in fields(ExportOptions):
        assert about(option).help and option.default is not MISSING


@pytest.mark.parametrize(("text", "size"), [("300kB", 300_000), ("1.5 mb", 1_500_000), ("2000B", 2000)])
def test_parses_sizes(text: str, size: int) -> None:
    assert read_size(text) == size
    with pytest.raises(ValueError):
        read_size(text[:-1])


def test_raises_a_machine_error_if_the_file_cannot_be_written(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError) as caught:
        cn.Run(trained).export(tmp_path / "file/net.onnx")
    assert caught.value.code == "CN401"


@pytest.mark.parametrize("name", ["missing folder/net.onnx", "net.onnx"])
def test_checks_the_target_before_any_work(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cn.Run(trained)
    monkeypatch.setattr(models, "ExportSource", None)  # would read the data
    (tmp_path / "net.onnx").mkdir()
    with pytest.raises(MachineError) as caught:
        run.export(tmp_path / name)
    assert caught.value.code == "CN401" and "-o FOLDER/net.onnx" in caught.value.hints[-1]
    if "/" in name:
        assert caught.value.hints[0] == f"mkdir -p '{tmp_path}/missing folder'"


def test_a_name_without_suffix_gets_that_of_the_format(trained: Path, tmp_path: Path, cli: CommandLine) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "image.png")
    code, out, err = cli("export", trained, "-o", tmp_path / "v1.2 of it", "--json")
    assert code == 0, err
    assert json.loads(out)["path"] == str(tmp_path / "v1.2 of it.onnx")
    assert cli("predict", tmp_path / "v1.2 of it.onnx", tmp_path / "image.png")[0] == 0
    code, _, err = cli("export", trained, "-o", "net.onnx", "--format", "torch")
    assert code == 2 and "hint:  -o net.pt2" in err
