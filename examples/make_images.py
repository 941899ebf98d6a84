"""Render a small color data set as a folder of PNG and JPEG files: twelve classes of invented road signs.

    python examples/make_images.py signs                                (6,000 and 2,000 images of 32x32)
    python examples/make_images.py signs --train 600 --test 200 --seed 1 --size 48

A class is a plate with a character on it, such as "circle-3" or "hexagon-B": three similar plates times four similar
characters. Colors, fonts, position, angle, light, background and occlusion are random and independent of the class. In
some images so much is hidden or blurred that the class cannot be recognized.

Files are FOLDER/train/CLASS/NUMBER.png or .jpg, and FOLDER/test/CLASS/... Image i of a split depends on (seed, split,
i, size) only, so a larger data set contains the smaller one. The fonts come with matplotlib. Pixels may differ with
other versions of Pillow (its FreeType and libjpeg) or of matplotlib's fonts; compare the printed checksum.
"""

from __future__ import annotations

import argparse
import colorsys
import hashlib
import math
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import PIL
from PIL import Image, ImageDraw, ImageFilter, ImageFont

PLATES = ("circle", "hexagon", "square")
CHARACTERS = ("3", "6", "8", "B")
CLASSES = tuple(f"{plate}-{character}" for plate in PLATES for character in CHARACTERS)
SPLITS = ("train", "test")
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "STIXGeneral",
    "STIXGeneralBol",
    "cmb10",
    "cmr10",
    "cmss10",
    "cmtt10",
)
_FINE = 4  # factor of supersampling: drawn larger, then averaged

Color = tuple[int, int, int]
Chance = np.random.RandomState  # NumPy keeps its stream of numbers as it is, which it does not promise of newer ones


def render(plate: str, character: str, size: int, chance: Chance) -> Image.Image:
    """An RGB image of size x size of that sign."""
    side = size * _FINE
    scene = _background(size, side, chance)
    sign = _moved(_sign(plate, character, side, chance), chance)
    scene.paste(sign, (0, 0), sign)
    _hide(scene, chance)
    return _photographed(scene.resize((size, size), Image.Resampling.BOX), chance)


def _background(size: int, side: int, chance: Chance) -> Image.Image:
    """A gradient of two colors with coarse texture, and things that are no signs; drawn at `size`, given at `side`."""
    first, second = (np.array(_color(chance), np.float64) for _ in range(2))
    angle = chance.uniform(0, 2 * math.pi)
    rows, columns = np.mgrid[0:size, 0:size] / size - 0.5
    share = np.clip(0.5 + rows * math.sin(angle) + columns * math.cos(angle), 0, 1)[..., None]
    coarse = Image.fromarray(chance.randint(0, 256, (7, 7)).astype(np.uint8))
    texture = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float64)[..., None] - 128
    pixels = first * share + second * (1 - share) + texture * chance.uniform(0, 0.4)
    scene = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(scene)
    for _ in range(chance.randint(0, 4)):
        x, y = chance.uniform(0, side, 2)
        w, h = chance.uniform(0.1, 0.5, 2) * side
        draw = (pen.rectangle, pen.ellipse)[chance.randint(2)]
        draw((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=_color(chance))
    return scene


def _sign(plate: str, character: str, side: int, chance: Chance) -> Image.Image:
    """The sign upright in the middle of a transparent image."""
    face, ink, edge = _color(chance), _color(chance), _color(chance)
    while _gray(face) - _gray(ink) < 90:  # dark on light, as signs are
        face, ink = _color(chance), _color(chance)
    layer = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(layer)
    radius = side * 0.42
    _plate(pen, plate, side / 2, radius, edge)
    _plate(pen, plate, side / 2, radius * chance.uniform(0.8, 0.97), face)
    name = FONTS[chance.randint(len(FONTS))]
    font = _font(name, round(radius * chance.uniform(1.1, 1.5)))
    pen.text((side / 2, side / 2), character, fill=ink, font=font, anchor="mm")
    return layer


def _plate(pen: ImageDraw.ImageDraw, plate: str, middle: float, radius: float, fill: Color) -> None:
    if plate == "circle":
        pen.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=fill)
    elif plate == "hexagon":
        pen.regular_polygon((middle, middle, radius * 1.08), 6, fill=fill)
    else:
        edge = radius * 0.9
        pen.rounded_rectangle((middle - edge, middle - edge, middle + edge, middle + edge), radius * 0.2, fill=fill)


def _moved(layer: Image.Image, chance: Chance) -> Image.Image:
    """Turned, made smaller, sheared, moved, and seen at an angle."""
    side = layer.width
    angle, scale = chance.uniform(-0.2, 0.2), chance.uniform(0.9, 1.2)
    shear, squeeze = chance.uniform(-0.12, 0.12), chance.uniform(0.85, 1.15)
    place = chance.uniform(-0.5, 0.5, 2) * (1.05 - scale * 0.8)
    tilt = np.array([chance.uniform(-0.2, 0.2), chance.uniform(-0.2, 0.2), 1])
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    back = np.array([[cos * squeeze, sin + shear, 0], [-sin, cos / squeeze, 0], tilt])  # from the image to the layer
    center = np.array([[1 / side, 0, -0.5 - place[0]], [0, 1 / side, -0.5 - place[1]], [0, 0, 1]])
    pixels = np.array([[side, 0, side / 2], [0, side, side / 2], [0, 0, 1]])
    whole = pixels @ back @ center
    coefficients = tuple((whole / whole[2, 2]).ravel()[:8])
    return layer.transform((side, side), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)


def _hide(scene: Image.Image, chance: Chance) -> None:
    """Up to two branches or leaves before the sign."""
    pen, side = ImageDraw.Draw(scene), scene.width
    for _ in range(chance.choice(3, p=(0.7, 0.25, 0.05))):
        x, y = chance.uniform(0.1, 0.9, 2) * side
        if chance.uniform() < 0.5:
            across = tuple(chance.uniform(0, side, 2))
            pen.line([(x, y), across], fill=_color(chance), width=round(side * chance.uniform(0.03, 0.1)))
        else:
            w, h = chance.uniform(0.05, 0.16, 2) * side
            pen.ellipse((x - w, y - h, x + w, y + h), fill=_color(chance))


def _photographed(image: Image.Image, chance: Chance) -> Image.Image:
    """Out of focus, in uneven light, with a camera's noise."""
    image = image.filter(ImageFilter.GaussianBlur(chance.uniform(0, 0.025) * image.width))
    pixels = np.asarray(image, np.float64)
    light = np.linspace(chance.uniform(0.6, 1.2), chance.uniform(0.6, 1.2), image.width)
    light = light[:, None, None] if chance.uniform() < 0.5 else light[None, :, None]
    middle = pixels.mean()
    pixels = (middle + (pixels - middle) * chance.uniform(0.7, 1.2)) * light
    pixels = pixels + chance.normal(0, chance.uniform(0, 12), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))


def _color(chance: Chance) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(*chance.uniform((0, 0, 0.1), (1, 1, 1)))
    return (round(255 * red), round(255 * green), round(255 * blue))


def _gray(color: Color) -> float:
    red, green, blue = color
    return 0.299 * red + 0.587 * green + 0.114 * blue


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def write(folder: Path, split: str, count: int, seed: int, size: int) -> str:
    """Writes `count` images of a split, the classes in turn; gives the sha256 of their pixels before the JPEG."""
    total = hashlib.sha256()
    for name in CLASSES:
        (folder / split / name).mkdir(parents=True)
    for i in range(count):
        name = CLASSES[i % len(CLASSES)]
        chance = Chance([seed, SPLITS.index(split), i])
        plate, character = name.split("-")
        image = render(plate, character, size, chance)
        total.update(image.tobytes())
        path = folder / split / name / f"{i:05}"
        if chance.uniform() < 0.5:
            image.save(path.with_suffix(".png"))
        else:
            image.save(path.with_suffix(".jpg"), quality=int(chance.randint(30, 95)))
    return total.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to create")
    parser.add_argument("--train", type=int, default=6000, metavar="N", help="training images (default: 6000)")
    parser.add_argument("--test", type=int, default=2000, metavar="N", help="test images (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images (default: 0)")
    parser.add_argument("--size", type=int, default=32, metavar="PIXELS", help="image size (default: 32)")
    args = parser.parse_args()
    if min(args.train, args.test) < len(CLASSES):
        parser.error(f"there are {len(CLASSES)} classes, and each needs an image in both splits")
    if args.folder.exists():
        parser.error(f"{args.folder} already exists; choose a new folder")
    for split, count in zip(SPLITS, (args.train, args.test), strict=True):
        total = write(args.folder, split, count, args.seed, args.size)
        print(f"{args.folder / split}: {count:,} images, {len(CLASSES)} classes, sha256 of the pixels {total[:16]}")
    print(
        f"rendered with Pillow {PIL.__version__}, matplotlib {matplotlib.__version__}'s fonts, NumPy {np.__version__}"
    )


if __name__ == "__main__":
    main()
