"""Exports a run as a model of NVIDIA Triton Inference Server: the ONNX file, its configuration, and the class names.

The folder is one model; the folder that it lies in is the model repository. The name of the model is that of the
folder, so that it can be renamed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from classicnets import files
from classicnets.errors import UsageError
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.export import network_file
from classicnets.export.folders import reason_to_keep
from classicnets.export.result import Exported
from classicnets.export.source import ExportSource
from classicnets.spec import ExportOptions
from classicnets.text import _, command, visible
from classicnets.values import Preprocess

CONFIG, LABELS, MODEL = "config.pbtxt", "labels.txt", "1/model.onnx"

_MARK = "# Written by classicnets.\n"
_MAX_BATCH = 32  # images, or views of them
_QUEUE_DELAY = 1000  # microseconds that a request waits for others


def export_model(source: ExportSource, path: Path, options: ExportOptions) -> Exported:
    """Write the folder of the model, in place of the one that is there, if any."""
    try:
        with files.folder_beside(path) as folder:
            (folder / MODEL).parent.mkdir()
            exported = network_file.write_network(folder / MODEL, source, options)
            (folder / CONFIG).write_text(config(source.preprocess, len(source.classes)), encoding="utf-8")
            (folder / LABELS).write_text(labels(source.classes), encoding="utf-8")
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            files.move_folder_into_place(folder, path)
    except OSError as error:
        raise files.cannot_write(path, error, option="-o") from error
    return replace(exported, path=path, bytes=size)


def config(preprocess: Preprocess, class_count: int) -> str:
    """Return the configuration of the model, `ModelConfig` of Triton's model_config.proto as text.

    Triton adds the number of images to the dimensions. Height and width of images are free, but equal within a request;
    requests are batched if their images have the same size. The warm-up allocates memory before the first request.
    """
    side, batch = preprocess.side, max(1, _MAX_BATCH // preprocess.views)
    return f"""{_MARK}\
backend: "onnxruntime"
max_batch_size: {batch}
version_policy: {{ latest: {{ num_versions: 1 }} }}
input [
  {{
    name: "{INPUT}"
    data_type: TYPE_UINT8
    dims: [ -1, -1, 3 ]
  }}
]
output [
  {{
    name: "{OUTPUT}"
    data_type: TYPE_FP32
    dims: [ {class_count} ]
    label_filename: "{LABELS}"
  }}
]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: {_QUEUE_DELAY} }}
model_warmup [
  {{
    name: "black image"
    batch_size: 1
    inputs: {{
      key: "{INPUT}"
      value: {{ data_type: TYPE_UINT8 dims: [ {side}, {side}, 3 ] zero_data: true }}
    }}
  }}
]
"""


def labels(classes: tuple[str, ...]) -> str:
    """Return the class names, one on each line."""
    return "".join(f"{visible(name, one_line=True)}\n" for name in classes)


def check_replaceable(path: Path) -> None:
    """Check that nothing is lost if a model is written to `path`.

    Raises:
        UsageError: CN206 if there is a file, or a folder with other files than those of a model.
    """
    if why := reason_to_keep(path, _own_files):
        raise UsageError(
            "CN206",
            _("{name} exists, and is no Triton model that classicnets has written", name=path.name),
            where=str(path),
            why=why,
            hint=command("-o", path.with_name(f"{path.stem}-triton")),
        )


def _own_files(path: Path) -> set[str]:
    """The files of a model that is in the folder `path`; none if there is none."""
    try:
        is_ours = (path / CONFIG).read_bytes().startswith(_MARK.encode())
    except OSError:
        return set()
    return {CONFIG, LABELS, MODEL} if is_ours else set()
