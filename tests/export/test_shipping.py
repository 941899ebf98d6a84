"""Exported files in every form give the answers of their run: .pt2, plain float ONNX, and with rejection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.errors import DataError, UsageError
from classicnets.evaluation import exported, rejection
from classicnets.evaluation.exported import RECORD
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.evaluation.program import ProgramClassifier
from classicnets.evaluation.rejection import Rejection
from classicnets.export import onnx as export_onnx
from classicnets.export import parity, program
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.images import make_image_folder, save
from support.typed import present

pytestmark = pytest.mark.usefixtures("undrawn", "few_images_are_enough")

CLASSES = ("a", "b", "c", "d")
PLAIN = {"Add", "Conv", "Div", "Flatten", "Gemm", "Identity", "MatMul", "Mul", "Pad", "Relu", "Reshape", "Slice"}
PLAIN |= {"Softmax", "Sub"}


def facts(preprocess: Preprocess, **changes: Any) -> dict[str, Any]:
    base = {"format": 1, "net": "n", "classes": CLASSES, "preprocess": preprocess.to_dict(), "data_name": "d"}
    return base | {"int8": False, "licence": "MIT", "test_accuracy": None, "test_pictures": 0} | changes


def network(channels: int, size: int) -> nn.Module:
    torch.manual_seed(1)
    last = nn.Linear(6 * (size - 2) ** 2, 4)
    nn.init.normal_(last.weight, std=0.3)
    convolution = nn.Conv2d(channels, 6, 3)
    convolution.weight.data = convolution.weight.data.to(memory_format=torch.channels_last)
    return nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), last).eval()


PREPROCESSES = [
    Preprocess(channels=channels, image_size=10, pad=pad, resize=resize, fit=fit, mean=(0.4,), std=(0.3,), views=views)
    for channels, fit, pad, resize, views in [
        (1, "crop", 2, None, 1),
        (3, "letterbox", 0, 12, 1),
        (1, "stretch", 0, None, 2),
        (3, "letterbox", 1, 11, 10),
    ]
]


@pytest.mark.parametrize("preprocess", PREPROCESSES, ids=lambda p: f"{p.channels}-{p.fit}-{p.views}")
def test_every_form_answers_as_the_network_does(preprocess: Preprocess, tmp_path: Path) -> None:
    temperature = {"crop": 1.7, "letterbox": 0.6}.get(preprocess.fit)
    net = network(preprocess.channels, preprocess.image_size)
    changes = {} if temperature is None else {"temperature": temperature, "min_confidence": 0.5}
    rejection = Rejection(0.5, temperature or 1.0)
    center = replace(preprocess, views=1)
    (tmp_path / "m.pt2").write_bytes(program.program(net, preprocess, facts(preprocess, **changes)))
    for name, seen, is_float in (("m.onnx", preprocess, False), ("f.onnx", center, True)):
        about = facts(seen, **changes, **({"input": "float"} if is_float else {}))
        graph = export_onnx.export_network(net, seen, one_image=is_float)
        (tmp_path / name).write_bytes(export_onnx.assemble(graph, seen, len(CLASSES), about))
    for shape in ((5, 3, preprocess.side, preprocess.side), (2, 3, 31, 17), (2, 1, 9, 40)):
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        expected, expected_center = (
            parity.Reference(net, seen, CLASSES, rejection).probabilities(images) for seen in (preprocess, center)
        )
        assert np.ptp(expected, axis=0).max() > 1e-3
        assert np.abs(ProgramClassifier(tmp_path / "m.pt2", trust=True).probabilities(images) - expected).max() < 5e-6
        assert np.abs(OnnxClassifier(tmp_path / "m.onnx").probabilities(images) - expected).max() < 5e-6
        assert np.abs(OnnxClassifier(tmp_path / "f.onnx").probabilities(images) - expected_center).max() < 5e-6


def test_weights_in_a_program_are_contiguous(tmp_path: Path) -> None:
    """Otherwise ExecuTorch cannot lower the file; `network` has its weights in channels-last format."""
    preprocess, net = PREPROCESSES[-1], network(3, 10)
    assert not all(p.is_contiguous() for p in net.parameters())
    (tmp_path / "m.pt2").write_bytes(program.program(net, preprocess, facts(preprocess)))
    loaded = torch.export.load(tmp_path / "m.pt2")
    tensors = [*loaded.state_dict.values(), *(t for t in loaded.constants.values() if isinstance(t, torch.Tensor))]
    assert len(tensors) > 4 and all(tensor.is_contiguous() for tensor in tensors)
    assert not all(p.is_contiguous() for p in net.parameters())  # the network is not changed


@pytest.mark.parametrize("preprocess", PREPROCESSES[1:3], ids=lambda p: f"{p.channels}-{p.fit}-{p.views}")
def test_the_float_file_has_only_plain_operators_and_fixed_shapes(preprocess: Preprocess) -> None:
    center = replace(preprocess, views=1)
    net = network(preprocess.channels, preprocess.image_size)
    graph = export_onnx.export_network(net, center, one_image=True)
    content = export_onnx.assemble(graph, center, len(CLASSES), facts(center, input="float"))
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= PLAIN
    shapes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.graph.input, *model.graph.output)]
    assert shapes == [[1, center.channels, center.side, center.side], [1, 4]]
    assert [v.name for v in (*model.graph.input, *model.graph.output)] == ["image", "probabilities"]
    types = {tensor.data_type for tensor in model.graph.initializer} - {onnx.TensorProto.INT64}  # shapes
    assert types == {onnx.TensorProto.FLOAT} and "float32 [1, " in model.doc_string


def test_metadata_that_contradicts_the_network_is_refused(tmp_path: Path) -> None:
    for seen, stated in ((PREPROCESSES[1], 1), (PREPROCESSES[0], 3)):
        net, other = network(seen.channels, seen.image_size), replace(seen, channels=stated)
        (tmp_path / "m.pt2").write_bytes(program.program(net, seen, facts(seen)))
        program_file = ProgramClassifier(tmp_path / "m.pt2", trust=True)
        exported.check_channels(program_file.path, facts(seen), program_file._run)
        with pytest.raises(DataError, match="is damaged") as caught:
            exported.check_channels(program_file.path, facts(other), program_file._run)
        assert f"but its network sees {seen.channels} channel" in caught.value.why
        graph = export_onnx.export_network(net, seen, one_image=True)
        about = facts(seen, input="float")
        content = export_onnx.with_facts(export_onnx.assemble(graph, seen, 4, about), about | facts(other))
        (tmp_path / "f.onnx").write_bytes(content)
        with pytest.raises(DataError, match="is damaged") as caught:
            OnnxClassifier(tmp_path / "f.onnx")
        assert "but its input has the shape 1x" in caught.value.why


def test_opencv_reads_the_float_file(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    preprocess = PREPROCESSES[1]
    graph = export_onnx.export_network(network(3, 10), preprocess, one_image=True)
    content = export_onnx.assemble(graph, preprocess, len(CLASSES), facts(preprocess, input="float"))
    (tmp_path / "f.onnx").write_bytes(content)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, preprocess.side, preprocess.side), dtype=np.uint8)
    net = cv2.dnn.readNetFromONNX(str(tmp_path / "f.onnx"))
    net.setInput(pixels.astype(np.float32) / 255, "image")
    expected = OnnxClassifier(tmp_path / "f.onnx").probabilities(pixels)
    assert np.abs(net.forward().reshape(1, -1) - expected).max() < 5e-6


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_pt2_file_that_is_not_ours_is_refused_before_torch_reads_it(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pt2"
    if content is None:  # a valid program without our metadata
        torch.export.save(torch.export.export(nn.Flatten(), (torch.zeros(1, 2, 2),)), path)
    else:
        path.write_bytes(content)
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("the file was loaded"))
    with pytest.raises(DataError) as caught:
        cn.load(path)
    assert caught.value.code == "CN308" and caught.value.why


def test_a_damaged_pt2_file_is_an_error(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.pt2", "w") as archive:
        archive.writestr(f"x/extra/{RECORD}", json.dumps(facts(PREPROCESSES[0])))
    with pytest.raises(DataError, match="is damaged"):
        cn.load(tmp_path / "x.pt2", trust=True)


# --- a run with validation images ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few_images_are_enough() -> Iterator[None]:
    """A temperature is fitted on the 18 validation images of the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rejection, "MIN_IMAGES", 18)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image_folder(tmp_path_factory.mktemp("data") / "shapes", per_class=20, test_per_class=8, size=14)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory, few_images_are_enough: None) -> cn.Run:
    settings = {
        "image_size": 28,
        "epochs": 1,
        "batch_size": 16,
        "validation": 0.3,
        "monitor": "validation",
        "lr": 1e-5,
        "views": 1,
    }
    runs = tmp_path_factory.mktemp("runs")
    return cn.train("lenet_d2l", data=str(data), recipe="fast", quiet=True, runs=runs, **settings)


def test_a_run_stores_the_temperature_of_its_validation_images(run: cn.Run) -> None:
    result, metrics = present(run.result), json.loads(run.folder.metrics.read_text())
    assert result["calibration_images"] == 18 and 0.01 <= result["temperature"] <= 100
    calibrated = metrics["calibrated"]
    assert calibrated["temperature"] == result["temperature"] and calibrated["loss"] > 0
    evaluation = run.evaluate(min_confidence=0)
    accepted = present(evaluation.accepted)
    assert (accepted.coverage, accepted.accuracy) == (1, evaluation.accuracy) and evaluation.loss == metrics["loss"]
    assert accepted.loss == pytest.approx(calibrated["loss"], abs=1e-6)


def test_forms_of_a_run_reject_the_same_images(run: cn.Run, data: Path, tmp_path: Path, cli: CommandLine) -> None:
    temperature, images = present(run.result)["temperature"], data / "test"
    confidences = sorted(p.probabilities[0] for p in run.predict(images, min_confidence=0))
    threshold = (confidences[11] + confidences[12]) / 2
    plain = run.predict(images)
    expected = run.predict(images, min_confidence=threshold)
    assert sum(p.rejected for p in expected) == 12 and not any(p.rejected for p in plain)
    assert [p.classes for p in plain] == [p.classes for p in expected]
    for name, options in (("m.onnx", {}), ("m.pt2", {"format": "torch"}), ("f.onnx", {"input": "float"})):
        run.export(tmp_path / name, min_confidence=threshold, **options)
        run.export(tmp_path / f"plain-{name}", **options)
        baked, plain_file = cn.load(tmp_path / name), cn.load(tmp_path / f"plain-{name}")
        answers = [baked.predict(images), plain_file.predict(images, min_confidence=threshold)]
        answers.append(baked.predict(images, min_confidence=threshold))
        for predictions in answers:
            assert [p.rejected for p in predictions] == [p.rejected for p in expected], name
            assert np.allclose([p.probabilities for p in predictions], [p.probabilities for p in expected], atol=2e-6)
        assert not any(p.rejected for p in plain_file.predict(images))
        assert baked.temperature == temperature and baked.min_confidence == threshold
        assert baked.evaluate(images).accuracy == run.evaluate().accuracy
        code, out, err = cli("predict", tmp_path / name, images, "--json")
        document = json.loads(out)
        assert code == 0 and document["rejected"] == 12 and "12 of 24 images are unknown" in err
        assert [row["rejected"] for row in document["predictions"]] == [p.rejected for p in expected]
        assert all((row["answer"] == "unknown") == row["rejected"] for row in document["predictions"])


def test_names_the_images_that_the_temperature_rests_on(
    run: cn.Run, data: Path, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of few images is not applied, unless an exported file applies it, which cannot be changed."""
    fitted = {"temperature": run.temperature, "calibration_images": 18}
    image, options = next(data.rglob("*.png")), ("--min-confidence", 0.5)
    code, out, _ = cli("export", run.path, "-o", tmp_path / "m.onnx", *options)
    assert code == 0 and "18 validation images" in " ".join(out.split())
    written = run.export(tmp_path / "plain.onnx").to_dict()
    assert {key: written[key] for key in fitted} == fitted
    for model in (run.path, tmp_path / "m.onnx"):
        _, out, err = cli("predict", model, image, *options, "--json")
        document = json.loads(out)
        assert "fitted on 18 validation images" in " ".join(err.split())
        assert {key: document[key] for key in fitted} == fitted and document["min_confidence"] == 0.5
        assert "fitted on 18 validation images" in " ".join(cli("evaluate", model, data / "test", *options)[1].split())
        accepted = json.loads(cli("evaluate", model, data / "test", *options, "--json")[1])["accepted"]
        assert accepted["calibration_images"] == 18
    monkeypatch.setattr(rejection, "MIN_IMAGES", 19)
    for model in (run.path, tmp_path / "plain.onnx"):
        _, out, err = cli("predict", model, image, *options, "--json")
        document = json.loads(out)
        assert "not calibrated: 18 validation images were held out" in " ".join(err.split())
        assert (document["temperature"], document["calibration_images"]) == (None, 18)
        assert document["uncalibrated"] == "few"
        (first,) = cn.load(model).predict(image)
        assert document["predictions"][0]["probabilities"] == pytest.approx(first.probabilities, abs=1e-6)
    assert "fitted on 18 validation images" in " ".join(cli("predict", tmp_path / "m.onnx", image)[2].split())


def test_unknown_is_in_the_table_and_the_csv(run: cn.Run, data: Path, tmp_path: Path, cli: CommandLine) -> None:
    image = next(data.rglob("*.png"))
    code, out, err = cli("predict", run.path, image, "--min-confidence", 1)
    assert code == 0 and "unknown" in out and "1 of 1 image is unknown" in err and "temperature" in err
    header, row = cli("predict", run.path, image, "--min-confidence", 1, "--csv")[1].splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["answer"], cells["rejected"]) == ("unknown", "true") and cells["predicted"] in run.classes
    header, row = cli("predict", run.path, image, "--min-confidence", 0, "--csv")[1].splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["answer"], cells["rejected"]) == (cells["predicted"], "false")
    assert "answer" not in cli("predict", run.path, image, "--csv")[1]
    code, out, _ = cli("evaluate", run.path, "--min-confidence", 1)
    assert code == 0 and "none of 24 images" in out and "with the temperature" in out


def test_says_that_probabilities_are_not_calibrated(data: Path, tmp_path: Path, cli: CommandLine) -> None:
    settings = {"image_size": 28, "epochs": 1, "validation": 0, "monitor": "none"}
    run = cn.train("lenet_d2l", data=str(data), recipe="fast", quiet=True, **settings)
    result = present(run.result)
    assert (result["temperature"], result["calibration_images"]) == (None, 0) and run.temperature is None
    err = cli("predict", run.path, next(data.rglob("*.png")), "--min-confidence", 0.4)[2]
    assert "probabilities are not calibrated" in err and "no validation images" in " ".join(err.split())
    with pytest.raises(UsageError, match="between 0 and 1"):
        run.predict(next(data.rglob("*.png")), min_confidence=1.5)


def test_a_class_named_unknown_is_marked(tmp_path: Path, cli: CommandLine) -> None:
    from support.onnx_files import colors_onnx

    model = colors_onnx(tmp_path / "x.onnx", classes=("unknown", "b", "c"))
    save(tmp_path / "red.png", np.full((8, 8, 3), (250, 0, 0), np.uint8))
    assert "unknown (a class)" in cli("predict", model, "red.png", "--min-confidence", 0.5)[1]
    line = json.loads(cli("predict", model, "red.png", "--min-confidence", 0.5, "--jsonl")[1])
    assert (line["answer"], line["rejected"]) == ("unknown", False)
