"""The audit of a folder of images: it reports every fault, and nothing else."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from classicnets.audit.audit import audit_images
from classicnets.audit.findings import AuditReport
from classicnets.errors import DataError
from classicnets.images.near_duplicates import near_copies
from classicnets.images.thumbnails import COLOR_SIZE, GRAY_SIZE, read_preview
from classicnets.report import findings
from support.command_line import CommandLine
from support.faulty import bomb, disc, make_clean_folder, make_faulty_folder, scene


def groups_of(report: AuditReport) -> dict[str, set[frozenset[str]]]:
    """Topic -> groups of files."""
    return {f.topic: {frozenset(image.file for image in g.images) for g in f.groups} for f in report.findings}


def topics(report: AuditReport, severity: str) -> list[str]:
    return [f.topic for f in report.findings if f.severity == severity]


def make_thumbnails(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    small = [p.convert("RGB").resize((GRAY_SIZE, GRAY_SIZE), Image.Resampling.BILINEAR) for p in images]
    color = [p.resize((COLOR_SIZE, COLOR_SIZE), Image.Resampling.BOX) for p in small]
    return np.stack([np.asarray(p.convert("L")) for p in small]), np.stack([np.asarray(p) for p in color])


def compressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, set[frozenset[str]]], AuditReport]:
    root = tmp_path_factory.mktemp("data") / "faulty"
    faults = make_faulty_folder(root)
    return root, faults, audit_images(root)


# --- findings --------------------------------------------------------------------------------------------------------


def test_reports_every_fault_and_no_other(faulty: tuple[Path, dict[str, set[frozenset[str]]], AuditReport]) -> None:
    _, faults, report = faulty
    reported = {topic: groups for topic, groups in groups_of(report).items() if groups}
    assert reported == faults
    assert set(groups_of(report)) - set(faults) == {"layout", "tiny_classes", "imbalance", "sizes"}


def test_findings_are_sorted_by_severity_and_have_reason_and_hint(
    faulty: tuple[Path, dict[str, set[frozenset[str]]], AuditReport],
) -> None:
    _, _, report = faulty
    copies, unreadable = ["two_classes", "leak"], ["empty", "no_picture", "damaged", "too_large"]
    assert topics(report, "error") == [*copies, "layout", *unreadable]
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert all(finding.why and finding.hint and finding.what for finding in report.findings)
    assert not report.ok
    by_topic = {finding.topic: finding for finding in report.findings}
    assert [group.relation for group in by_topic["two_classes"].groups] == ["bytes", "near"]
    assert [group.relation for group in by_topic["leak"].groups] == ["bytes", "near", "mirrored"]
    assert {group.relation for group in by_topic["mirrored"].groups} == {"mirrored", "turned"}
    assert "贝壳 (2)" in by_topic["tiny_classes"].what


def test_reports_nothing_for_a_clean_folder(tmp_path: Path) -> None:
    report = audit_images(make_clean_folder(tmp_path / "clean"))
    assert report.findings == () and report.ok and report.sizes == "96x72"
    assert report.counts == {name: {"train": 14, "test": 6} for name in ("leaf", "shell", "stone")}


def test_an_automatic_split_leaks_no_copies(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for i in range(12):
            scene(i + 100 * (name == "a")).save(tmp_path / "x" / name / f"{i}.png")
    assert topics(audit_images(tmp_path / "x"), "error") == []
    assert topics(audit_images(tmp_path / "x"), "note") == ["read_as"]
    for i in range(12):
        shutil.copy(tmp_path / "x" / "a" / f"{i}.png", tmp_path / "x" / "a" / f"copy of {i}.png")
    report = audit_images(tmp_path / "x")
    (finding,) = (f for f in report.findings if f.groups)
    assert finding.topic == "duplicates" and len(finding.groups) == 12
    assert {len({image.split for image in group.images}) for group in finding.groups} == {1}
    assert report.counts == {"a": {"train": 20, "test": 4}, "b": {"train": 10, "test": 2}}


def test_layout_faults_are_errors(tmp_path: Path) -> None:
    folder = make_clean_folder(tmp_path / "x")
    shutil.rmtree(folder / "test" / "leaf")
    (folder / "test" / "shell").rename(folder / "test" / "shel")
    messages = [finding.what for finding in audit_images(folder).findings if finding.severity == "error"]
    assert any("test/shel: " in what and "did you mean shell?" in what for what in messages)
    assert any(what.startswith("test/leaf: ") for what in messages)
    shutil.rmtree(folder / "train" / "shell")
    shutil.rmtree(folder / "train" / "stone")
    assert any("the only class" in finding.what for finding in audit_images(folder).findings)


def test_warns_about_a_class_identified_by_color(tmp_path: Path) -> None:
    folder = make_clean_folder(tmp_path / "x")
    for path in [*folder.glob("*/stone/*.png")]:
        scene(5000 + int(path.stem) + 500 * ("test" in path.parts)).convert("L").save(path)
    finding = next(f for f in audit_images(folder).findings if f.topic == "grey")
    assert finding.severity == "warning" and "much more frequent in stone" in finding.what


def test_groups_all_copies_of_an_image(tmp_path: Path) -> None:
    folder = make_clean_folder(tmp_path / "x")
    for i in range(50):
        shutil.copy(folder / "train" / "leaf" / "000.png", folder / "train" / "leaf" / f"again{i}.png")
    (finding,) = (f for f in audit_images(folder).findings if f.topic == "duplicates")
    assert len(finding.groups) == 1 and len(finding.groups[0].images) == 51


def test_unreadable_file_is_damaged(tmp_path: Path) -> None:
    folder = make_clean_folder(tmp_path / "x")
    (folder / "train" / "leaf" / "lost.png").symlink_to("nowhere.png")
    assert topics(audit_images(folder), "error") == ["damaged"]


def test_does_not_decode_a_decompression_bomb(tmp_path: Path) -> None:
    folder = make_clean_folder(tmp_path / "x")
    (folder / "train" / "leaf" / "bomb.png").write_bytes(bomb(50_000))
    started = time.process_time()
    assert topics(audit_images(folder), "error") == ["too_large"]
    assert time.process_time() - started < 20  # 2.5 GB would have been allocated and filled
    assert read_preview(folder / "train" / "leaf" / "bomb.png") is None


def test_finds_an_enlarged_copy(tmp_path: Path) -> None:
    folder = make_clean_folder(tmp_path / "x")
    with Image.open(folder / "train" / "leaf" / "000.png") as original:
        original.resize((1536, 1152)).save(folder / "test" / "leaf" / "photo.jpg", quality=85)
    assert groups_of(audit_images(folder))["leak"] == {frozenset({"train/leaf/000.png", "test/leaf/photo.jpg"})}


def test_rejects_a_folder_without_classes(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(DataError, match="CN307"):
        audit_images(tmp_path / "x")


# --- near copies -----------------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {
    "jpeg": (lambda p: compressed(p, 75), "near"),
    "smaller": (lambda p: p.resize((48, 36), Image.Resampling.BILINEAR), "near"),
    "larger": (lambda p: p.resize((288, 216), Image.Resampling.BICUBIC), "near"),
    "darker": (lambda p: ImageEnhance.Brightness(p).enhance(0.7), "near"),
    "flatter": (lambda p: ImageEnhance.Contrast(p).enhance(0.7), "near"),
    "mirrored": (ImageOps.mirror, "mirrored"),
    "upside down": (lambda p: p.rotate(180), "turned"),
    "quarter": (lambda p: p.rotate(90, expand=True), "turned"),
    "three quarters, mirrored": (lambda p: ImageOps.mirror(p.rotate(270, expand=True)), "turned"),
    "mirrored jpeg": (lambda p: compressed(ImageOps.mirror(p), 70), "mirrored"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_finds_changed_copies_and_no_others(change: str) -> None:
    changed, how = CHANGES[change]
    originals = [scene(seed) for seed in range(150)]
    pairs = near_copies(*make_thumbnails([*originals, *(changed(image) for image in originals[:50])]))
    assert sorted((min(i, j), max(i, j), kind) for i, j, kind in pairs) == [(i, 150 + i, how) for i in range(50)]


def test_similar_images_are_not_copies() -> None:
    generator = np.random.default_rng(3)
    moved = [disc(20 + 4 * (i % 6), 20 + 5 * (i // 6), (200, 60, 60)) for i in range(30)]
    other_colors = [disc(20, 20, color) for color in ((60, 60, 200), (60, 200, 60), (20, 20, 20))]
    plain = [Image.new("RGB", (40, 40), (i, i, i)) for i in range(5)]
    # some of the discs are mirror images of others
    pairs = [(i, j) for i, j, how in near_copies(*make_thumbnails([*moved, *other_colors, *plain])) if how == "near"]
    assert pairs == []
    frames = [Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for _ in range(40)]
    assert near_copies(*make_thumbnails(frames)) == []


def test_finds_no_copies_among_two_thousand_images() -> None:
    assert near_copies(*make_thumbnails([scene(seed, 32, 32) for seed in range(2000)])) == []


def test_images_without_contrast_are_not_compared() -> None:
    assert near_copies(*make_thumbnails([Image.new("L", (9, 9), 7)] * 3)) == []
    assert (
        near_copies(np.zeros((0, GRAY_SIZE, GRAY_SIZE), np.uint8), np.zeros((0, COLOR_SIZE, COLOR_SIZE, 3), np.uint8))
        == []
    )


# --- reports ---------------------------------------------------------------------------------------------------------


def test_command_line(
    faulty: tuple[Path, dict[str, set[frozenset[str]]], AuditReport], cli: CommandLine, tmp_path: Path
) -> None:
    root, _, report = faulty
    code, out, err = cli("data", "check", root, "-o", tmp_path / "sheet.png")
    assert code == 1 and "sheet.png" in err
    assert out.index("ERRORS") < out.index("train/shell/from_leaf.png") < out.index("WARNINGS") < out.index("NOTES")
    assert f"-o {tmp_path}" not in out and f"classicnets data check {root} -o copies.png" in out
    assert out.rstrip().endswith("in 139 images; no file was changed, moved or deleted")
    with Image.open(tmp_path / "sheet.png") as drawn:
        assert drawn.width > 1000 and drawn.height > 600
    code, out, _ = cli("data", "check", root, "--json")
    assert code == 1 and json.loads(out) == json.loads(json.dumps(report.to_dict()))
    assert set(json.loads(out)) == {
        "name",
        "folder",
        "ok",
        "pictures",
        "classes",
        "sizes",
        "findings",
        "left_out",
        "background",
    }


def test_command_line_on_a_clean_folder(cli: CommandLine, tmp_path: Path) -> None:
    folder = make_clean_folder(tmp_path / "clean")
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    code, out, _ = cli("data", "check", folder, "-o", tmp_path / "sheet.png")
    assert code == 0 and "clean: no findings in 60 images; no file was changed" in out
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before
    assert cli("data", "check", folder, "-o", tmp_path / "no" / "such" / "sheet.png")[0] == 4


def test_rejects_a_sheet_of_idx_files(cli: CommandLine, blobs: Path) -> None:
    assert cli("data", "check", blobs)[0] == 0
    code, _, err = cli("data", "check", blobs, "-o", "sheet.png")
    assert code == 2 and "-o" in err


def test_long_lists_are_shortened_only_on_the_terminal(tmp_path: Path, cli: CommandLine) -> None:
    folder = make_clean_folder(tmp_path / "x")
    for i in range(30):
        (folder / "train" / "leaf" / f"empty{i:02}.png").touch()
    _, out, _ = cli("data", "check", folder)
    assert "empty00.png" in out and "empty29.png" not in out and "and 26 more (--json lists all)" in out
    document = json.loads(cli("data", "check", folder, "--json")[1])
    assert len(document["findings"][0]["groups"]) == 30


def test_table_of_many_classes_has_the_smallest_and_largest() -> None:
    counts = {f"class{i}": {"train": i, "test": 1} for i in range(50)}
    columns, rows = findings.class_rows({"classes": counts})
    assert columns == ["class", "train", "test"] and len(rows) == 14
    assert rows[0] == ["class0", 0, 1] and rows[-1] == ["all 50", sum(range(50)), 50]


def test_sheet_shows_copies_side_by_side(
    faulty: tuple[Path, dict[str, set[frozenset[str]]], AuditReport], tmp_path: Path
) -> None:
    root, _, report = faulty
    read: list[str] = []

    def load(file: str) -> Any:
        read.append(file)
        return read_preview(root / file)

    figure = findings.draw_sheet(report.to_dict(), load)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert read.index("train/shell/from_leaf.png") == read.index("train/leaf/000.png") + 1
    assert "train/leaf\n000.png" in texts and "train/shell\nfrom_leaf.png" in texts
    assert len(figure.axes[0].images) == sum(read_preview(root / file) is not None for file in read)
