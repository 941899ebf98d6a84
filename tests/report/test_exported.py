"""`classicnets show FILE`: what an exported file contains, and whether it was changed; no code in it is run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from classicnets import trust
from classicnets.evaluation.exported import RECORD, facts_text, program_digest, seal_onnx, seal_program
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.onnx_files import colors_onnx

CONFIDENT: dict[str, Any] = {"temperature": 1.25, "min_confidence": 0.9, "test_accuracy": 0.5, "test_pictures": 1200}
CONFIDENT |= {"parameters": 61706, "licence": "MIT", "checksum": "sha256"}
CROPPED = Preprocess(channels=1, image_size=24, resize=20, pad=4, fit="letterbox", views=10, background="#ff8000")
PLAIN = Preprocess(channels=3, image_size=8, mean=(0.5, 0.4, 0.3), std=(0.25,))


def program(path: Path, **changes: Any) -> Path:
    """A .pt2 file that torch could not load: only its metadata is real."""
    facts = {"format": 1, "net": "n", "classes": ["a"], "preprocess": PLAIN.to_dict()} | changes
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"x/extra/{RECORD}", facts_text(facts))
    path.write_bytes(seal_program(path.read_bytes()))
    return path


def rows(text: str) -> dict[str, str]:
    """The facts of the printed text by their names."""
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def test_shows_what_a_file_contains(tmp_path: Path, cli: CommandLine) -> None:
    file = colors_onnx(tmp_path / "x.onnx", ("cat", "dog", "a\nb"), CROPPED, **CONFIDENT)
    code, out, err = cli("show", file)
    shown = rows(out)
    assert code == 0 and not err
    assert shown["network"] == "colors, 61,706 parameters, 9 MACs per image"
    assert shown["classes"] == r"3 classes: cat, dog, a\nb"
    assert shown["trained on"] == "animals, fingerprint none"
    assert shown["test accuracy"] == "0.5000 on 1,200 test images"
    assert shown["input"].startswith("pixels: uint8 [N, height, width, 3]")
    assert shown["size"] == "padded with black to a square, resized to 20x20 pixels"
    assert (shown["padding"], shown["crop"]) == ("4 black pixels on each side", "mean over 10 views of 24x24 pixels")
    assert (shown["color"], shown["background"]) == ("gray", "#ff8000, behind transparent parts")
    assert shown["confidence"] == "at least 0.9; below it, the answer is unknown"
    assert shown["temperature"] == "1.25, applied in the file"
    assert (shown["weights"], shown["license"]) == ("float32", "MIT")
    assert shown["next"] == f"classicnets predict {file} image.png"


def test_shows_what_is_missing(tmp_path: Path, cli: CommandLine) -> None:
    shown = rows(cli("show", colors_onnx(tmp_path / "x.onnx", preprocess=PLAIN, net="n", macs=None))[1])
    assert (shown["network"], shown["test accuracy"].split(",")[0]) == ("n", "not measured")
    assert shown["normalization"] == "mean 0.5, 0.4, 0.3, standard deviation 0.25, of values from 0 to 1"
    assert shown["confidence"].startswith("none") and shown["temperature"].startswith("none")
    assert not shown.keys() & {"padding", "crop", "license", "created", "code"}


@pytest.mark.parametrize(
    ("preprocess", "text"),
    [(CROPPED, "image: float32 [1, 1, 20, 20], gray, 0 to 1"), (PLAIN, "image: float32 [1, 3, 8, 8], RGB, 0 to 1")],
)
def test_shows_the_input_of_a_plain_float_file(
    preprocess: Preprocess, text: str, tmp_path: Path, cli: CommandLine
) -> None:
    file = colors_onnx(tmp_path / "x.onnx", preprocess=preprocess, input="float", int8=True)
    shown = rows(cli("show", file)[1])
    assert shown["input"].startswith(text) and shown["weights"] == "int8"


def test_shows_a_torch_program_without_opening_it(
    tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("the file was loaded"))
    file = program(tmp_path / "x.pt2")
    code, out, _ = cli("show", file)
    shown = rows(out)
    assert code == 0 and "torch program" in shown["file"] and shown["code"].startswith("never run on this machine")
    assert shown["input"].startswith("uint8 [N, 3, 8, 8]") and shown["checksum"] == "the file is as it was written"
    trust.add(program_digest(file.read_bytes()))
    assert rows(cli("show", file)[1])["code"] == "known on this machine"
    assert json.loads(cli("show", file, "--json")[1])["trusted"] is True


@pytest.mark.parametrize("state", ["unchanged", "changed", "missing"])
def test_shows_whether_a_file_was_changed(state: str, tmp_path: Path, cli: CommandLine) -> None:
    promised: dict[str, Any] = {} if state == "missing" else {"checksum": "sha256"}
    file = colors_onnx(tmp_path / "x.onnx", licence="MIT", **promised)
    if state != "missing":
        file.write_bytes(seal_onnx(file.read_bytes()))
    if state == "changed":
        file.write_bytes(file.read_bytes().replace(b"MIT", b"BSD"))
    code, out, err = cli("show", file)
    words = {"unchanged": "as it was written", "changed": "--trust", "missing": "an older version"}
    assert code == 0 and not err and words[state] in rows(out)["checksum"]
    assert json.loads(cli("show", file, "--json")[1])["checksum"] == state


def test_json_has_all_facts_except_the_digests(tmp_path: Path, cli: CommandLine) -> None:
    trained = {"images": 3, "in_test": 0, "split_of": "x", "count": 3, "digests": "AAAA"}
    preprocess = {"channels": 3, "image_size": 8}  # as in a file of version 0.1
    file = colors_onnx(tmp_path / "x.onnx", preprocess=preprocess, trained_images=trained, **CONFIDENT)
    shown = json.loads(cli("show", file, "--json")[1])
    assert (shown["path"], shown["format"], shown["trusted"]) == (str(file), "onnx", None)
    assert shown["bytes"] == file.stat().st_size
    facts = shown["facts"]
    assert facts["preprocess"]["background"] == "#000000" and facts["classes"] == ["red", "green", "blue"]
    assert facts["trained_images"] == {"images": 3, "in_test": 0, "split_of": "x", "count": 3}
    assert {key: facts[key] for key in CONFIDENT} == CONFIDENT


@pytest.mark.parametrize("name", ["other.onnx", "gone.onnx", "gone.pt2"])
def test_refuses_files_that_are_not_ours(name: str, tmp_path: Path, cli: CommandLine) -> None:
    colors_onnx(tmp_path / "other.onnx", format=None)
    code, out, err = cli("show", name)
    assert (code, out) == (3, "") and "error[CN308]" in err and "hint:" in err


@pytest.mark.parametrize("words", [["--why"], ["--input", "1x8x8"], ["lenet_d2l"]])
def test_options_of_networks_do_not_apply_to_a_file(words: list[str], tmp_path: Path, cli: CommandLine) -> None:
    colors_onnx(tmp_path / "x.onnx")
    code, out, err = cli("show", "x.onnx", *words)
    assert (code, out) == (2, "") and "error[CN206]" in err and "hint:  classicnets show x.onnx" in err
