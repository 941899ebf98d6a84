"""An ExecuTorch program computes what the network computes, describes itself, and is not written otherwise."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import classicnets as cn
from classicnets.api import models
from classicnets.errors import CheckFailed, DataError, MachineError
from classicnets.evaluation import exported
from classicnets.evaluation.exported import METHOD
from classicnets.evaluation.rejection import Rejection
from classicnets.export import formats, layers, parity, program
from classicnets.images.decode import fit_images
from classicnets.models.lrn import LRN
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.typed import present

FACTS = {
    "format": 1, "net": "n", "data_name": "d", "int8": False, "classes": ["ä", "b"], "licence": "MIT",
    "test_accuracy": None, "test_pictures": 0,
}  # fmt: skip


def flatbuffer(text: bytes) -> bytes:
    """Bytes that are laid out like a .pte file with this text, for what reads it without ExecuTorch."""
    return b"\x08\0\0\0ET12" + b"\0" * 24 + len(text).to_bytes(4, "little") + text + b"\0\0\0\0" + b"weights"


@pytest.fixture(scope="module")
def run(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> cn.Run:
    runs = tmp_path_factory.mktemp("runs")
    trained: cn.Run = cn.train("lenet_1989", recipe="fast", data=str(blobs), quiet=True, runs=runs, epochs=1, limit=64)
    return trained


# --- without ExecuTorch ------------------------------------------------------------------------------------------


def test_names_the_extra_if_it_is_not_installed(run: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)
    monkeypatch.delitem(sys.modules, "executorch.runtime", raising=False)
    monkeypatch.setattr(models, "ExportSource", None)  # would read the data
    with pytest.raises(MachineError) as caught:
        run.export(tmp_path / "net", format="executorch")
    assert caught.value.code == "CN403" and caught.value.hints == ("pip install 'classicnets[executorch]'",)
    assert [*tmp_path.iterdir()] == []
    path = tmp_path / "net.pte"
    path.write_bytes(b"")
    with pytest.raises(MachineError):
        cn.load(path)


def test_facts_and_checksum_are_read_without_executorch(tmp_path: Path, cli: CommandLine) -> None:
    path = tmp_path / "net.pte"
    facts = {**FACTS, "preprocess": Preprocess(channels=1, image_size=28).to_dict()}
    content = exported.seal_executorch(flatbuffer(exported.facts_text(facts).encode() + b"  "))
    path.write_bytes(content)
    file = exported.describe(path)
    assert (file.format, file.checksum, file.trusted) == ("executorch", "unchanged", None)
    assert file.facts["classes"] == ["ä", "b"]
    code, out, _err = cli("show", path)
    assert code == 0 and "ExecuTorch program" in out and "uint8 [1, 28, 28, 3], RGB; you resize the image" in out
    path.write_bytes(content.replace(b"weights", b"weightz"))
    assert exported.describe(path).checksum == "changed"
    with pytest.raises(DataError) as caught:
        exported.read_facts(path)
    assert caught.value.code == "CN308"
    for damaged in (b"", b"no program at all", flatbuffer(b"{}"), flatbuffer(b'{"format": 1}')):
        path.write_bytes(damaged)
        with pytest.raises(DataError):
            exported.describe(path)


def test_other_facts_take_the_place_of_the_first_ones() -> None:
    facts = {**FACTS, "preprocess": Preprocess(channels=1, image_size=28).to_dict()}
    content = exported.seal_executorch(flatbuffer(exported.facts_text(facts).encode() + b" " * 64))
    final = formats.FORMATS["executorch"].with_facts(content, *(None, None), {**facts, "test_accuracy": 1 / 3})  # type: ignore[arg-type]
    place = present(exported.executorch_facts(final))
    assert len(final) == len(content) and json.loads(final[place])["test_accuracy"] == 1 / 3
    assert final[-64:] != content[-64:]
    with pytest.raises(ValueError, match="no room"):
        formats.FORMATS["executorch"].with_facts(content, *(None, None), {**facts, "licence": "x" * 99})  # type: ignore[arg-type]


@pytest.mark.parametrize("beta", [0.75, 0.5])
@pytest.mark.parametrize("size", [1, 4, 5])
def test_local_response_normalization_has_only_core_operators(size: int, beta: float) -> None:
    layer = nn.LocalResponseNorm(size, alpha=0.5, beta=beta, k=2.0)
    x = torch.randn(2, 7, 3, 3, generator=torch.Generator().manual_seed(0))
    graph = torch.export.export(nn.Sequential(layers.replace_layers(nn.Sequential(layer))), (x,))
    assert not [node for node in graph.graph.nodes if "pool" in str(node.target)]
    assert torch.allclose(graph.module()(x), layer(x), rtol=1e-6)


def test_gray_levels_of_a_program_are_those_of_pillow_without_integer_shifts() -> None:
    pixels = torch.randint(0, 256, (4, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    preprocess = Preprocess(channels=1, image_size=9)

    class Logits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)

    module = program.Program(Logits(), preprocess, 1.0)
    expected = fit_images(pixels.numpy(), preprocess).astype(np.float32) / 255
    assert torch.allclose(module(pixels), torch.from_numpy(expected).flatten(1).softmax(1), atol=1e-7)
    graph = torch.export.export(module, (pixels,)).graph
    assert not [node for node in graph.nodes if "shift" in str(node.target)]


# --- with ExecuTorch ---------------------------------------------------------------------------------------------

needs_executorch = pytest.mark.skipif(not find_spec("executorch"), reason="needs the extra [executorch]")


def layers_of_the_time() -> nn.Module:
    """Layers that networks of 1989 to 2014 have, and whose kernels are not all XNNPACK's."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2),
        nn.ReLU(),
        nn.LocalResponseNorm(5, alpha=0.5, k=2.0),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(8, 8, 3, groups=2),
        LRN(3, alpha=0.5),
        nn.Tanh(),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Sigmoid(),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(32, 10),
        nn.LogSoftmax(dim=1),
    )
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=(2 / layer.weight[0].numel()) ** 0.5)
    return net.eval()


@needs_executorch
@pytest.mark.filterwarnings("ignore")
def test_lowers_the_layers_of_the_time_with_views_and_a_temperature(tmp_path: Path) -> None:
    from classicnets.evaluation.executorch import ExecutorchClassifier
    from classicnets.export.executorch import executorch_program

    preprocess = Preprocess(channels=3, image_size=20, resize=22, mean=(0.4,), std=(0.3,), views=10, fit="crop")
    facts = {**FACTS, "classes": [*"abcdefghij"], "preprocess": preprocess.to_dict(), "temperature": 1.5}
    facts |= {"min_confidence": 0.5, "calibration_images": 200}
    net, path = layers_of_the_time(), tmp_path / "net.pte"
    path.write_bytes(executorch_program(net, preprocess, facts))
    file = ExecutorchClassifier(path)
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 31, 27), dtype=np.uint8)
    rejection = Rejection(0.5, 1.5, 200)
    comparison = parity.compare(file.probabilities, parity.Reference(net, preprocess, file.classes, rejection), images)
    parity.check(comparison, "")
    assert np.ptp(comparison.net, axis=0).max() > 1e-3  # otherwise a wrong network might pass
    (text,) = file._program.load_method(METHOD).execute([])  # as an app reads it
    assert json.loads(text)["classes"] == facts["classes"]


@needs_executorch
@pytest.mark.filterwarnings("ignore")
def test_a_program_answers_as_the_run_does(run: cn.Run, tmp_path: Path, blobs: Path, cli: CommandLine) -> None:
    code, out, err = cli("export", run.path, "--format", "executorch", "-o", tmp_path / "net", "--license", "MIT")
    assert code == 0 and "agrees with the network" in out, err
    path = tmp_path / "net.pte"
    file = exported.describe(path)
    assert file.checksum == "unchanged" and file.facts["licence"] == "MIT" and file.facts["trained_images"] is None
    model = cn.load(path)
    assert model.evaluate(str(blobs)).accuracy == file.facts["test_accuracy"] == run.evaluate(str(blobs)).accuracy


@needs_executorch
@pytest.mark.filterwarnings("ignore")
def test_names_the_layer_without_a_kernel() -> None:
    from classicnets.export.executorch import executorch_program

    class Strange(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = torch.special.bessel_j0(x)
            return y

    net = nn.Sequential(nn.Sequential(nn.ReLU(), Strange()), nn.Flatten(), nn.Linear(16, 2)).eval()
    preprocess = Preprocess(channels=1, image_size=4)
    with pytest.raises(CheckFailed) as caught:
        executorch_program(net, preprocess, {**FACTS, "preprocess": preprocess.to_dict()})
    assert caught.value.code == "CN105" and "special_bessel_j0" in caught.value.why
    assert caught.value.where == "0.1 (Strange)" and caught.value.hints == ("--format onnx", "--format torch")
