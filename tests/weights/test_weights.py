"""Weights from other sources: identifying their network, loading them, and running no code from their files."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import classicnets as cn
from classicnets.errors import DataError
from classicnets.models.registry import NETS
from classicnets.weights.identify import identify
from classicnets.weights.load import load_weights
from support.command_line import CommandLine
from support.typed import layer_of, present


def state(name: str, **options: Any) -> dict[str, torch.Tensor]:
    return cn.create(name, **options).state_dict()


def on_meta(name: str, *options: int) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return NETS[name].load()(*options).state_dict()


def book_lenet(classes: int = 10, channels: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, classes),
    )  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_identifies_every_net_of_the_registry(name: str, tmp_path: Path) -> None:
    tensors = on_meta(name, NETS[name].classes, *NETS[name].input[:2])
    # expanded tensors store one element, so that the files stay small; only names and shapes count
    torch.save({key: torch.zeros(()).expand(tensor.shape) for key, tensor in tensors.items()}, tmp_path / "other.pth")
    identity = identify(tmp_path / "other.pth")
    assert name in [match.net for match in identity.matches] and identity.nearest is None
    assert name in [match.net for match in identity.matches if match.image_size == NETS[name].input[1]]
    for match in identity.matches:  # other networks have the same tensors, some of them for another image size
        rebuilt = on_meta(match.net, match.num_classes, match.in_channels, match.image_size)
        assert {key: tensor.shape for key, tensor in rebuilt.items()} == {key: t.shape for key, t in tensors.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "net/", "model.", "model.module."])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy", "wrapped"])
def test_identifies_any_prefix_and_kind_of_file(tmp_path: Path, prefix: str, kind: str) -> None:
    tensors = {prefix + name: tensor for name, tensor in state("lenet_d2l").items()}
    path = tmp_path / "weights.pth"
    if kind == "safetensors":
        save_file(tensors, path)
    elif kind == "wrapped":
        adam = torch.optim.Adam(cn.create("lenet_d2l").parameters())
        torch.save({"epoch": 3, "optimizer": adam.state_dict(), "model": {"state_dict": tensors}}, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    identity = identify(path)
    nets = [(match.net, match.image_size) for match in identity.matches]
    assert nets.index(("lenet_d2l", 28)) < nets.index(("lenet_d2l_v1", 32))
    assert {match.prefix for match in identity.matches} == {prefix} and identity.element_count == 61_706


@pytest.mark.parametrize(
    ("classes", "channels", "size"), [(3, 1, 28), (10, 3, 28), (7, 3, 28), (100, 3, 32), (10, 1, 64)]
)
def test_identifies_any_classes_channels_and_image_size(tmp_path: Path, classes: int, channels: int, size: int) -> None:
    save_file(
        state("lenet_d2l", num_classes=classes, in_channels=channels, image_size=size), tmp_path / "w.safetensors"
    )
    match = next(m for m in identify(tmp_path / "w.safetensors").matches if m.net == "lenet_d2l")
    assert (match.net, match.num_classes, match.in_channels) == ("lenet_d2l", classes, channels)
    rebuilt = state("lenet_d2l", num_classes=classes, in_channels=channels, image_size=match.image_size)
    assert rebuilt["fc1.weight"].shape == state("lenet_d2l", image_size=size)["fc1.weight"].shape


@pytest.mark.parametrize(("classes", "channels"), [(10, 1), (7, 3)])
def test_identifies_the_sequential_of_the_book_under_other_names(tmp_path: Path, classes: int, channels: int) -> None:
    torch.save(book_lenet(classes, channels).state_dict(), tmp_path / "lenet.pt")
    identity = identify(tmp_path / "lenet.pt")
    matches = [(m.net, m.renamed, m.num_classes, m.in_channels) for m in identity.matches]
    assert ("lenet_d2l", True, classes, channels) in matches
    assert "same shapes as lenet_d2l" in "\n".join(identity.lines())


def test_reports_the_most_similar_net_and_its_differences(tmp_path: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in state("lenet_d2l").items()}
    tensors["conv2.weight"] = torch.zeros(16, 6, 3, 3)
    del tensors["fc2.bias"]
    tensors["extra"] = torch.zeros(())
    save_file(tensors, tmp_path / "w.safetensors")
    identity = identify(tmp_path / "w.safetensors")
    nearest = present(identity.nearest)
    assert not identity.matches and NETS[nearest.net].parameters == 61_706
    assert nearest.differences == (
        f"conv2.weight is 16x6x3x3 in the file and 16x6x5x5 in {nearest.net}",
        "fc2.bias of 84 is missing from the file",
        "extra of a single number is only in the file",
    )
    torch.save({"a": torch.zeros(2, 2)}, tmp_path / "none.pt")
    assert identify(tmp_path / "none.pt").lines()[-1] == "No network of the registry is similar."


def test_reports_the_run_of_a_checkpoint(cli: CommandLine, blobs: Path) -> None:
    run = cn.train(
        "lenet_d2l", data=str(blobs), variation={"activation": "relu"}, epochs=1, limit=64, lr=0.1, momentum=0.9,
        quiet=True,
    )  # fmt: skip
    code, out, _ = cli("show", run.weights_file)
    assert code == 0
    assert "lenet_d2l with activation=relu on blobs, recipe d2l, seed 0, epoch 1 of 1" in out
    assert "same names and shapes as lenet_d2l for 10 classes and 1x28x28 images, with the prefix 'net/'" in out
    _, out, _ = cli("show", run.weights_file, "--json")
    assert "lenet_d2l" in [match["net"] for match in json.loads(out)["matches"]] and json.loads(out)["tensors"] == 10


def test_rejects_files_without_weights(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk" * 100)
    (tmp_path / "nothing.safetensors").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 10_000_000)
    for path in [*tmp_path.iterdir(), tmp_path / "gone.pth", Path()]:
        with pytest.raises(DataError) as caught:
            identify(path)
        assert caught.value.code == "CN305" and caught.value.where == str(path)


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("w")
    tensors = {"conv1.weight": torch.rand(2, 1, 3, 3), "conv1.bias": torch.rand(2)}
    save_file(tensors, folder / "a.safetensors")
    torch.save(tensors, folder / "b.pth")
    torch.save(tensors, folder / "c.pt", _use_new_zipfile_serialization=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_truncated_or_damaged_files_raise_a_data_error_or_can_be_read(
    valid_files: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(valid_files)))
    content = bytearray(valid_files[name])
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    try:
        identify(tmp_path / name)
    except DataError as error:
        assert error.code == "CN305"


# ----------------------------------------------------------------------------------------------- torchvision's AlexNet


class SmallAlexNet(nn.Module):
    """A network with the layer names of torchvision's AlexNet and fewer channels."""

    def __init__(self, classes: int = 20, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {
                "0": nn.Conv2d(channels, 4, 11),
                "3": nn.Conv2d(4, 6, 5),
                "6": nn.Conv2d(6, 8, 3),
                "8": nn.Conv2d(8, 6, 3),
                "10": nn.Conv2d(6, 6, 3),
            }
        )
        self.classifier = nn.ModuleDict({"1": nn.Linear(24, 16), "4": nn.Linear(16, 16), "6": nn.Linear(16, classes)})


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_loads_all_weights_or_initializes_a_new_head(tmp_path: Path, legacy: bool, prefix: str) -> None:
    theirs, path = SmallAlexNet(), tmp_path / "alexnet.pth"
    tensors = {prefix + name: tensor for name, tensor in theirs.state_dict().items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
    same = SmallAlexNet()
    report = load_weights(path, same)
    assert report.loaded == tuple(theirs.state_dict()) and report.unused == report.newly_initialized == ()
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), theirs.parameters(), strict=True))

    other = SmallAlexNet(classes=7)
    head = layer_of(other, "classifier.6", nn.Linear).weight.clone()
    report = load_weights(path, other)
    assert report.newly_initialized == ("classifier.6.weight", "classifier.6.bias")
    assert report.unused == (f"{prefix}classifier.6.weight", f"{prefix}classifier.6.bias")
    assert len(report.loaded) == 14
    assert torch.equal(layer_of(other, "classifier.6", nn.Linear).weight, head)
    assert torch.equal(*(layer_of(net, "features.10", nn.Conv2d).weight for net in (other, theirs)))
    assert report.lines()[2] == "newly initialized, to be trained: classifier.6.weight, classifier.6.bias"


def test_rejects_weights_that_do_not_fit_before_changing_anything(tmp_path: Path) -> None:
    torch.save(SmallAlexNet().state_dict(), tmp_path / "alexnet.pth")
    other = SmallAlexNet(channels=2)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(DataError) as caught:
        load_weights(tmp_path / "alexnet.pth", other)
    assert caught.value.code == "CN306"
    assert caught.value.why == "features.0.weight is 4x2x11x11 in the network and 4x3x11x11 in the file"
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())
    with pytest.raises(DataError, match="do not fit"):
        load_weights(tmp_path / "alexnet.pth", cn.create("lenet_d2l"))


def test_weights_converted_to_grayscale_give_the_same_output_for_grayscale_images(tmp_path: Path) -> None:
    """The logits for a grayscale image are those of the color network for three equal channels, padding included."""
    torch.manual_seed(0)
    color, gray = (cn.create("lenet_caffe", in_channels=channels).eval() for channels in (3, 1))
    torch.save(color.state_dict(), tmp_path / "color.pth")
    report = load_weights(tmp_path / "color.pth", gray)
    assert report.converted == ("conv1.weight",) and report.newly_initialized == ()
    assert "converted from color to grayscale: conv1.weight" in report.lines()
    images = torch.randn(8, 1, 28, 28)
    with torch.inference_mode():
        expected = color(images.expand(-1, 3, -1, -1))
        spread = expected.std()
        assert ((gray(images) - expected).abs().max() / spread) < 1e-5
        assert (color(torch.randn(8, 3, 28, 28)) - expected).abs().max() / spread > 0.1
