"""An exported web page shows what the network computes: every layer, every weight, every epoch; and loses nothing."""

from __future__ import annotations

import base64
import copy
import functools
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.onnx._internal.exporter._registration import ONNXRegistry

import classicnets as cn
from classicnets import schema
from classicnets.datasets.formats import read_idx
from classicnets.datasets.types import ImageSplits, Split
from classicnets.errors import CheckFailed, DataError, MachineError, UsageError
from classicnets.evaluation import exported
from classicnets.evaluation.onnx import INPUT, OUTPUT, OnnxClassifier
from classicnets.export import layer_parity, observed, page_facts, web
from classicnets.export import onnx as export_onnx
from classicnets.export.file_page import write_file_page
from classicnets.export.graph import PREPARED
from classicnets.export.layer_facts import layer_facts
from classicnets.export.layer_parity import FileOutputs
from classicnets.images.decode import fit_images
from classicnets.inspection.shapes import trace
from classicnets.language import texts_in
from classicnets.models.layers import ScaledTanh, Subsampling, TableConv2d
from classicnets.models.lrn import LRN
from classicnets.models.registry import NETS
from classicnets.schema import Anything, Choice, Flag, Mapped, Real, Record, Several, Text, Whole, optional
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.layer_formulas import recomputed
from support.onnx_files import colors_onnx, sealed
from support.typed import layer_of, present

pytestmark = pytest.mark.usefixtures("page")

INDEX = """<!doctype html><html><head><meta charset="utf-8"><link rel="stylesheet" href="page.css">
<script src="page.js" defer></script></head><body><h1>A page</h1></body></html>
"""
SCRIPT = 'const text = "</script><!-- ü";\n'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A small page instead of the built one, whose script tests of its own check."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(INDEX)
    (folder / "page.js").write_text(SCRIPT, "utf-8")
    (folder / "page.css").write_text("body { color: black }")
    (folder / "runtime.wasm.gz").write_bytes(gzip.compress(b"wasm", mtime=0))
    (folder / "LICENSE-onnxruntime.txt").write_text("MIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "PAGE", folder)
        # torch reads the source of 500 functions for each export; all exports get the same
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        real, models = observed.export_observed, dict[bytes, onnx.ModelProto]()

        def export_once(net: nn.Module, preprocess: Preprocess, calls: Any) -> onnx.ModelProto:
            """The same network is exported once for all tests."""
            weights = b"".join(tensor.numpy().tobytes() for tensor in net.state_dict().values())
            key = hashlib.sha256(f"{net} {preprocess}".encode() + weights).digest()
            if key not in models:
                models[key] = real(net, preprocess, calls)
            return copy.deepcopy(models[key])

        patch.setattr(observed, "export_observed", export_once)
        yield


# --- every layer of every network --------------------------------------------------------------------------------


class Stranger(nn.Module):
    """What networks of users do: functions in forward(), work in place, one layer for two places, residual sums."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=(1, 0))
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 8, 2, padding="same", groups=4, bias=False)
        self.lrn = nn.LocalResponseNorm(4, alpha=0.5)
        self.pool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.adaptive = nn.AdaptiveAvgPool2d((3, 2))
        self.identity = nn.Identity()
        self.dense = nn.Linear(8 * 6, 5, bias=False)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.relu(self.first(x)))
        y = self.grouped(x)
        y += x
        y = self.relu(self.lrn(y))
        x = self.adaptive(self.pool(y).sqrt())
        logits = self.dense(self.identity(torch.flatten(x, 1)))
        return torch.sub(logits, self.softmax(logits))


class Pair(nn.Module):
    """A layer with two inputs and a tuple as its output."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x + y, x


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(1, 4, 3, dilation=2, padding=1))
        self.pair = Pair()
        self.pool = nn.Sequential(nn.AvgPool2d(2, padding=1, count_include_pad=False), nn.AdaptiveMaxPool2d(2))
        self.dense = nn.Linear(16, 6)
        self.norm = nn.BatchNorm1d(6, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        total, _ = self.pair(x, x.tanh())
        result: Tensor = self.norm(self.dense(self.pool(total).flatten(1)))
        return result


def grouped_lrn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding="valid"), LRN(size=3, alpha=0.5, groups=2), nn.GELU(), nn.ELU(), nn.SiLU(),
        nn.LeakyReLU(0.2), nn.ReLU6(), nn.Hardtanh(), nn.Dropout2d(), nn.RReLU(),
        nn.AvgPool2d(3, 2), nn.Flatten(), nn.Linear(128, 3),
    )  # fmt: skip


STRANGERS: dict[str, tuple[Any, tuple[int, int, int]]] = {
    "stranger": (Stranger, (3, 14, 14)),
    "branches": (Branches, (1, 12, 12)),
    "functions": (grouped_lrn, (1, 11, 11)),
    "whole": (nn.Flatten, (1, 3, 3)),
}
# every kind of layer of the small networks; the others have the same ones in another order
REGISTRY = ("lenet_1989", "lenet1_1990", "lenet5_1998", "lenet_caffe")
LARGER = ("alexnet_28", "cifar10_11pct", "cifar10_18pct")


def drawn(net: nn.Module) -> nn.Module:
    """The network with weights and statistics that make every layer matter."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            present(module.running_mean).normal_()
            present(module.running_var).uniform_(0.5, 2)
            for parameter in module.parameters():
                nn.init.normal_(parameter, 1.0)
    return net.eval()


class Shown:
    """A network as the page gets it: the entry of site.json, and the outputs of its file for three images."""

    def __init__(self, net: nn.Module, preprocess: Preprocess, folder: Path):
        self.net, self.calls = net, observed.layer_calls(net, preprocess)
        model = observed.export_observed(net, preprocess, self.calls)
        self.model = copy.deepcopy(model)
        self.weights = observed.add_weights(model, page_facts.layer_weights(self.calls))
        facts = {
            "net": "n", "data_name": "d", "int8": False, "classes": ["a"], "licence": "MIT", "test_accuracy": None,
            "test_pictures": 0,
        }  # fmt: skip
        outputs = net(torch.rand(2, *preprocess.shape)).shape[1]
        file = folder / "net.onnx"
        file.write_bytes(export_onnx.assemble(model, preprocess, outputs, facts))
        onnx.checker.check_model(onnx.load(file), full_check=True)
        self.file = FileOutputs(file)
        source: Any = SimpleNamespace(preprocess=preprocess)
        self.sources = observed.layer_sources(onnx.load(file), self.calls)
        self.layers = [
            *page_facts._layer_entries(
                page_facts.PageNetwork(
                    source=source, file="", facts=facts, calls=self.calls, table=trace(net, preprocess.shape),
                    sources=self.sources, weights=frozenset(self.weights),
                )
            )
        ]  # fmt: skip
        size = (3, preprocess.channels, preprocess.side, preprocess.side)
        self.images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
        self.values = self.file.values(sorted(self.file.names), self.images)


def hooked_outputs(net: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """Name and output of every call of a module without children, by hooks of the framework."""
    recorded: list[tuple[str, Tensor]] = []
    handles = [
        module.register_forward_hook(
            lambda _m, _i, out, name=name: recorded.append((name, (out[0] if isinstance(out, tuple) else out).clone()))
        )
        for name, module in net.named_modules()
        if not [*module.children()] or hasattr(module, "parametrizations")
    ]
    with torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    return [(name, value) for name, value in recorded if "parametrizations" not in name]


def check_shown(shown: Shown, preprocess: Preprocess) -> None:
    x = torch.from_numpy(shown.values["prepared"].copy())
    assert torch.equal(x, torch.from_numpy(shown.images).float() / 255)
    expected = hooked_outputs(shown.net, x.clone())
    assert [layer["name"] for layer in shown.layers] == [name for name, _value in expected]
    for layer, (name, value) in zip(shown.layers, expected, strict=True):
        largest = max(1.0, float(value.abs().max()))
        array = shown.values[layer["output"]]
        assert array.shape == value.shape == (3, *layer["shape"]), name
        assert np.abs(array - value.numpy()).max() < 2e-5 * largest, name
        if layer["input"] is None:
            continue
        given = shown.values[layer["input"]]
        assert list(given.shape[1:]) == layer["input_shape"], name
        again = recomputed(layer, given[0], shown.values.__getitem__)
        if again is not None:
            assert np.abs(again - array[0]).max() < 2e-5 * max(largest, float(np.abs(given).max())), name
    last = shown.layers[-1]["output"]
    if np.array_equal(shown.values[last], shown.values["logits"]):
        assert shown.sources["logits"] == (last,)
    table = trace(shown.net, preprocess.shape)
    assert sum(layer["macs"] for layer in shown.layers) == table.macs
    assert sum(layer["parameters"] for layer in shown.layers) == table.parameters


@pytest.mark.parametrize(
    "name",
    [*REGISTRY, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)],
)
def test_shows_every_layer_of_the_registry(name: str, tmp_path: Path) -> None:
    entry = NETS[name]
    preprocess = Preprocess(channels=entry.input[0], image_size=entry.input[1])
    shown = Shown(drawn(entry.load()(entry.classes, *entry.input[:2])), preprocess, tmp_path)
    check_shown(shown, preprocess)
    known = {"conv", "max_pool", "average_pool", "dense", "activation", "lrn", "batch_norm", "flatten", "dropout"}
    other = {layer["kind"] for layer in shown.layers if layer["type"] not in known}
    assert other <= {"RBFOutput", "PositionsToRows", "RowsToPositions", "LocalConv2d", "SameMapNorm"}
    assert all(layer["weight"] for layer in shown.layers if layer["type"] in {"conv", "dense"})


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", STRANGERS)
def test_shows_every_layer_of_other_networks(name: str, tmp_path: Path) -> None:
    make, shape = STRANGERS[name]
    preprocess = Preprocess(channels=shape[0], image_size=shape[1])
    shown = Shown(drawn(make()), preprocess, tmp_path)
    check_shown(shown, preprocess)
    layers = {layer["name"]: layer for layer in shown.layers}
    if name == "stranger":
        sources = [(layer["name"], layer["input"]) for layer in shown.layers]
        assert sources == [
            ("first", "prepared"), ("relu", "layers/0"), ("norm", "layers/1"), ("grouped", "layers/2"),
            ("lrn", "layers/4/input"),  # y += x has changed the output of `grouped`
            ("relu", "layers/4"), ("pool", "layers/5"), ("adaptive", "layers/7/input"), ("identity", "layers/8/input"),
            ("dense", "layers/8"), ("softmax", "layers/9"),
        ]  # fmt: skip
        assert layers["lrn"]["sources"] == ["layers/2", "layers/3"] and layers["adaptive"]["sources"] == ["layers/6"]
        assert layers["pool"]["sources"] == ["layers/5"] and layers["identity"]["sources"] == ["layers/7"]
        assert layers["grouped"]["bias"] is None and layers["dense"]["size"] == "48 -> 5"
        assert layers["first"]["size"] == "14 -> floor((14 + 2*1x0 - 3x2) / 2x1) + 1 = 7x13"
    if name == "branches":
        assert layers["pair"]["sources"] == [] and layers["pool.0"]["sources"] == ["layers/1"]
        assert layers["pair"]["input"] is None and layers["pair"]["type"] == "other"
        assert layers["conv"]["type"] == "conv" and layers["conv"]["parameters"] == 4 + 4 + 36
        assert layers["norm"]["facts"]["weight"] is None and layers["pool.1"]["type"] == "max_pool"
    if name == "functions":
        functions = [layer["facts"]["function"] for layer in shown.layers if layer["type"] == "activation"]
        assert functions == ["gelu", "elu", "silu", "leaky_relu", "relu6", "other", "leaky_relu"]


ROLES = ("mean", "variance", "weight", "bias")
KINDS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.AvgPool2d(3, 2, divisor_override=5), (2, 7, 7)),  # torch's exporter ignores the divisor, so no export has it
    (nn.AvgPool2d(3, 2, padding=1, ceil_mode=True), (2, 8, 8)),
    (nn.AvgPool2d((2, 3), padding=(0, 1), count_include_pad=False, ceil_mode=True), (2, 8, 8)),
    (nn.MaxPool2d(2, dilation=3, ceil_mode=True), (2, 8, 8)),
    (nn.AdaptiveMaxPool2d((2, 4)), (2, 8, 8)),
    (nn.AdaptiveAvgPool2d((3, None)), (2, 8, 8)),
    (nn.Conv2d(4, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2), (4, 9, 9)),
    (nn.Conv2d(1, 2, (4, 3), padding="same", dilation=(1, 2)), (1, 9, 9)),
    (Subsampling(3, 2), (3, 7, 7)),
    (TableConv2d(3, 2, 3, [[0, 2], [1]], padding=1, pad_value=-1, stride=2), (3, 8, 8)),
    (TableConv2d(1, 2, 3, [[0], [0]], padding=1, pad_value=0.5, unit_bias=(8, 8)), (1, 8, 8)),
    (LRN(size=5, alpha=0.7, beta=0.6, k=1.5, convention="paper", groups=3), (9, 3, 3)),
    (nn.LocalResponseNorm(4, alpha=0.9, beta=0.6, k=1.5), (6, 3, 3)),
    (nn.BatchNorm1d(5), (5,)),
    (nn.BatchNorm2d(3, affine=False), (3, 4, 4)),
    (nn.Linear(4, 3, bias=False), (2, 4)),
    (nn.Softmax(-1), (5,)),
    (ScaledTanh(1.5, 0.5), (5,)),
    (nn.ELU(0.7), (5,)),
    (nn.AlphaDropout(), (5,)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("layer", "shape"), KINDS, ids=lambda value: str(value).replace(" ", ""))
def test_what_the_page_says_of_a_layer_gives_its_output(layer: nn.Module, shape: tuple[int, ...]) -> None:
    call = observed.LayerCall(index=0, number=0, name="a", module=drawn(layer), inputs=shape, outputs=(), source=None)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    y = layer(x).detach().numpy()
    call = replace(call, outputs=y.shape[1:])
    facts = layer_facts(call)
    entry = {
        "type": facts.type, "shape": list(call.outputs), "weight": "weight",
        "bias": "bias" if "bias" in facts.weights else None,
        "facts": facts.facts | {role: role if role in facts.weights else None for role in ROLES},
    }  # fmt: skip
    again = recomputed(entry, x[0].numpy(), lambda role: facts.weights[role].detach().numpy())
    assert np.abs(present(again) - y[0]).max() < 1e-5
    json.dumps(facts.facts, allow_nan=False)


def test_the_page_chooses_the_language_of_what_an_export_says(tmp_path: Path) -> None:
    """An export in Chinese writes what one in English does; the page replaces the remark on a size."""
    net = nn.Sequential(nn.MaxPool2d(2, 3, padding=1, ceil_mode=True), nn.Flatten(), nn.Linear(4, 3))
    with texts_in("zh"):
        shown = Shown(net, Preprocess(channels=1, image_size=5), tmp_path)
    remark = " (the last window would start in the padding)"
    assert shown.layers[0]["size"] == f"5 -> ceil((5 + 2*1 - 2) / 3) + 1 - 1{remark} = 2"
    words = Path(__file__).parents[2] / "web" / "src" / "languages" / "en.ts"
    assert f'lastWindow: "{remark}"' in words.read_text(encoding="utf-8")


def test_a_layer_with_methods_of_its_own_is_no_known_kind() -> None:
    class Standardized(nn.Conv2d):
        def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return torch.as_tensor(super()._conv_forward(x, weight - weight.mean(), bias))

    class Named(nn.Conv2d):
        def extra_repr(self) -> str:
            return "named"

    changed = nn.Conv2d(1, 2, 3)
    setattr(changed, "forward", lambda x: x[:, :1, 2:, 2:])  # noqa: B010 (a method, for mypy)
    reflected = nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")
    layers: dict[str, list[nn.Module]] = {
        "other": [Standardized(1, 2, 3), changed, reflected, nn.PixelShuffle(1)],
        "conv": [Named(1, 2, 3)],
    }
    for expected, modules in layers.items():
        for module in modules:
            (call,) = observed.layer_calls(module, Preprocess(channels=1, image_size=6))
            assert layer_facts(call).type == expected, module


def test_a_weight_with_the_numbers_of_another_keeps_its_own_name(tmp_path: Path) -> None:
    """All biases start as zeros, which the exporter leaves out; those of a later epoch differ."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4))
    for name in ("1", "2"):
        nn.init.zeros_(layer_of(net, name, nn.Linear).bias)
    shown = Shown(net, Preprocess(channels=1, image_size=2), tmp_path)
    assert {layer["bias"] for layer in shown.layers} == {None, "weights/1.bias", "weights/2.bias"}
    assert not shown.values["weights/1.bias"].any() and shown.values["weights/2.bias"].shape == (4,)


def test_takes_the_weights_of_an_epoch_into_a_model_that_has_them_all(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4))
    for name in ("1", "2"):
        nn.init.zeros_(layer_of(net, name, nn.Linear).bias)
    preprocess = Preprocess(channels=1, image_size=2)
    model = Shown(net, preprocess, tmp_path).model
    other = copy.deepcopy(net)
    nn.init.normal_(layer_of(other, 2, nn.Linear).weight)
    changed = present(observed.with_state(model, net, other))
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in changed.graph.initializer}
    for name in ("1", "2"):
        weight = layer_of(other, name, nn.Linear).weight.detach().numpy()
        assert any(np.array_equal(array, weight) for array in arrays.values()), name
    assert changed != model
    nn.init.normal_(layer_of(other, 2, nn.Linear).bias)  # the exporter has left out a bias of zeros
    assert observed.with_state(model, net, other) is None


def test_names_the_layer_whose_outputs_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, preprocess = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), Preprocess(channels=1, image_size=2)
    shown = Shown(net, preprocess, tmp_path)
    weights = page_facts.layer_weights(shown.calls)

    def check() -> None:
        layer_parity.check_layers(shown.file, net, shown.calls, shown.images, preprocess, weights, as_int8=False)

    check()
    values = shown.file.values
    for output, where in (("layers/1", "the layer 1"), ("weights/1.weight", "the layer weights/1.weight")):
        changed = lambda names, images, output=output: {
            name: value + (name == output) * 1e-3 for name, value in values(names, images).items()
        }
        monkeypatch.setattr(shown.file, "values", changed)
        with pytest.raises(CheckFailed) as caught:
            check()
        assert caught.value.code == "CN102" and caught.value.where == where


# --- pages of runs -----------------------------------------------------------------------------------------------

LAYER = Record(
    {
        "name": Text(),
        "kind": Text(),
        "type": Choice(
            ("conv", "max_pool", "average_pool", "dense", "activation", "lrn", "batch_norm", "flatten", "dropout",
             "softmax", "other")
        ),
        "input": optional(Text()),
        "sources": Several(Text()),
        "output": Text(),
        "input_shape": Several(Whole(0)),
        "shape": Several(Whole(0)),
        "weight": optional(Text()),
        "bias": optional(Text()),
        "parameters": Whole(0),
        "macs": Whole(0),
        "size": Text(),
        "facts": Mapped(Anything()),
    },
    closed=True,
)  # fmt: skip
NETWORK = Record(
    {
        **dict.fromkeys(
            ("name", "run", "file", "license", "data_name", "data_title", "input", "probabilities", "logits"), Text()
        ),
        "classes": Several(Text()),
        "int8": Flag(),
        "handwriting": Flag(),
        "test_accuracy": optional(Real(0, 1)),
        "test_images": Whole(0),
        "parameters": Whole(0),
        "macs": Whole(0),
        "min_confidence": optional(Real(0, 1)),
        "temperature": Real(0),
        "preprocess": Mapped(Anything()),
        "input_shape": Several(Whole(1)),
        "logits_sources": Several(Text()),
        "layers": Several(LAYER),
        "epochs": Several(
            Record(
                {
                    "epoch": Whole(1),
                    "file": Text(),
                    "validation_accuracy": optional(Real(0, 1)),
                    "loss": optional(Real()),
                },
                closed=True,
            )
        ),
    },
    closed=True,
)
SITE = Record(
    {
        "version": Choice((1,)),
        "classicnets": Text(),
        "files": Several(Text()),
        "examples": Several(Record({"file": Text(), "class": Text()}, closed=True)),
        "networks": Several(NETWORK, most=2, least=1),
    },
    closed=True,
)
SETTINGS = {"epochs": 2, "lr": 0.05, "optimizer": "sgd", "validation": 0.1, "monitor": "validation"}


@pytest.fixture(scope="module")
def kept(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> cn.Run:
    """A run of two epochs that has kept both."""
    runs = tmp_path_factory.mktemp("runs")
    run: cn.Run = cn.train(
        "lenet_d2l", data=str(blobs), recipe="fast", quiet=True, runs=runs, keep_epochs=True, limit=64, **SETTINGS
    )
    return run


@pytest.fixture(scope="module")
def color(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> cn.Run:
    """A run on color images, of other classes, with ten views."""
    runs, own = tmp_path_factory.mktemp("runs"), {"image_size": 12, "resize": 16, "views": 10, "fit": "crop"}
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3))
    run: cn.Run = cn.train(net, data=str(folder), recipe="fast", quiet=True, runs=runs, epochs=1, **own)
    return run


@pytest.fixture(scope="module")
def site(kept: cn.Run, color: cn.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of both runs."""
    path = tmp_path_factory.mktemp("pages") / "site"
    exported = kept.export(path, color, format="web", license="CC0-1.0")
    assert exported.path == path and len(exported.networks) == 2 and exported.example_count == 30
    assert (exported.layer_count, exported.epoch_count) == (12, 2)
    return path


def facts_of(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = schema.read((path / "site.json").read_bytes(), SITE)
    return facts


def test_a_page_has_the_networks_and_says_what_they_are(site: Path, kept: cn.Run, color: cn.Run) -> None:
    facts = facts_of(site)
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert {*facts["files"], "site.json"} == files and set(web.PAGE_FILES) < files
    first, second = facts["networks"]
    assert (first["name"], first["run"], first["license"]) == ("lenet_d2l", kept.path.name, "CC0-1.0")
    assert first["test_accuracy"] == present(kept.result)["test_accuracy"] and first["test_images"] == 100
    assert (first["parameters"], first["macs"]) == (61_706, 416_520) and not first["handwriting"]
    assert second["input_shape"] == [3, 12, 12] and second["preprocess"]["views"] == 10
    assert second["classes"] == [*color.classes] and second["epochs"] == []
    for network, run in ((first, kept), (second, color)):
        model = cn.load(site / network["file"])
        images = np.random.default_rng(0).integers(0, 256, (3, run.predictor.preprocess.channels, 20, 20), np.uint8)
        expected = run.predictor.probabilities(fit_images(images, run.predictor.preprocess))
        assert np.abs(model.predictor.probabilities(images) - expected).max() < 1e-5
        outputs = FileOutputs(site / network["file"])
        names = {layer["output"] for layer in network["layers"]} | {"prepared", "logits", "probabilities"}
        assert names <= outputs.names
    assert FileOutputs(site / second["file"]).values(["prepared"], images)["prepared"].shape == (30, 3, 12, 12)


def test_examples_are_test_images_of_each_class(site: Path, blobs: Path, color: cn.Run) -> None:
    """Those of the run that reads the larger images; other images would have fewer pixels than that needs."""
    examples = facts_of(site)["examples"]
    assert [example["class"] for example in examples] == [str(label) for label in range(10) for _ in range(3)]
    images = read_idx(blobs / "t10k-images-idx3-ubyte.gz")
    for number, example in enumerate(examples):
        with Image.open(site / example["file"]) as image:
            assert image.mode == "L" and np.array_equal(np.asarray(image), images[number // 3 + 10 * (number % 3)])


def test_examples_are_fitted_and_at_most_thirty(color: cn.Run) -> None:
    images = np.random.default_rng(0).integers(0, 256, (80, 3, 20, 10), dtype=np.uint8)
    split = Split(images, np.arange(80) % 40)
    classes = tuple(f"c{label}" for label in range(40))
    splits = ImageSplits("many", classes, split, split, fingerprint="0", source="")
    source: Any = SimpleNamespace(splits=splits, preprocess=color.predictor.preprocess)
    examples = web.examples([SimpleNamespace(splits=None), source])  # type: ignore[list-item]
    assert [example.name for example in examples] == [f"c{label}" for label in range(30)]
    with Image.open(BytesIO(examples[3].png)) as image:
        expected = fit_images(images[3:4], color.predictor.preprocess)[0]
        assert image.size == (16, 16) and np.array_equal(np.asarray(image).transpose(2, 0, 1), expected)
    assert web.examples([SimpleNamespace(splits=None)]) == []  # type: ignore[list-item]


def test_drawing_is_centered_for_data_sets_of_characters() -> None:
    keys = ["net", "int8", "licence", "classes", "test_accuracy", "test_pictures", "parameters", "macs"]
    facts = dict.fromkeys([*keys, "min_confidence"]) | {"preprocess": Preprocess(channels=1, image_size=28).to_dict()}
    for name, title, is_handwriting in (
        ("mnist", "MNIST", True), ("kmnist", "Kuzushiji-MNIST", True), ("fashion_mnist", "Fashion-MNIST", False),
        ("photos", "photos", False),
    ):  # fmt: skip
        entry = page_facts.network_entry(facts | {"data_name": name}, "run", "0.onnx")
        assert (entry["handwriting"], entry["data_title"]) == (is_handwriting, title)


def test_epochs_have_the_weights_of_each_epoch(site: Path, kept: cn.Run) -> None:
    network = facts_of(site)["networks"][0]
    assert [(epoch["epoch"], epoch["file"]) for epoch in network["epochs"]] == [
        (1, "networks/0-epoch-1.onnx"), (2, network["file"]),  # the run has the weights of its best epoch
    ]  # fmt: skip
    lines = [json.loads(line) for line in (kept.path / "history.jsonl").read_text().splitlines()]
    scores = [(e["validation_accuracy"], e["loss"]) for e in lines if e["event"] == "epoch"]
    assert [(epoch["validation_accuracy"], epoch["loss"]) for epoch in network["epochs"]] == scores
    weights = sorted({layer["weight"] for layer in network["layers"] if layer["weight"]})
    images = np.zeros((1, 1, 28, 28), np.uint8)
    first, second = (FileOutputs(site / epoch["file"]).values(weights, images) for epoch in network["epochs"])
    kept_files = kept.folder.kept_epochs()
    for values, number in ((first, 1), (second, 2)):
        tensors = load_file(kept_files[number])
        assert all(
            np.array_equal(values[name], tensors[f"net/{name.removeprefix('weights/')}"].numpy()) for name in weights
        )
    assert all(not np.array_equal(first[name], second[name]) for name in weights)


def test_one_file_has_the_same_contents(kept: cn.Run, tmp_path: Path, cli: CommandLine) -> None:
    folder = kept.export(tmp_path / "site", format="web").path
    code, out, err = cli("export", kept.path, "--format", "web", "--single-file", "-o", tmp_path / "page")
    assert code == 0, err
    assert f"next: open {tmp_path / 'page.html'} in a browser" in " ".join(out.split())
    html = (tmp_path / "page.html").read_text("utf-8")
    elements = dict(re.findall(r'<script type="text/plain" data-file="([^"]+)">([^<]*)</script>', html))
    names = {name for name in facts_of(folder)["files"] if name not in {"index.html", "page.js", "page.css"}}
    decoded = {name.removesuffix(".gz"): base64.b64decode(text) for name, text in elements.items()}
    assert decoded.keys() == {name.removesuffix(".gz") for name in names | {"site.json"}}
    for name in names:
        content = decoded[name.removesuffix(".gz")]
        if name.endswith((".png", ".gz")):
            assert content == (folder / name).read_bytes()
        elif name.endswith(".onnx"):  # the time of the export differs
            assert len(gzip.decompress(content)) == (folder / name).stat().st_size
        else:
            assert gzip.decompress(content) == (folder / name).read_bytes()
    assert json.loads(gzip.decompress(decoded["site.json"])) == facts_of(folder)
    assert "page.css" not in html.split("data-file")[0] and "body { color: black }" in html
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert scripts == [SCRIPT.replace("</script", "\\x3C/script").replace("<!--", "\\x3C!--")]
    assert html.index("data-file") < html.index(scripts[0]) < html.index("</body>")


def test_int8_pages_have_the_dequantized_weights(kept: cn.Run, tmp_path: Path, cli: CommandLine) -> None:
    run = tmp_path / "run"
    code, out, err = cli("export", kept.path, "--format", "web", "--int8", "--max-loss", 100, "-o", run, "--json")
    assert code == 0, err
    network = facts_of(run)["networks"][0]
    assert network["int8"] and json.loads(out)["networks"][0]["int8"]
    small, large = ((run / name).stat().st_size for name in ("networks/0.onnx", "networks/0-epoch-1.onnx"))
    assert small < 110_000 and large < 110_000  # 61,706 weights in float32 are 247 kB
    state = kept.net.state_dict()
    layer = next(layer for layer in network["layers"] if layer["name"] == "fc1")
    values = FileOutputs(run / network["file"]).values([layer["weight"]], np.zeros((1, 1, 28, 28), np.uint8))
    difference = np.abs(values[layer["weight"]] - state["fc1.weight"].numpy())
    assert 0 < difference.max() < np.abs(state["fc1.weight"].numpy()).max() / 100


def test_a_page_without_the_data_has_no_examples(
    kept: cn.Run, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_missing(*_: Any, **__: Any) -> None:
        raise DataError("CN302", "no data set at blobs")

    monkeypatch.setattr("classicnets.images.loading.load", raise_missing)
    monkeypatch.setattr(type(kept.folder), "kept_epochs", lambda _: {})
    code, out, err = cli("export", kept.path, "--format", "web", "-o", tmp_path / "site")
    assert code == 0, err
    assert "no examples of the data, which is not available: no data set at blobs" in " ".join(out.split())
    facts = facts_of(tmp_path / "site")
    assert facts["examples"] == [] and facts["networks"][0]["test_accuracy"] is None
    assert not (tmp_path / "site/examples").exists()


# --- what is refused ---------------------------------------------------------------------------------------------


def test_replaces_only_pages(kept: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classicnets.api.models.export", lambda *_, **__: None)  # is reached if it is not refused

    def export(name: str, **options: Any) -> None:
        kept.export(tmp_path / name, format="web", **options)

    old = tmp_path / "old"
    old.mkdir()
    export("old")  # an empty folder
    (old / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="is no page that classicnets has written") as caught:
        export("old")
    assert "index.html" in caught.value.why and caught.value.hints == (f"-o {tmp_path}/old-page",)
    (old / "site.json").write_text('{"version": 1, "files": ["index.html"]}')
    export("old")
    (old / "CNAME").write_text("example.org")
    with pytest.raises(UsageError, match="is no page") as caught:
        export("old")
    assert caught.value.code == "CN206" and "CNAME" in caught.value.why
    with pytest.raises(UsageError, match="is no page"):  # the run itself
        kept.export(kept.path, format="web")
    (tmp_path / "notes").write_text("")
    (tmp_path / "mine.html").write_text("mine")
    for name, options in (("notes", {}), ("mine.html", {"single_file": True})):
        with pytest.raises(UsageError, match="is no page"):
            export(name, **options)
    (tmp_path / "mine.html").write_text('<script data-file="site.json.gz">')
    export("mine", single_file=True)
    for name, options in (("net.onnx", {}), ("page.html", {}), ("page.onnx", {"single_file": True})):
        with pytest.raises(UsageError, match="suffix of another format"):
            export(name, **options)


def test_a_page_that_is_written_again_is_replaced_as_a_whole(kept: cn.Run, tmp_path: Path) -> None:
    path = tmp_path / "site"
    path.mkdir()
    (path / "site.json").write_text('{"version": 1, "files": ["networks/1.onnx"]}')
    (path / "networks").mkdir()
    (path / "networks/1.onnx").write_text("old")

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "write_page", stop)
        patch.setattr(type(kept.folder), "kept_epochs", lambda _: {})
        with pytest.raises(Stop):
            kept.export(path, format="web")
        assert (path / "networks/1.onnx").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["site"]
        patch.undo()
        patch.setattr(type(kept.folder), "kept_epochs", lambda _: {})
        kept.export(path, format="web")
    assert not (path / "networks/1.onnx").exists() and facts_of(path)["networks"]
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


def test_networks_too_large_for_a_page_are_refused_before_their_data_is_read(
    kept: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classicnets.api.models.ExportSource", None)  # would read the data
    for limit, what, hint in (
        (100_000, "the network is too large", "--int8"),
        (50_000, "the network is too large", "--format onnx"),
        (60_000, "the outputs of the layers", "--format onnx"),
    ):
        monkeypatch.setattr(web, "MAX_BYTES", limit)
        with pytest.raises(CheckFailed) as caught:
            kept.export(tmp_path / "site", format="web", int8=limit == 60_000)
        assert caught.value.code == "CN107"
        assert what in caught.value.what or limit == 60_000
        assert caught.value.hints[0].startswith(hint)
    assert not (tmp_path / "site").exists()


def test_a_single_file_too_large_for_browsers_is_refused(
    kept: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(kept.folder), "kept_epochs", lambda _: {})
    monkeypatch.setattr(web, "MAX_SINGLE_FILE_BYTES", 10_000)
    with pytest.raises(CheckFailed, match="too large for one file") as caught:
        kept.export(tmp_path / "page.html", format="web", single_file=True)
    assert caught.value.code == "CN107" and [*tmp_path.glob("*")] == []


def test_says_how_a_page_is_built_that_is_missing(
    kept: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PAGE", tmp_path / "nothing")
    with pytest.raises(MachineError) as caught:
        kept.export(tmp_path / "site", format="web")
    assert caught.value.code == "CN403" and "make web" in caught.value.hints[1]
    assert "page.js" in caught.value.why


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("RUN", "RUN"), "a file has one network, and a web page one or two"),
        (("RUN", "RUN", "RUN", "--format", "web"), "a file has one network, and a web page one or two"),
        (("RUN", "RUN", "--format", "web", "--net", "a.py:net"), "--net replaces the network of one run"),
        (("RUN", "--format", "web", "--size-budget", "1MB"), "--size-budget has no effect on a web page"),
        (("RUN", "--single-file"), "--single-file has no effect without --format web"),
        (("RUN", "--format", "web", "--input", "float"), "--input float is a plain ONNX file"),
    ],
)
def test_rejects_what_makes_no_sense(words: tuple[str, ...], text: str, kept: cn.Run, cli: CommandLine) -> None:
    code, _out, err = cli("export", *(str(kept.path) if word == "RUN" else word for word in words))
    assert code == 2 and "CN206" in err and text in " ".join(err.split())


# --- epochs that are kept ----------------------------------------------------------------------------------------


def test_a_run_keeps_the_weights_of_each_epoch(kept: cn.Run) -> None:
    kept_files = kept.folder.kept_epochs()
    assert [*kept_files] == [1, 2] and kept_files[2].name == "epoch-0002.safetensors"
    last, tensors = load_file(kept.folder.last), load_file(kept_files[2])
    assert all(torch.equal(tensor, last[name]) for name, tensor in tensors.items())
    assert not torch.equal(load_file(kept_files[1])["net/fc3.weight"], tensors["net/fc3.weight"])


# --- the page of an exported file ----------------------------------------------------------------------------------


def test_the_page_of_a_file_shows_what_its_operations_compute(kept: cn.Run, color: cn.Run, tmp_path: Path) -> None:
    for run in (kept, color):
        file, folder = tmp_path / f"{run.path.name}.onnx", tmp_path / f"page of {run.path.name}"
        run.export(file)
        folder.mkdir()
        write_file_page(file, folder)
        facts = facts_of(folder)
        assert set(facts["files"]) == {*web.PAGE_FILES, "networks/0.onnx"} and facts["examples"] == []
        (network,) = facts["networks"]
        assert network["run"] == file.stem and network["classes"] == [*run.predictor.classes]
        assert network["logits_sources"] == ["logits"] and network["epochs"] == []
        layers = {layer["name"]: layer for layer in network["layers"]}
        parameters = sum(layer["parameters"] for layer in network["layers"])
        assert parameters == network["parameters"] == sum(tensor.numel() for tensor in run.net.parameters())
        size = run.predictor.preprocess.side
        pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
        page, plain = OnnxClassifier(folder / "networks/0.onnx"), OnnxClassifier(file)
        outputs = [layer["output"] for layer in network["layers"]]
        prepared, probabilities, *values = page.session.run([PREPARED, OUTPUT, *outputs], {INPUT: pixels})
        assert np.array_equal(probabilities, plain.session.run([OUTPUT], {INPUT: pixels})[0])
        assert [list(value.shape[1:]) for value in values] == [layer["shape"] for layer in network["layers"]]
        by_name = dict(zip(layers, values, strict=True))
        checked = 0
        for name, module in run.net.named_modules():
            if not isinstance(module, nn.Conv2d | nn.Linear):
                continue
            seen: list[Tensor] = []
            handle = module.register_forward_hook(lambda _module, _input, output, seen=seen: seen.append(output))
            with torch.inference_mode():
                run.net(torch.from_numpy(prepared))
            handle.remove()
            assert np.abs(seen[0].numpy() - by_name[name]).max() < 1e-4
            checked += 1
        assert checked == len([layer for layer in layers.values() if layer["kind"] in {"Conv", "Gemm"}])
        sources = [layer["sources"] for layer in network["layers"]]
        assert sources == [[PREPARED], *([name] for name in outputs[:-1])]


def test_a_page_of_a_file_that_it_cannot_show(kept: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page").mkdir()
    kept.export(tmp_path / "float.onnx", input="float")
    with pytest.raises(CheckFailed, match="already resized"):
        write_file_page(tmp_path / "float.onnx", tmp_path / "page")
    kept.export(tmp_path / "x.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(web, "MAX_BYTES", 1000)
        with pytest.raises(CheckFailed, match="too large"):
            write_file_page(tmp_path / "x.onnx", tmp_path / "page")
    with pytest.raises(CheckFailed, match="classicnets export"):  # its metadata and its graph lack what a page shows
        write_file_page(sealed(colors_onnx(tmp_path / "colors.onnx", checksum="sha256")), tmp_path / "page")
    read = exported.read_facts
    monkeypatch.setattr(exported, "read_facts", lambda path, **options: {**read(path, **options), "macs": None})
    with pytest.raises(CheckFailed) as caught:
        write_file_page(tmp_path / "x.onnx", tmp_path / "page")
    assert caught.value.why == "the metadata of this file has no macs"
    assert not any((tmp_path / "page").iterdir())


def test_the_page_of_an_int8_file_has_the_answer_only(
    kept: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.export(tmp_path / "x.onnx")
    read = exported.read_facts
    monkeypatch.setattr(exported, "read_facts", lambda path, **options: {**read(path, **options), "int8": True})
    (tmp_path / "page").mkdir()
    write_file_page(tmp_path / "x.onnx", tmp_path / "page")
    (network,) = facts_of(tmp_path / "page")["networks"]
    assert network["layers"] == [] and network["logits_sources"] == [PREPARED] and network["int8"]
