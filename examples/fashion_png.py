"""Write Fashion-MNIST as a folder of PNG files, to try training from a folder of images on a familiar data set.

    python examples/fashion_png.py fashion                      (all 70,000 images, about half a minute)
    python examples/fashion_png.py fashion --train 6000 --test 2000      (the first images of each split)

Files are FOLDER/train/CLASS/NUMBER.png and FOLDER/test/CLASS/NUMBER.png; NUMBER is the index in Fashion-MNIST's own
files. Classes of a folder are sorted by name, so their order differs from that of Fashion-MNIST's labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from classicnets.images import loading


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to create")
    parser.add_argument("--train", type=int, metavar="N", help="the first N training images (default: all)")
    parser.add_argument("--test", type=int, metavar="N", help="the first N test images (default: all)")
    args = parser.parse_args()
    if args.folder.exists():
        parser.error(f"{args.folder} already exists; choose a new folder")
    splits = loading.load("fashion_mnist")
    for name, split, count in (("train", splits.train, args.train), ("test", splits.test, args.test)):
        folders = [args.folder / name / label.replace("/", "-") for label in splits.classes]
        for folder in folders:
            folder.mkdir(parents=True)
        images, labels = split.images[:count], split.labels[:count]
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            Image.fromarray(image[0]).save(folders[label] / f"{i:05}.png")
        print(f"{args.folder / name}: {len(labels):,} images, {len(folders)} classes")


if __name__ == "__main__":
    main()
