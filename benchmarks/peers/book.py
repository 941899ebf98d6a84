"""The book's way to train LeNet and AlexNet on Fashion-MNIST, written out with PyTorch; knows nothing of classicnets.

    python benchmarks/peers/book.py --net lenet TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS

What `load_data_fashion_mnist` and `train_ch6` of *Dive into Deep Learning* do: PIL images, ToTensor (for AlexNet
Resize before it) one by one, a DataLoader with 4 workers, float32, plain SGD, `.item()` after every batch, the test
split after every epoch. Transforms are torchvision's own where it can be imported, otherwise the same steps written
out. The plot is left out. The four files are IDX, packed by gzip or not. On standard output there is JSON: test
accuracies, peak memory.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import resource
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

WORKERS = 4  # get_dataloader_workers of the book
BATCH = {"lenet": 256, "alexnet": 128}
RATE = {"lenet": 0.9, "alexnet": 0.01}
SIDE = {"lenet": 28, "alexnet": 224}
_libraries: list[Any] = []  # what torch forgets when nobody holds it


def find_torchvision() -> Any:
    """torchvision, or None where it is not installed."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return None
    if "torchvision" not in sys.modules:
        with suppress(OSError):
            for path in Path(spec.submodule_search_locations[0]).glob("_C.*"):
                torch.ops.load_library(path)
        if not hasattr(torch.ops.torchvision, "nms"):
            # built for CUDA, and torch is not: two operators are asked for that nothing here calls
            library = torch.library.Library("torchvision", "DEF")
            _libraries.append(library)
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

    return torchvision


def find_transform(side: int) -> tuple[Callable[[Image.Image], Tensor], str]:
    """Resize to `side` (if not 28) and ToTensor; and whose they are."""
    vision = find_torchvision()
    if vision is None:
        return partial(written_out, side=side), "written out"
    from torchvision import transforms

    steps = [transforms.Resize(side)] if side != 28 else []
    return transforms.Compose([*steps, transforms.ToTensor()]), f"torchvision {vision.__version__}"


def written_out(image: Image.Image, side: int) -> Tensor:
    """What torchvision's Resize and ToTensor do with a square gray image."""
    if image.width != side:
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(side, side, 1)
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


class ImageByImage(Dataset[tuple[Tensor, int]]):
    """What torchvision.datasets.FashionMNIST does for one image; `images` is uint8 [N, 28, 28]."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Callable[[Image.Image], Tensor]):
        self.images, self.labels, self.transform = torch.from_numpy(images), torch.from_numpy(labels), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index].numpy())), int(self.labels[index])


def loader(
    net: str, images: np.ndarray, labels: np.ndarray, transform: Callable[[Image.Image], Tensor], *, shuffle: bool
) -> DataLoader[tuple[Tensor, int]]:
    """The batches of a split."""
    return DataLoader(ImageByImage(images, labels, transform), BATCH[net], shuffle=shuffle, num_workers=WORKERS)


def lenet() -> nn.Sequential:
    """The book's LeNet."""
    return initialized(
        nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(kernel_size=2, stride=2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(),
        nn.Linear(120, 84), nn.Sigmoid(),
        nn.Linear(84, 10),
    )  # fmt: skip


def alexnet() -> nn.Sequential:
    """The book's AlexNet for gray images of 224."""
    return initialized(
        nn.Conv2d(1, 96, kernel_size=11, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(96, 256, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(256, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(p=0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip


def initialized(*layers: nn.Module) -> nn.Sequential:
    """The layers in a row, their weights Xavier-uniform as in `train_ch6`."""
    net = nn.Sequential(*layers)
    for layer in net:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
    return net


NETS = {"lenet": lenet, "alexnet": alexnet}


def train(
    net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[float, float]:
    """An epoch, or as many batches as there are: mean loss and accuracy."""
    loss_of = nn.CrossEntropyLoss()
    net.train()
    loss_sum = correct = count = 0.0
    for x, y in batches:
        optimizer.zero_grad()
        x, y = x.to(device), y.to(device)
        logits = net(x)
        loss = loss_of(logits, y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            loss_sum += (loss * len(y)).item()
            correct += (logits.argmax(1) == y).sum().item()
            count += len(y)
    return loss_sum / count, correct / count


def accuracy(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> float:
    """The share of right answers."""
    net.eval()
    right = count = 0.0
    with torch.no_grad():
        for x, y in batches:
            x, y = x.to(device), y.to(device)
            right += (net(x).argmax(1) == y).sum().item()
            count += len(y)
    return right / count


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file of bytes."""
    packed = path.read_bytes()
    content = gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed
    sides = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i]) for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(sides)).reshape(sides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs=4, type=Path)
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="only this number of steps of an epoch, without the test split")
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    transform, whose = find_transform(SIDE[args.net])
    train_images, train_labels, test_images, test_labels = map(np.copy, map(read_idx, args.files))
    training = loader(args.net, train_images, train_labels, transform, shuffle=True)
    test = loader(args.net, test_images, test_labels, transform, shuffle=False)
    net = NETS[args.net]().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE[args.net])
    result: dict[str, Any] = {"transforms": whose, "epochs": []}
    if args.steps:
        train(net, islice(training, args.steps), optimizer, device)
    else:
        for epoch in range(1, args.epochs + 1):
            loss, train_accuracy = train(net, training, optimizer, device)
            test_accuracy = accuracy(net, test, device)
            accuracies = f"train {train_accuracy:.3f}, test {test_accuracy:.3f}"
            print(f"epoch {epoch}: loss {loss:.3f}, {accuracies}", file=sys.stderr)
            result["epochs"].append(test_accuracy)
    result["peak_memory_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kilobytes
    if device.type == "cuda":
        result["peak_device_memory_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
