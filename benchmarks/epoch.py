"""One training epoch of the book's LeNet on Fashion-MNIST: the book's own way against ours, in one run.

    python benchmarks/epoch.py              (three pairs, about two minutes on 2 cores)

The book's way: PIL pictures, ToTensor one by one, a DataLoader with 4 workers, `.item()` after every batch, then the
test split the same way. ToTensor is torchvision's own where that can be imported, otherwise its steps written out.
Ours: `fit` with the test split watched, as `classicnets train lenet_d2l` does it.
The pairs are interleaved; the ratio of each pair counts, their median is quoted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from classicnets import machine
from classicnets.data import batches, datasets
from classicnets.data.datasets import Split
from classicnets.evaluation.evaluate import evaluate
from classicnets.evaluation.predictor import Predictor
from classicnets.training import objective
from classicnets.training.loop import State, Watched, fit
from classicnets.training.plan import Plan, plan

RESULTS = Path(__file__).parent / "results" / "epoch.json"


def find_to_tensor() -> tuple[Callable[[Image.Image], Tensor], str]:
    """torchvision's ToTensor, or the same steps written out; and which of the two it is."""
    # torchvision built for CUDA asks for two operators that a CPU build of torch lacks; nothing here calls them
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        import torchvision
    except ImportError:
        return written_out, "ToTensor's steps written out"
    return torchvision.transforms.ToTensor(), f"torchvision {torchvision.__version__}"


def written_out(picture: Image.Image) -> Tensor:
    """What torchvision's ToTensor does with a grey picture."""
    pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(*reversed(picture.size), 1)
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


TO_TENSOR, TO_TENSOR_IS = find_to_tensor()


class PictureByPicture(Dataset[tuple[Tensor, int]]):
    """What torchvision.datasets.FashionMNIST with ToTensor does for one picture."""

    def __init__(self, split: Split):
        self.images, self.labels = torch.from_numpy(split.images[:, 0]), torch.from_numpy(split.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return TO_TENSOR(Image.fromarray(self.images[index].numpy())), int(self.labels[index])


def the_books_way(net: nn.Module, train: Split, test: Split) -> float:
    """Seconds for an epoch of `train_ch6` with its evaluation."""
    loaders = [DataLoader(PictureByPicture(s), 256, shuffle=s is train, num_workers=4) for s in (train, test)]
    optimizer, loss_of = torch.optim.SGD(net.parameters(), lr=0.9), nn.CrossEntropyLoss()
    started = time.perf_counter()
    net.train()
    loss_sum = correct = count = 0.0
    for x, y in loaders[0]:
        optimizer.zero_grad()
        logits = net(x)
        loss = loss_of(logits, y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            loss_sum += loss.item() * len(y)
            correct += (logits.argmax(1) == y).sum().item()
            count += len(y)
    net.eval()
    with torch.no_grad():
        right = sum((net(x).argmax(1) == y).sum().item() for x, y in loaders[1])
    assert count == len(train) and right <= len(test)
    return time.perf_counter() - started


def our_way(net: nn.Module, pictures: datasets.Pictures, planned: Plan) -> float:
    """Seconds for an epoch of the same recipe with its evaluation."""
    device = torch.device("cpu")
    loader = batches.Batches(pictures.train, planned.recipe, planned.preprocess, seed=0, device=device)
    predictor = Predictor(net, planned.preprocess, pictures.classes, device)
    state = State(net, planned.recipe)
    started = time.perf_counter()
    loss = objective.make(planned.recipe, loader.labels, 10)

    def watch() -> Watched:
        return Watched(test_accuracy=evaluate(predictor, pictures.test)[0].accuracy)

    for _ in fit(state, loader, planned.recipe, loss, watch):
        pass
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    planned = plan("lenet_d2l", settings={"epochs": 1}, device="cpu")
    pictures = datasets.load(planned.data)
    load_before = os.getloadavg()[0]
    machine.keep_memory()  # as `train` does; the book's way has the good of it too
    our_way(planned.build(print), pictures, planned)  # warm-up
    pairs = []
    for pair in range(args.pairs):
        book = the_books_way(planned.build(print), pictures.train, pictures.test)
        ours = our_way(planned.build(print), pictures, planned)
        pairs.append({"book_seconds": book, "our_seconds": ours, "ratio": book / ours})
        print(f"pair {pair + 1}: the book's way {book:.2f} s, ours {ours:.2f} s, ratio {book / ours:.2f}")
    ratios = sorted(p["ratio"] for p in pairs)
    result = {
        "what": "one epoch of lenet_d2l with evaluation, batch 256",
        "the_books_pictures": TO_TENSOR_IS,
        "ratio_median": statistics.median(ratios),
        "ratio_range": [ratios[0], ratios[-1]],
        "pairs": pairs,
        "load_before": load_before,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(f"median ratio {result['ratio_median']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), written to {RESULTS}")


if __name__ == "__main__":
    main()
