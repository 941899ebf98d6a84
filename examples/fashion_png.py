"""Fashion-MNIST as a folder of PNG files, to try the way from a folder of images on a data set that everybody knows.

    python examples/fashion_png.py fashion                      (all 70,000 images, about half a minute)
    python examples/fashion_png.py fashion --train 6000 --test 2000      (the first so many of each split)

FOLDER/train/CLASS/NUMBER.png and FOLDER/test/CLASS/NUMBER.png, the number being that in Fashion-MNIST's own files. The
classes are in the order of their names, as folders are, and no longer in that of Fashion-MNIST's labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from classicnets.images import loading


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--train", type=int, metavar="N", help="the first N training images (default: all)")
    parser.add_argument("--test", type=int, metavar="N", help="the first N test images (default: all)")
    args = parser.parse_args()
    if args.folder.exists():
        parser.error(f"{args.folder} is there already; nothing is written over it")
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
