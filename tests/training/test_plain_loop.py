"""The weights of a short run equal those of a plain PyTorch loop without classicnets, bit for bit.

The loop is frozen: it says what training is, and a change of ours that moves a single bit fails here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.datasets.formats import read_idx
from classicnets.runs import checkpoint

EPOCHS, BATCH, RATE, SEED = 2, 64, 0.9, 0


def lenet() -> nn.Sequential:
    """The book's LeNet, with the layer names of classicnets."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, 6, kernel_size=5, padding=2),
        "sigmoid1": nn.Sigmoid(),
        "pool1": nn.AvgPool2d(kernel_size=2, stride=2),
        "conv2": nn.Conv2d(6, 16, kernel_size=5),
        "sigmoid2": nn.Sigmoid(),
        "pool2": nn.AvgPool2d(kernel_size=2, stride=2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(400, 120),
        "sigmoid3": nn.Sigmoid(),
        "fc2": nn.Linear(120, 84),
        "sigmoid4": nn.Sigmoid(),
        "fc3": nn.Linear(84, 10),
    }
    net = nn.Sequential()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net


def order(n: int, epoch: int) -> torch.Tensor:
    key = repr(("order", SEED, epoch)).encode()
    seed = int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def plain_loop(images: torch.Tensor, labels: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(SEED)
    net = lenet()
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    for epoch in range(1, EPOCHS + 1):
        for index in order(len(images), epoch).split(BATCH):
            x = images[index].float().div(255)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), labels[index])
            loss.backward()
            optimizer.step()
    return net


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_ends_with_the_weights_of_a_plain_loop_bit_for_bit(blobs: Path, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        run = cn.train(
            "lenet_d2l", data=str(blobs), epochs=EPOCHS, batch_size=BATCH, seed=SEED, quiet=True, batch_threads=1
        )
        images = torch.tensor(read_idx(blobs / "train-images-idx3-ubyte.gz"))[:, None]
        labels = torch.tensor(read_idx(blobs / "train-labels-idx1-ubyte.gz")).long()
        plain = plain_loop(images, labels)
    finally:
        torch.set_num_threads(before)
    tensors, _ = checkpoint.load(run.folder.last)
    trained = checkpoint.weights(tensors)
    assert trained.keys() == plain.state_dict().keys()
    for name, weights in plain.state_dict().items():
        assert torch.equal(trained[name], weights), name
