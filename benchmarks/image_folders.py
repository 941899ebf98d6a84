"""From JPEG files to batches of 128 crops of 224 pixels: a DataLoader with PIL transforms against ours, in one run.

    python benchmarks/image_folders.py              (2,000 photographs, five rounds, then memory up to 30,000)
    python benchmarks/image_folders.py --images 300 --rounds 1 --memory 300 --out /tmp/small.json

The photographs are 500 x 375 pixels, quality 90: random parts (seeded) of scikit-learn's two sample photographs.

theirs      a DataLoader with 2 workers: PIL opens each image, resizes its shorter side to 256, crops 224 at random,
            flips at random, converts to float and normalizes; torchvision's transforms if installed, else written out
ours, cold  `read_images` with an empty cache, then an epoch of `Batches`: what a first epoch takes
ours, kept  the same in a second run, which reads the cache file of the first

Each round runs the three in turn; the median of the rounds' ratios is quoted. Memory is measured in a separate process;
its many files are hard links to few.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from classicnets import machine
from classicnets.datasets.types import Split
from classicnets.images.batches import Batches
from classicnets.images.cache import read_images
from classicnets.images.decode import fit_image, read_fitted, read_image
from classicnets.values import Preprocess, Recipe
from peers.book import find_torchvision

RESULTS = Path(__file__).parent / "results" / "image_folders.json"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RECIPE = Recipe(
    source="benchmark",
    net="none",
    data="photographs",
    epochs=1,
    batch_size=128,
    lr=0.1,
    image_size=224,
    resize=256,
    fit="crop",
    mean=MEAN,
    std=STD,
    crop="random",
    flip=True,
)
PREPROCESS = RECIPE.preprocess(3, 224)
WORKERS = 2


def make_photographs(folder: Path, count: int) -> list[Path]:
    """`count` JPEG files of 500 x 375, the same every time."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("scikit-learn is missing: its two sample photographs are cut up here (pip install scikit-learn)")
    source = Path(spec.submodule_search_locations[0]) / "datasets" / "images"
    photographs = [Image.open(source / name).convert("RGB") for name in ("china.jpg", "flower.jpg")]
    generator, paths = np.random.default_rng(0), []
    for i in range(count):
        photograph = photographs[i % 2]
        width = generator.uniform(400, photograph.height * 4 / 3)
        left, top = (
            generator.uniform(0, photograph.width - width),
            generator.uniform(0, photograph.height - width * 3 / 4),
        )
        box = (left, top, left + width, top + width * 3 / 4)
        path = folder / f"{i:06}.jpg"
        photograph.resize((500, 375), Image.Resampling.BICUBIC, box=box).save(path, quality=90)
        paths.append(path)
    return paths


def find_transform() -> tuple[Callable[[Image.Image], Tensor], str]:
    """torchvision's transforms, or the same steps written out; and which of the two it is."""
    vision = find_torchvision()
    if vision is None:
        return written_out, "torchvision's transforms written out"
    from torchvision import transforms

    steps = [
        transforms.Resize(256),
        transforms.RandomCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return transforms.Compose(steps), f"torchvision {vision.__version__}"


def written_out(image: Image.Image) -> Tensor:
    """Resize(256), RandomCrop(224), RandomHorizontalFlip, ToTensor, Normalize."""
    width, height = image.size
    scale = 256 / min(width, height)
    image = image.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
    left, top = random.randint(0, image.width - 224), random.randint(0, image.height - 224)
    image = image.crop((left, top, left + 224, top + 224))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    x = torch.from_numpy(np.array(image, copy=True)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    return x.sub_(torch.tensor(MEAN).view(3, 1, 1)).div_(torch.tensor(STD).view(3, 1, 1))


class ImageByImage(Dataset[Tensor]):
    """What torchvision.datasets.ImageFolder does for one image."""

    def __init__(self, paths: list[Path], transform: Callable[[Image.Image], Tensor]):
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with self.paths[index].open("rb") as file:
            return self.transform(Image.open(file).convert("RGB"))


def theirs(paths: list[Path], transform: Callable[[Image.Image], Tensor]) -> float:
    """Seconds for an epoch of the DataLoader."""
    started = time.perf_counter()
    loader = DataLoader(ImageByImage(paths, transform), RECIPE.batch_size, shuffle=True, num_workers=WORKERS)
    count = sum(len(x) for x in loader)
    assert count == len(paths)
    return time.perf_counter() - started


def ours(paths: list[Path]) -> tuple[float, float]:
    """Seconds until the images are there, and for an epoch of batches."""
    started = time.perf_counter()
    images = read_images(paths, PREPROCESS, lambda _: None).images
    read = time.perf_counter() - started
    split = Split(images, np.zeros(len(images), np.int64))
    batches = Batches(split, RECIPE, PREPROCESS, seed=0, device=torch.device("cpu"), threads=WORKERS)
    count = sum(len(x) for x, _ in batches.epoch(1))
    assert count == len(paths)
    return read, time.perf_counter() - started - read


def quality(paths: list[Path]) -> dict[str, Any]:
    """What decoding at a fraction and resizing by torch change, in levels of 255, against PIL from beginning to end."""
    rows = {}
    for side in (16, 28, 32, 64, 224):
        preprocess = Preprocess(channels=3, image_size=side, fit="crop")
        gaps, resizing = [], []
        for path in paths:
            with Image.open(path) as image:
                box = ((image.width - image.height) // 2, 0, (image.width + image.height) // 2, image.height)
                pil = image.convert("RGB").crop(box).resize((side, side), Image.Resampling.BILINEAR)
            expected = np.asarray(pil).transpose(2, 0, 1).astype(int)
            gaps.append(np.abs(read_fitted(path, preprocess) - expected))
            resizing.append(np.abs(fit_image(read_image(path, 3), side, "crop") - expected))
        errors, resizing_errors = np.stack(gaps), np.stack(resizing)
        rows[str(side)] = {
            "mean": float(errors.mean()),
            "p99": float(np.percentile(errors, 99)),
            "max": int(errors.max()),
            "max_of_resizing_alone": int(resizing_errors.max()),
        }
    return rows


def memory(paths: list[Path]) -> dict[str, Any]:
    """Peak memory of a process that reads the images and takes an epoch of batches, cold and from what was kept."""
    results = {}
    for run in ("cold", "kept"):
        command = [sys.executable, __file__, "--in", str(paths[0].parent)]
        process = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        results[run] = json.loads(process.stdout)
    return results


def one_process(folder: Path) -> None:
    """The work of `memory`, as JSON on standard output."""
    machine.keep_memory()
    read, epoch = ours(sorted(folder.glob("*.jpg")))
    status = Path("/proc/self/status").read_text()
    now = {name: int(re.findall(rf"{name}:\s*(\d+) kB", status)[0]) * 1024 for name in ("RssAnon", "RssFile")}
    peak = machine.peak_memory_bytes()
    print(
        json.dumps(
            {
                "read_seconds": read,
                "epoch_seconds": epoch,
                "peak_rss_bytes": peak,
                "own_bytes_at_end": now["RssAnon"],
                "mapped_file_bytes_at_end": now["RssFile"],
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 3000, 10_000, 30_000])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        one_process(args.folder)
        return
    load_before = os.getloadavg()[0]
    transform, transform_is = find_transform()
    machine.keep_memory()
    os.environ["CLASSICNETS_IMAGE_CACHE"] = "disk"
    with tempfile.TemporaryDirectory(prefix="image-folders-") as name:
        base = Path(name)
        cache, photographs = base / "cache", base / "photographs"
        os.environ["CLASSICNETS_CACHE"] = str(cache)
        photographs.mkdir()
        paths = make_photographs(photographs, args.images)
        for path in paths:
            os.utime(path, (1e9, 1e9))
        time.sleep(2.5)  # files just written are not believed to stay as they are
        theirs(paths[:256], transform)  # warm-up
        ours(paths[:256])
        rounds = []
        for i in range(args.rounds):
            shutil.rmtree(cache)
            row = {"their_seconds": theirs(paths, transform)}
            row["cold_read_seconds"], row["cold_epoch_seconds"] = ours(paths)
            row["kept_read_seconds"], row["kept_epoch_seconds"] = ours(paths)
            row["cold_ratio"] = row["their_seconds"] / (row["cold_read_seconds"] + row["cold_epoch_seconds"])
            row["kept_ratio"] = row["their_seconds"] / (row["kept_read_seconds"] + row["kept_epoch_seconds"])
            row["later_epoch_ratio"] = row["their_seconds"] / row["kept_epoch_seconds"]
            rounds.append(row)
            print(f"round {i + 1}: " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()), flush=True)
        rows = {}
        for count in args.memory:
            links = base / f"links-{count}"
            links.mkdir()
            for i in range(count):
                (links / f"{i:06}.jpg").hardlink_to(paths[i % len(paths)])
            time.sleep(2.5)
            rows[str(count)] = memory(sorted(links.iterdir()))
            print(f"{count:,} images: {rows[str(count)]}", flush=True)
            shutil.rmtree(cache)
        levels = quality(paths[:50])

    def median(key: str) -> float:
        return statistics.median(row[key] for row in rounds)

    ratios = [f"{kind}_ratio" for kind in ("cold", "kept", "later_epoch")]
    result = {
        "what": "500 x 375 JPEG files to batches of 128 flipped crops of 224, float32, normalized",
        "pictures": args.images,
        "their_transforms": transform_is,
        "workers": WORKERS,
        **{f"{key}_median": median(key) for key in ratios},
        **{f"{key}_range": [min(r[key] for r in rounds), max(r[key] for r in rounds)] for key in ratios},
        "their_images_per_second": args.images / median("their_seconds"),
        "cold_images_per_second": args.images / (median("cold_read_seconds") + median("cold_epoch_seconds")),
        "later_epoch_images_per_second": args.images / median("kept_epoch_seconds"),
        "rounds": rounds,
        "memory": {"distinct_files": args.images, "pictures": rows},
        "levels_against_pil": levels,
        "load_before": load_before,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(", ".join(f"{key} {median(key):.2f}" for key in ratios) + f"; written to {args.out}")


if __name__ == "__main__":
    main()
