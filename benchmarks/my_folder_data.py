"""Make three folders of images from packages that anyone can install, for `my_folder.py`.

    python benchmarks/my_folder_data.py build/my_folder              (all three)
    python benchmarks/my_folder_data.py build/my_folder --only letters

icons    transparent PNG files of the icon themes Oxygen (64x64) and MATE (48x48); the class is the theme's folder.
         Icons of one name, whatever their theme, size or direction, are in one split.
photos   64x64 crops of ten photographs and micrographs of scikit-image and scikit-learn; the class is the photograph. A
         photograph is divided into cells of 96x96 pixels, each of which is in one split, so no pixel is in both.
letters  the letters a to z, 32x32, gray, drawn with fonts of Debian; the test fonts are of other families than the
         training fonts.

The Debian packages are downloaded with apt-get and unpacked, not installed; scikit-image and scikit-learn are installed
with pip. All licenses are free (see `LICENSES`), and only this script is part of the project, not the images. The
result is the same every time: `DIGESTS` has its SHA-256 for the versions stated there; for other versions of the
packages or of Pillow, another digest is reported and recorded with the results.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ICON_PACKAGES = ("oxygen-icon-theme", "mate-icon-theme")
ICON_FOLDERS = ("oxygen/base/64x64", "mate/48x48")
ICON_CLASSES = ("actions", "apps", "devices", "mimetypes", "places", "status")

PHOTOGRAPHS = {
    "skimage/data": (
        "astronaut.png",
        "chelsea.png",
        "coffee.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "motorcycle_left.png",
        "retina.jpg",
        "rocket.jpg",
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
}
CELL, CROP, CROPS_PER_CELL, MAX_PHOTO_WIDTH = 96, 64, 6, 640

FONT_PACKAGES = (
    "fonts-cabin",
    "fonts-cantarell",
    "fonts-comfortaa",
    "fonts-crosextra-caladea",
    "fonts-crosextra-carlito",
    "fonts-ebgaramond",
    "fonts-hack",
    "fonts-inter",
    "fonts-isabella",
    "fonts-junicode",
    "fonts-lato",
    "fonts-liberation",
    "fonts-linuxlibertine",
    "fonts-lobster",
    "fonts-oldstandard",
    "fonts-open-sans",
    "fonts-play",
    "fonts-quicksand",
    "fonts-roboto-unhinted",
    "fonts-rufscript",
    "fonts-sil-gentium",
    "fonts-urw-base35",
    "fonts-yanone-kaffeesatz",
)
LETTER_SIZE, FACES_PER_FAMILY = 32, 4

LICENSES = {
    "icons": "Oxygen: LGPL-3+; MATE: GPL-2+, LGPL-3, CC-BY-SA-3.0",
    "photos": "public domain, CC0, CC-BY-2.0 (skimage/data/README.txt, sklearn/datasets/images/README.txt)",
    "letters": "OFL-1.1, Apache-2.0, GPL-3+ with the font exception, AGPL-3 with exception",
}
# Debian 12, scikit-image 0.26, scikit-learn 1.9, Pillow 13.0
DIGESTS = {
    "icons": "0733ae54e4fb8d0c5a09c8b6bed917435883b38fdad2d35116bc0bf9a9ae8d86",
    "photos": "6afc8b8ca32687167a853306f697092071435a3f84437867a1c62d0d5f7e27d2",
    "letters": "1e29b4ed6d3eb996ecb21736506741aab34001d4b21fd7d0726e59a2ed204ee0",
}

Row = tuple[str, str, str, Image.Image]  # split, class, file name and image


def is_test(name: str, share: float = 0.25) -> bool:
    """Whether a name belongs to the test split: by its hash, so that it does not depend on the other names."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < share * 2**32


def unpack_debian(packages: tuple[str, ...], folder: Path) -> Path:
    """Download Debian packages and unpack them in `folder`; exit if this machine has no apt-get."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        sys.exit("icons and letters come from Debian packages, and this machine has no apt-get")
    # As root, apt would switch to a user who cannot write into this folder.
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", *packages], cwd=folder, check=True)
    for path in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", path, folder / "unpacked"], check=True)
    return folder / "unpacked"


def icons(folder: Path) -> Iterator[Row]:
    """Icons of two themes by category, each image once."""
    unpacked = unpack_debian(ICON_PACKAGES, folder)
    seen: set[bytes] = set()
    for theme in ICON_FOLDERS:
        for label in ICON_CLASSES:
            for path in sorted((unpacked / "usr/share/icons" / theme / label).rglob("*.png")):
                if path.is_symlink():
                    continue
                image = Image.open(path).convert("RGBA")
                if image.tobytes() in seen:
                    continue
                seen.add(image.tobytes())
                name = re.sub(r"[-_](ltr|rtl|symbolic)$", "", path.stem)
                yield "test" if is_test(name) else "train", label, f"{theme.split('/')[0]}-{path.name}", image


def photos(_folder: Path) -> Iterator[Row]:
    """Crops of photographs from cells that do not overlap."""
    for place, names in PHOTOGRAPHS.items():
        package, _slash, inner = place.partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            sys.exit(f"photos come from scikit-image and scikit-learn, and {package} is not installed")
        for name in names:
            photo = Image.open(Path(spec.submodule_search_locations[0]) / inner / name).convert("RGB")
            if photo.width > MAX_PHOTO_WIDTH:
                photo = photo.resize((MAX_PHOTO_WIDTH, round(photo.height * MAX_PHOTO_WIDTH / photo.width)))
            label = name.split(".")[0]
            for row in range(photo.height // CELL):
                for column in range(photo.width // CELL):
                    cell = f"{label}-{row}-{column}"
                    random = np.random.default_rng(list(cell.encode()))
                    for i in range(CROPS_PER_CELL):
                        left, top = random.integers(0, CELL - CROP + 1, 2).tolist()
                        left, top = column * CELL + left, row * CELL + top
                        crop = photo.crop((left, top, left + CROP, top + CROP))
                        yield "test" if is_test(cell) else "train", label, f"{cell}-{i}.png", crop


def letters(folder: Path) -> Iterator[Row]:
    """Letters of up to four faces of each font family."""
    unpacked = unpack_debian(FONT_PACKAGES, folder)
    faces: dict[str, list[tuple[str, Path]]] = {}
    for path in sorted(path for suffix in ("ttf", "otf", "t1") for path in unpacked.rglob(f"*.{suffix}")):
        family, style = ImageFont.truetype(str(path), 32).getname()
        if family and not re.search(r"symbol|dingbat|D0500|keyboard|initial", family, re.IGNORECASE):
            faces.setdefault(family, []).append((style or "", path))
    drawn: set[bytes] = set()
    for family, files in sorted(faces.items()):
        group = family.split()[0]  # "Lato", "Lato Light" and "Lato Black" are designed as one
        for number, (_style, path) in enumerate(sorted(files)[:FACES_PER_FAMILY]):
            font = ImageFont.truetype(str(path), 88, layout_engine=ImageFont.Layout.BASIC)
            for letter in ascii_lowercase:
                image = Image.new("L", (128, 128), 255)
                ImageDraw.Draw(image).text((64, 84), letter, fill=0, font=font, anchor="ms")
                image = image.resize((LETTER_SIZE, LETTER_SIZE), Image.Resampling.BOX)
                if image.getextrema() == (255, 255) or image.tobytes() in drawn:
                    continue
                drawn.add(image.tobytes())
                name = f"{family.replace(' ', '-')}-{number}.png"
                yield "test" if is_test(f"family {group}") else "train", letter, name, image


MAKERS: dict[str, Callable[[Path], Iterator[Row]]] = {"icons": icons, "photos": photos, "letters": letters}


def make(name: str, folder: Path) -> str:
    """Write the folder of images `name` into `folder`, replacing it, and return the SHA-256 of its pixels and names."""
    target = folder / name
    shutil.rmtree(target, ignore_errors=True)
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as temporary:
        for split, label, file, image in sorted(MAKERS[name](Path(temporary)), key=lambda row: row[:3]):
            path = target / split / label / file
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
            digest.update(f"{split}/{label}/{file} {image.mode} {image.size}\n".encode() + image.tobytes())
    return digest.hexdigest()


def counts(folder: Path) -> dict[str, int]:
    """Numbers of classes, training and test images of a folder that `make` wrote."""
    train, test = (list((folder / split).rglob("*.png")) for split in ("train", "test"))
    return {"classes": len(list((folder / "train").iterdir())), "train": len(train), "test": len(test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=MAKERS, nargs="+", default=list(MAKERS))
    args = parser.parse_args()
    for name in args.only:
        digest = make(name, args.folder)
        verdict = "as stated" if digest == DIGESTS[name] else "not as stated: other versions of the packages?"
        print(f"{name}: {counts(args.folder / name)}, SHA-256 {digest} ({verdict}), license {LICENSES[name]}")


if __name__ == "__main__":
    main()
