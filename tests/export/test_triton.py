"""The model of Triton: the file of `--format onnx`, a configuration that Triton reads, and the names of the classes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

import classicnets as cn
from classicnets.errors import CheckFailed, UsageError
from classicnets.evaluation.exported import KEY
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.export import network_file, triton
from classicnets.export.result import Exported
from classicnets.values import Preprocess
from support.command_line import CommandLine

CONFIG = """\
# Written by classicnets.
backend: "onnxruntime"
max_batch_size: 32
version_policy: { latest: { num_versions: 1 } }
input [
  {
    name: "pixels"
    data_type: TYPE_UINT8
    dims: [ -1, -1, 3 ]
  }
]
output [
  {
    name: "probabilities"
    data_type: TYPE_FP32
    dims: [ 10 ]
    label_filename: "labels.txt"
  }
]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { max_queue_delay_microseconds: 1000 }
model_warmup [
  {
    name: "black image"
    batch_size: 1
    inputs: {
      key: "pixels"
      value: { data_type: TYPE_UINT8 dims: [ 28, 28, 3 ] zero_data: true }
    }
  }
]
"""


@pytest.fixture(scope="module")
def run(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> cn.Run:
    runs = tmp_path_factory.mktemp("runs")
    trained: cn.Run = cn.train("lenet_1989", recipe="fast", data=str(blobs), quiet=True, runs=runs, epochs=1, limit=64)
    return trained


@pytest.fixture(scope="module")
def exported(run: cn.Run, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return run.export(tmp_path_factory.mktemp("models") / "blobs", format="triton", license="MIT")


@pytest.fixture(scope="module")
def model(exported: Exported) -> Path:
    assert exported.format == "triton" and exported.path.name == "blobs"
    assert exported.bytes == sum(file.stat().st_size for file in exported.path.rglob("*") if file.is_file())
    return exported.path


def test_the_configuration_is_the_one_that_was_checked_with_tritons_schema(model: Path) -> None:
    assert (model / triton.CONFIG).read_text() == CONFIG


def test_triton_reads_the_configuration() -> None:
    """Needs tritonclient[grpc], which has Triton's schema; the text above was checked with version 2.73.0."""
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]")
    text_format = pytest.importorskip("google.protobuf.text_format")
    config = text_format.Parse(CONFIG, schema.ModelConfig())
    assert config.max_batch_size == 32 and list(config.input[0].dims) == [-1, -1, 3]


def test_the_configuration_agrees_with_the_graph(model: Path) -> None:
    session = onnxruntime.InferenceSession(str(model / triton.MODEL), providers=["CPUExecutionProvider"])
    ((pixels, outputs),) = zip(session.get_inputs(), session.get_outputs(), strict=True)
    assert (pixels.name, pixels.type) == (INPUT, "tensor(uint8)") and outputs.name == OUTPUT
    assert [isinstance(size, str) for size in pixels.shape] == [True, True, True, False]  # -1 in the configuration
    assert outputs.shape == ["N", 10] and pixels.shape[0] == "N"


def test_averaged_views_count_as_images_of_a_batch() -> None:
    text = triton.config(Preprocess(channels=3, image_size=12, resize=16, views=10), 2)
    assert "max_batch_size: 3\n" in text and "dims: [ 16, 16, 3 ]" in text


def test_the_file_is_that_of_the_onnx_format(model: Path, run: cn.Run, tmp_path: Path) -> None:
    run.export(tmp_path / "net.onnx", license="MIT")
    files = [onnx.load(file) for file in (model / triton.MODEL, tmp_path / "net.onnx")]
    facts = []
    for file in files:
        facts.append({entry.key: entry.value for entry in file.metadata_props}[KEY])
        del file.metadata_props[:]
    assert files[0].SerializeToString() == files[1].SerializeToString()
    times = [re.sub(r'"created_at": "[^"]*"', "", text) for text in facts]
    assert times[0] == times[1] and times[0] != facts[0]
    assert cn.load(model / triton.MODEL).classes == run.classes


def test_labels_are_the_classes_in_order(model: Path, run: cn.Run) -> None:
    assert (model / triton.LABELS).read_text().splitlines() == list(run.classes)
    assert triton.labels(("a b", "new\nline", "Größe")).split("\n") == ["a b", "new\\nline", "Größe", ""]


def test_replaces_only_its_own_models(
    model: Path, run: cn.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("classicnets.api.models.export", lambda *_, **__: None)  # is reached if it is not refused
    run.export(model, format="triton")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.pbtxt").write_text("backend: 'python'")
    (tmp_path / "more/2").mkdir(parents=True)
    (tmp_path / "more/config.pbtxt").write_text(CONFIG)
    (tmp_path / "more/2/model.onnx").write_text("another version")
    for name, reason in {"file": "it is a file", "mine": "config.pbtxt", "more": "2/model.onnx"}.items():
        with pytest.raises(UsageError, match="no Triton model that classicnets has written") as caught:
            run.export(tmp_path / name, format="triton")
        assert caught.value.code == "CN206" and reason in caught.value.why
        assert caught.value.hints == (f"-o {tmp_path / name}-triton",)


def test_nothing_is_left_of_a_model_that_differs(run: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(part: Path, *_: Any) -> None:
        part.write_text("a file that differs")
        raise CheckFailed("CN102", "it differs")

    monkeypatch.setattr(network_file, "write_network", refuse)
    with pytest.raises(CheckFailed):
        run.export(tmp_path / "model", format="triton")
    assert [*tmp_path.iterdir()] == []


def test_the_command_names_the_server(
    run: cn.Run, exported: Exported, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(part: Path, *_: Any) -> Exported:
        part.write_text("a model")
        return exported

    monkeypatch.setattr(network_file, "write_network", write)
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("export", run.path, "--format", "triton")
    assert code == 0, err
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"{run.path.name}-triton"
    assert f"next: tritonserver --model-repository {tmp_path}   # serves all models" in out
    code, out, err = cli("export", run.path, "--format", "triton", "-o", "other", "--json")
    assert code == 0 and json.loads(out)["format"] == "triton" and json.loads(out)["path"] == "other"
    for words, text in (
        (("-o", "net.onnx"), "which is a folder of files"),
        (("--input", "float"), "--input float is a plain ONNX file"),
        (("--single-file",), "--single-file has no effect without --format web"),
    ):
        code, _out, err = cli("export", run.path, "--format", "triton", *words)
        assert code == 2 and text in " ".join(err.split())
