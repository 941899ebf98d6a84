"""DropConnect: masks, gradients, evaluation, and everything that reads layers."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import classicnets as cn
from classicnets.acceleration.dropout import rows_of_batch
from classicnets.acceleration.independence import obstacle
from classicnets.acceleration.layers import faster_layers
from classicnets.export.layer_facts import layer_facts
from classicnets.export.low_rank import linear_layers
from classicnets.export.observed import LayerCall
from classicnets.inspection import compare
from classicnets.inspection.explain import explain
from classicnets.inspection.shapes import trace
from classicnets.inspection.stages import style
from classicnets.models.layers import DropConnect
from classicnets.models.variants import vary
from support.command_line import CommandLine
from support.typed import layer_of, present


def masked(layer: DropConnect, x: Tensor, keep: Tensor) -> Tensor:
    """The definition, image by image: [N, in] to [N, out]."""
    weights = layer.weight * keep[..., :-1]
    return (torch.einsum("noi,ni->no", weights, x) + layer.bias * keep[..., -1]) / (1 - layer.p)


def test_computes_its_definition_and_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = DropConnect(30, 7, p=0.3).double()
    keep = layer.draw_mask(5, torch.device("cpu"))
    monkeypatch.setattr(layer, "draw_mask", lambda _count, _device: keep)
    x = torch.rand(5, 30, dtype=torch.float64, requires_grad=True)
    weights, g = [x, *layer.parameters()], torch.rand(5, 7, dtype=torch.float64)
    assert_close(layer(x), masked(layer, x, keep))
    for mine, defined in zip(
        torch.autograd.grad(layer(x), weights, g),
        torch.autograd.grad(masked(layer, x, keep), weights, g),
        strict=True,
    ):
        assert_close(mine, defined)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.999999])
def test_drops_each_weight_of_each_image_with_its_probability(p: float) -> None:
    layer = DropConnect(400, 100, p=p)
    keep = layer.draw_mask(20, torch.device("cpu")).double()
    assert abs(keep.mean() - (1 - p)) < 0.004 and abs(keep[..., -1].mean() - (1 - p)) < 0.05
    assert p > 0.9 or len({tuple(row.flatten().tolist()) for row in keep}) == 20  # each image has its own
    words = keep.flatten()  # four elements come from one random number: they are independent
    pairs = torch.corrcoef(words[: len(words) // 4 * 4].view(-1, 4).T)
    assert p > 0.9 or (pairs - torch.eye(4)).abs().max() < 0.01


def test_keeps_the_mean_and_equals_linear_in_evaluation() -> None:
    layer = DropConnect(20, 4, p=0.5)
    x = torch.rand(1, 20)
    plain = nn.functional.linear(x, layer.weight, layer.bias)
    assert_close(layer(x.expand(20_000, -1)).mean(0, keepdim=True), plain, atol=0.02, rtol=0)
    assert torch.equal(layer.eval()(x), plain)
    layer.p = 0
    assert torch.equal(layer.train()(x), plain)


def test_takes_any_shape_and_precision() -> None:
    layer = DropConnect(6, 3, bias=False, p=0.5)
    images = torch.rand(4, 1, 6).expand(-1, 5, -1)
    y = layer(images)
    assert y.shape == (4, 5, 3) and torch.allclose(y, y[:, :1])  # the positions of an image share its mask
    assert layer(torch.rand(6)).shape == (3,) and layer(torch.rand(0, 6)).shape == (0, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(images)
    y.sum().backward()
    assert y.dtype == torch.bfloat16 and layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32
    with pytest.raises(ValueError, match="probability"):
        DropConnect(6, 3, p=1)


def test_masks_do_not_depend_on_how_a_batch_is_split() -> None:
    net = vary(cn.create("lenet_d2l"), dropconnect=0.5)
    images = torch.rand(6, 1, 28, 28)
    assert obstacle(net, (1, 28, 28)) == ""

    def output(start: int, stop: int, step: int = 0) -> Tensor:
        with faster_layers(net), rows_of_batch((3, step), start, stop - start):
            y: Tensor = net(images[start:stop])
        return y

    whole = output(0, 6)
    assert_close(torch.cat([output(0, 2), output(2, 6)]), whole)
    assert not torch.allclose(output(0, 6, step=1), whole)
    assert not torch.allclose(net.eval()(images), whole)


def test_replaces_hidden_dense_layers_only() -> None:
    net = cn.create("lenet_d2l")
    varied = vary(net, dropconnect=0.25)
    assert [name for name, layer in varied.named_modules() if isinstance(layer, DropConnect)] == ["fc1", "fc2"]
    assert type(varied.fc3) is nn.Linear and layer_of(varied, "fc1", DropConnect).p == 0.25
    state = varied.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert layer_of(vary(varied, dropconnect=0.5), "fc2", DropConnect).p == 0.5
    plain = vary(varied, dropconnect=0)
    assert type(plain.fc1) is nn.Linear and "p" not in vars(plain.fc1) and type(varied.fc1) is DropConnect
    assert repr(varied.fc1) == "DropConnect(in_features=400, out_features=120, bias=True, p=0.25)"
    copy.deepcopy(varied)
    for other, p, words in (
        (nn.Sequential(nn.Linear(4, 2)), 0.5, "no hidden nn.Linear"),
        (net, 0, "no DropConnect layer to remove"),
        (net, 1, "at least 0 and below 1"),
    ):
        with pytest.raises(ValueError, match=words):
            vary(other, dropconnect=p)


def test_all_tools_know_the_layer() -> None:
    net = cn.create("lenet_d2l")
    varied = vary(net, dropconnect=0.5)
    table, plain = trace(varied, (1, 28, 28)), trace(net, (1, 28, 28))
    assert (table.parameters, table.macs, table.units) == (plain.parameters, plain.macs, plain.units)
    row = next(row for row in table.rows if row.name == "fc1")
    assert row.kind == "DropConnect" and style(row) == "dense"
    assert explain(table, "fc1")[1:] == explain(plain, "fc1")[1:]  # but for the name of its class
    [sentence] = [s for s in compare.differences(compare.compare(plain, table)) if "DropConnect" in s]
    assert sentence == "dropout: DropConnect x2 instead of none"
    assert [*linear_layers(varied)] == [*linear_layers(net)]
    layer = layer_of(varied, "fc1", DropConnect)
    call = LayerCall(index=0, number=0, name="fc1", module=layer, inputs=(400,), outputs=(120,), source=None)
    assert layer_facts(call).type == "dense"
    program = torch.export.export(layer.eval(), (torch.rand(2, 400),))
    assert [str(node.target) for node in program.graph.nodes if node.op == "call_function"] == ["aten.linear.default"]


def test_a_run_with_all_new_variations_is_trained_and_opened(cli: CommandLine, blobs: Path) -> None:
    settings = ["epochs=1", "net.norm=batch_after", "net.dropconnect=0.2", "net.width=0.5"]
    code, _, err = cli("train", "lenet_d2l", "--data", blobs, "--limit", 64, "--set", *settings)
    assert code == 0, err
    run = cn.Run("runs/lenet_d2l-batch_after-dropconnect_0.2-width_0.5-blobs-1")
    assert run.facts["net"]["variation"] == {"norm": "batch_after", "dropconnect": 0.2, "width": 0.5}
    assert run.facts["parameters"] == sum(p.numel() for p in run.net.parameters()) == 15738 + 2 * (3 + 8)
    assert type(run.net.fc1) is DropConnect
    assert run.evaluate().accuracy == present(run.result)["test_accuracy"]
