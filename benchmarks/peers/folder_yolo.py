"""Train an Ultralytics YOLO classifier from scratch on a folder, with its own defaults, and print its accuracy as JSON.

    python benchmarks/peers/folder_yolo.py FOLDER --epochs 20 --size 64 --seed 0

No pretrained weights; its default augmentation, optimizer and schedule. Ultralytics chooses the best epoch on val/, so
a tenth of the training images is linked there, as the other candidates hold out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from peers.book import find_torchvision
from peers.folder_splits import link_splits

os.environ.setdefault("YOLO_OFFLINE", "true")
MODELS = ("yolo26n-cls.yaml", "yolo11n-cls.yaml", "yolov8n-cls.yaml")  # the first that the version knows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    find_torchvision()
    import ultralytics
    from ultralytics import YOLO

    cpu, started = time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        data = link_splits(args.folder, Path(temporary) / "data", args.seed)
        model, name = None, ""
        for name in MODELS:
            try:
                model = YOLO(name, task="classify")
                break
            except FileNotFoundError:
                continue
        if model is None:
            sys.exit("this version of Ultralytics has none of the models " + ", ".join(MODELS))
        model.train(
            data=str(data),
            epochs=args.epochs,
            imgsz=args.size,
            seed=args.seed,
            pretrained=False,
            device="cpu",
            workers=0,
            plots=False,
            verbose=False,
            project=temporary,
            name="run",
        )
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        best = YOLO(Path(temporary) / "run" / "weights" / "best.pt")
        metrics = best.val(
            data=str(data),
            split="test",
            imgsz=args.size,
            device="cpu",
            workers=0,
            plots=False,
            verbose=False,
            project=temporary,
            name="test",
        )
    facts = {"accuracy": metrics.top1, "seconds": seconds, "cpu_seconds": cpu, "epochs": args.epochs}
    print(
        json.dumps({**facts, "model": name.removesuffix(".yaml"), "version": f"ultralytics {ultralytics.__version__}"})
    )


if __name__ == "__main__":
    main()
