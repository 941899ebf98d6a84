"""A small folder of images with every fault that `data check` reports.

To write one: python tests/support/faulty.py FOLDER
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

CLASSES = ("leaf", "shell", "stone")


def scene(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    """A color image of soft shapes and texture, different for each seed."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(width, height)
    pixels = np.full((height, width, 3), generator.uniform(60, 190, 3))
    for _ in range(9):
        center, radius = generator.uniform(0, 1, 2), generator.uniform(0.05, 0.3)
        blob = np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / radius**2)
        pixels += blob[..., None] * generator.normal(0, 90, 3)
    pixels += generator.normal(0, 8, (height, width, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def disc(x: int, y: int, color: tuple[int, int, int]) -> Image.Image:
    """A disc on a plain background; images that differ only in position or color are not copies."""
    rows, columns = np.mgrid[:64, :64]
    inside = (columns - x) ** 2 + (rows - y) ** 2 < 144
    return Image.fromarray(np.where(inside[..., None], color, (200, 200, 200)).astype(np.uint8))


def bomb(size: int) -> bytes:
    """A PNG file of some hundred bytes whose header declares size x size pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def make_clean_folder(root: Path, per_class: int = 14, test_per_class: int = 6, seed: int = 0) -> Path:
    """Write a folder without faults; all images differ."""
    for split, count in (("train", per_class), ("test", test_per_class)):
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                seed += 1
                scene(seed).save(folder / f"{i:03}.png")
    return root


def make_faulty_folder(root: Path) -> dict[str, set[frozenset[str]]]:
    """Write the folder and return its faults: topic -> groups of files."""
    make_clean_folder(root, per_class=30, seed=1000)
    train, test = root / "train", root / "test"
    faults: dict[str, set[frozenset[str]]] = {}

    def add(topic: str, *paths: Path) -> None:
        faults.setdefault(topic, set()).add(frozenset(str(path.relative_to(root)) for path in paths))

    def read(path: Path) -> Image.Image:
        with Image.open(path) as image:
            return image.copy()

    def add_copy(topic: str, source: Path, path: Path, image: Image.Image | None, **options: object) -> None:
        if image is None:
            path.write_bytes(source.read_bytes())
        else:
            image.save(path, **options)  # type: ignore[arg-type]
        add(topic, source, path)

    leaf, shell, stone = (train / name for name in CLASSES)
    add_copy("two_classes", leaf / "000.png", shell / "from_leaf.png", None)
    add_copy("two_classes", leaf / "001.png", stone / "from_leaf.jpg", read(leaf / "001.png"), quality=60)
    add_copy("leak", leaf / "002.png", test / "leaf" / "copy.png", None)
    add_copy("leak", shell / "003.png", test / "shell" / "smaller.png", read(shell / "003.png").resize((64, 48)))
    mirrored = ImageOps.mirror(read(stone / "004.png"))
    add_copy("leak", stone / "004.png", test / "stone" / "mirrored.jpg", mirrored, quality=80)
    add_copy("duplicates", leaf / "005.png", leaf / "005 (1).png", None)
    brighter = ImageEnhance.Brightness(read(shell / "006.png")).enhance(1.15)
    add_copy("near_duplicates", shell / "006.png", shell / "brighter.png", brighter)
    add_copy("near_duplicates", stone / "007.png", stone / "recompressed.jpg", read(stone / "007.png"), quality=40)
    bigger = read(stone / "008.png").resize((192, 144), Image.Resampling.BICUBIC)
    add_copy("near_duplicates", stone / "008.png", stone / "larger.webp", bigger, quality=80)
    add_copy("mirrored", leaf / "009.png", leaf / "mirrored.png", ImageOps.mirror(read(leaf / "009.png")))
    add_copy("mirrored", leaf / "010.png", leaf / "turned.png", read(leaf / "010.png").rotate(90, expand=True))
    add_copy("mirrored_classes", leaf / "011.png", stone / "mirror.png", ImageOps.mirror(read(leaf / "011.png")))

    (shell / "empty.png").touch()
    add("empty", shell / "empty.png")
    (shell / "saved.jpg").write_text("<!DOCTYPE html><title>404 Not Found</title>")
    add("no_picture", shell / "saved.jpg")
    for name, seed in (("cut.jpg", 1), ("cut.png", 2)):
        scene(seed).save(shell / name)
        content = (shell / name).read_bytes()
        (shell / name).write_bytes(content[: len(content) // 2])
        add("damaged", shell / name)
    (stone / "bomb.png").write_bytes(bomb(60_000))
    add("too_large", stone / "bomb.png")

    Image.new("RGB", (96, 72), (120, 130, 90)).save(leaf / "blank.png")
    add("constant", leaf / "blank.png")
    scene(3, 900, 40).save(stone / "strip.png")
    add("strips", stone / "strip.png")
    scene(4, 12, 9).save(leaf / "preview.png")
    add("small", leaf / "preview.png")
    clear = scene(5).convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 40, 72))
    clear.save(shell / "cut_out.png")
    add("transparent", shell / "cut_out.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    scene(6).save(stone / "phone.jpg", exif=exif, quality=90)
    add("exif_turned", stone / "phone.jpg")
    scene(7).save(leaf / "renamed.jpg", format="PNG")
    add("extension", leaf / "renamed.jpg")
    scene(8).convert("L").save(shell / "grey.png")
    add("grey", shell / "grey.png")

    (train / "贝壳").mkdir()
    for i in range(2):
        scene(20 + i).save(train / "贝壳" / f"图{i}.png")  # a tiny class without test images

    # not copies, although they look similar
    for i, position in enumerate(((24, 32), (30, 32), (36, 34), (32, 26))):
        disc(*position, (200, 60, 60)).save(leaf / f"disc{i}.png")
    disc(24, 32, (60, 60, 200)).save(leaf / "disc_blue.png")
    return faults


if __name__ == "__main__":
    make_faulty_folder(Path(sys.argv[1]))
