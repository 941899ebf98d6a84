"""Train the LeNet of *Dive into Deep Learning* on Fashion-MNIST: all of it in one file of plain PyTorch.

    classicnets data get fashion_mnist
    python examples/plain_torch.py [FOLDER]      (FOLDER: the four IDX files, .gz; default: the cache of the line above)

`classicnets train lenet_d2l --threads 1` computes the same: a test holds losses and accuracies equal, bit for bit.
"""

import gzip
import hashlib
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

seed, epochs, batch_size, lr = 0, 10, 256, 0.9
cache = Path("~/.cache/classicnets/data/fashion_mnist").expanduser()


def read_idx(path: Path) -> torch.Tensor:
    """Read a gzipped IDX file: two zeros, the type, the number of dimensions, each dimension, then the bytes."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return torch.frombuffer(data, dtype=torch.uint8, offset=4 + 4 * data[3]).view(shape)


def read_split(folder: Path, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the images, float32 [N, 1, 28, 28] from 0 to 1, and the labels, int64 [N], of "train" or "t10k"."""
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz")
    return images[:, None].float() / 255, labels.long()


def lenet() -> nn.Sequential:
    """Build the network with Xavier-uniform weights; biases keep PyTorch's default."""
    net = nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),  # 6 x 14 x 14
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),  # 16 x 5 x 5
        nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    return net


def shuffled(n: int, epoch: int) -> torch.Tensor:
    """The order of the images in an epoch; it depends on seed and epoch only, so that a run can be resumed anywhere."""
    digest = hashlib.sha256(repr(("order", seed, epoch)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randperm(n, generator=generator)


def train(folder: Path, epochs: int = epochs) -> list[tuple[float, float, float]]:
    """Train and return the training loss, training accuracy and test accuracy of each epoch."""
    x_train, y_train = read_split(folder, "train")
    x_test, y_test = read_split(folder, "t10k")
    torch.manual_seed(seed)
    net = lenet()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    test_batches = list(zip(x_test.split(500), y_test.split(500), strict=True))
    history = []
    for epoch in range(1, epochs + 1):
        loss_sum, correct = torch.zeros(()), torch.zeros(())
        for batch in shuffled(len(x_train), epoch).split(batch_size):
            x, y = x_train[batch], y_train[batch]
            logits = net(x)
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(y)
            correct += (logits.argmax(dim=1) == y).sum()
        with torch.no_grad():
            test_correct = sum((net(x).argmax(dim=1) == y).sum() for x, y in test_batches)
        n = len(x_train)
        history.append((float(loss_sum) / n, float(correct) / n, float(test_correct) / len(x_test)))
        print(f"epoch {epoch:2}  loss {history[-1][0]:.4f}  train {history[-1][1]:.4f}  test {history[-1][2]:.4f}")
    return history


if __name__ == "__main__":
    train(Path(sys.argv[1]) if len(sys.argv) > 1 else cache)
