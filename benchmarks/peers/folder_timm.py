"""Train a small network of timm from scratch on a folder, and print its accuracy as JSON.

    python benchmarks/peers/folder_timm.py FOLDER --epochs 20 --size 64 --seed 0

The model, loader, augmentation, optimizer, schedule and loss are timm's, with the values of the README's recipes for
small data: AdamW, cosine schedule with warm-up, label smoothing 0.1, random resized crop and flip (timm's defaults of
`create_transform`), no RandAugment or mixup, which need long training. The best epoch is chosen on a tenth of the
training images.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from peers.book import find_torchvision
from peers.folder_splits import link_splits

BATCH, LR, WEIGHT_DECAY, WARM_UP = 32, 1e-3, 0.05, 0.1


def accuracy(net: nn.Module, loader: Any) -> float:
    """The share of the loader's images that are classified correctly."""
    net.eval()
    right = total = 0
    with torch.no_grad():
        for x, y in loader:
            right += int((net(x).argmax(dim=1) == y).sum())
            total += len(y)
    return right / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="resnet18")
    args = parser.parse_args()
    find_torchvision()
    import timm
    from timm.data import ImageDataset, create_transform
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.scheduler import CosineLRScheduler

    cpu, started = time.process_time(), time.perf_counter()
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        data = link_splits(args.folder, Path(temporary), args.seed)

        def loader(split: str, *, training: bool) -> Any:
            transform = create_transform(args.size, is_training=training, color_jitter=None, crop_pct=1.0)
            return torch.utils.data.DataLoader(
                ImageDataset(str(data / split), transform=transform),
                batch_size=BATCH if training else 256,
                shuffle=training,
                drop_last=training,
            )

        train, validation, test = loader("train", training=True), loader("val", training=False), None
        classes = len(list((data / "train").iterdir()))
        net = timm.create_model(args.model, pretrained=False, num_classes=classes)
        optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
        steps = len(train) * args.epochs
        schedule = CosineLRScheduler(
            optimizer, t_initial=steps, warmup_t=int(WARM_UP * steps), warmup_lr_init=1e-5, t_in_epochs=False
        )
        loss, step, best, weights = LabelSmoothingCrossEntropy(0.1), 0, -1.0, net.state_dict()
        for _epoch in range(args.epochs):
            net.train()
            for x, y in train:
                schedule.step_update(step)
                optimizer.zero_grad()
                loss(net(x), y).backward()
                optimizer.step()
                step += 1
            score = accuracy(net, validation)
            if score >= best:
                best, weights = score, copy.deepcopy(net.state_dict())
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        net.load_state_dict(weights)
        test = loader("test", training=False)
        result = accuracy(net, test)
    facts = {"accuracy": result, "seconds": seconds, "cpu_seconds": cpu, "epochs": args.epochs}
    print(json.dumps({**facts, "model": args.model, "version": f"timm {timm.__version__}"}))


if __name__ == "__main__":
    main()
