"""Trained networks: runs, several runs with different seeds, and exported files."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets import handwriting as handwritten
from classicnets import machine, report
from classicnets.acceleration.prepare import choose
from classicnets.datasets.types import Say
from classicnets.errors import DataError, UsageError
from classicnets.evaluation.classify import Decoder, Prediction
from classicnets.evaluation.evaluate import Evaluation
from classicnets.evaluation.model import Model as CoreModel
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.evaluation.predictor import BATCH, Predictor
from classicnets.export.source import ExportSource
from classicnets.export.write import Exported, export
from classicnets.images import inputs
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input
from classicnets.runs import checkpoint, folder, net_spec
from classicnets.spec import ExportOptions, documented
from classicnets.study.seeds import SeedsFolder, spread

__all__ = ["Evaluation", "Exported", "Input", "Model", "Prediction", "Run", "Seeds", "count_inputs", "decoder", "load"]
__all__ += ["spread", "stream"]


class Model(CoreModel):
    """What classifies images: a run (see `Run`), or an exported file (see `load`)."""

    def predict(  # type: ignore[override]
        self, *images: str | Path, top: int = 3, handwriting: bool = False
    ) -> list[Prediction]:
        """The `top` most probable classes of each image: files, folders, globs, CSV lists, "-" for standard input.

        With `handwriting`, each is a photographed or drawn character and is made into what MNIST's are. One that cannot
        be read has no classes but an `error`. Raises DataError CN304 where there is no image, CN307 for a list.
        """
        return super().predict(*images, top=top, decode=decoder(handwriting=handwriting))


def decoder(*, handwriting: bool) -> Decoder:
    """The function from an image file to what a network is given: as it is, or as a handwritten character."""
    return handwritten.read_handwriting if handwriting else read_fitted


def stream(
    model: CoreModel, places: Sequence[str], top: int, *, handwriting: bool = False
) -> Iterator[tuple[Input, Prediction]]:
    """Each image of files, folders, globs, CSV lists or "-" with its prediction, as they come; nothing is kept."""
    return model.stream(inputs.find_images(places), top=top, decode=decoder(handwriting=handwriting))


def count_inputs(places: Sequence[str], say: Say) -> int | None:
    """How many images there are; None where they come from standard input. `say` reports what was decided about
    folders and lists. Raises DataError CN304, CN307.
    """
    return None if inputs.STDIN in places else sum(1 for _ in inputs.find_images(places, say=say))


def load(
    path: str | Path, *, net: nn.Module | str | None = None, device: str = "auto", precision: str = "float32"
) -> Model:
    """What classifies images, from a run folder (see `Run`) or from an .onnx file that was exported from one.

    Raises what `Run` does; for an .onnx file MachineError CN403 without onnxruntime, DataError CN308 if it is not one
    of ours, UsageError CN206 for a `net`, a `device` other than the CPU, or a `precision` other than float32.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        return Run(path, net=net, device=device, precision=precision)
    given = {"net": net is not None, "device": device not in {"auto", "cpu"}, "precision": precision != "float32"}
    if any(given.values()):
        raise UsageError(
            "CN206",
            f"an .onnx file takes no {', no '.join(name for name, one in given.items() if one)}",
            where=str(path),
            why="the net is in the file, and it is computed as it is there, on the CPU",
        )
    exported = OnnxClassifier(path)
    facts = exported.facts
    return Model(
        exported,
        path=path,
        name=str(facts.get("net", path.stem)),
        weights=path.name,
        data=facts.get("data_name"),
        fingerprint=facts.get("fingerprint"),
    )


class Run(Model):
    """A finished (or stopped) run: its net, with the best weights if there are any, else the last.

    `net`, a module or "file.py:net", is needed only where the net cannot be made from the folder. It computes in
    float32, as the figures of a run are measured; with `precision` "bfloat16" or "auto", which takes it where that is
    faster, probabilities are rounded in the third digit.
    Raises UsageError CN204 for another precision, CN207 if it is not a run or has no weights, DataError CN305 for a
    damaged checkpoint.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        net: nn.Module | str | None = None,
        device: str = "auto",
        precision: str = "float32",
    ):
        if precision not in machine.PRECISIONS:
            raise UsageError(
                "CN204",
                f"precision must be one of {', '.join(machine.PRECISIONS)}",
                where=f"precision={precision!r}",
                hint='precision="auto"',
            )
        self.folder = folder.open_run(path)
        self.facts = self.folder.read()
        self.weights_file = self.folder.weights_file()
        tensors, _ = checkpoint.load(self.weights_file)
        made = self.folder.net_spec()
        if isinstance(net, str):
            made = replace(net_spec.find(net), variation=made.variation)  # the file has the net as it was before
        self.net = net if isinstance(net, nn.Module) else made.build()
        try:
            self.net.load_state_dict(checkpoint.weights(tensors))
        except RuntimeError as error:
            raise DataError(
                "CN306",
                "the weights of the run do not fit this net",
                where=str(self.weights_file),
                why="; ".join(line.strip() for line in str(error).splitlines()[1:3]),
                hint=f"classicnets show {self.folder.path}",
            ) from error
        chosen = machine.choose_device(device)
        self.net.to(chosen).eval()
        macs = self.facts["macs"]
        if precision == "auto":
            precision = machine.choose_precision(str(chosen), macs)
        preprocess = self.folder.preprocess()
        faster = choose(
            self.net,
            preprocess.shape,
            device=chosen,
            macs=macs,
            precision=precision,
            threads=torch.get_num_threads(),
            batch_size=BATCH,
        )
        super().__init__(
            Predictor(self.net, preprocess, tuple(self.facts["classes"]), chosen, precision, faster),
            path=self.folder.path,
            name=made.described,
            weights=self.weights_file.name,
            data=self.facts["data"],
            fingerprint=self.facts["fingerprint"],
            on_bad_image=self.facts.get("on_bad_image", "fail"),
        )

    def __repr__(self) -> str:
        result = self.facts.get("result")
        tail = f"test accuracy {result['test_accuracy']:.4f}" if result else "not finished"
        return f"Run({str(self.folder.path)!r}: {tail})"

    @property
    def result(self) -> dict[str, Any] | None:
        """Test accuracy, verdict and so on, as in run.json; None if the run is not finished."""
        found: dict[str, Any] | None = self.facts.get("result")
        return found

    @documented(ExportOptions)
    def export(self, path: str | Path, **options: Any) -> Exported:
        """Writes one file with preprocessing and classes inside, after checking that it computes what the network does.

        Needs pip install 'classicnets[export]'. Raises CheckFailed CN102 to CN105, UsageError CN206, DataError CN302,
        MachineError CN401, CN403.
        """
        if "licence" in options:
            options["license"] = options.pop("licence")
        source = ExportSource(self.folder, self.net, report.tables.console(stderr=True).print)
        return export(source, Path(path), ExportOptions(**options))


class Seeds:
    """Runs of one plan with several seeds that `train_seeds`, or `classicnets train --seeds`, has trained.

    `net` is needed only where the nets cannot be made from the folder. Raises UsageError CN207 if it is no such folder,
    or if the runs are not finished.
    """

    def __init__(self, path: str | Path, *, net: nn.Module | None = None):
        self.folder = SeedsFolder(Path(path), net)
        if not self.folder.file.is_file() or "result" not in self.folder.read():
            raise UsageError(
                "CN207",
                f"{path} is not a folder of finished runs with several seeds",
                where=str(self.folder.file),
                why="they were stopped" if self.folder.file.is_file() else "there is no such file",
                hint=f"classicnets train --resume {path}" if self.folder.file.is_file() else "ls runs",
            )
        self.summary: dict[str, Any] = self.folder.read()["result"]

    def __repr__(self) -> str:
        accuracy, n = spread(self.summary["test_accuracy"]), self.summary["n"]
        return f"Seeds({str(self.path)!r}: test accuracy {accuracy}, n = {n} of {self.summary['of']})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def mean(self) -> float | None:
        """The mean test accuracy; None if no run has a result."""
        found: float | None = self.summary["test_accuracy"]["mean"]
        return found

    @property
    def sd(self) -> float | None:
        """The standard deviation (n - 1) of the test accuracies; None for less than two."""
        found: float | None = self.summary["test_accuracy"]["sd"]
        return found

    @property
    def runs(self) -> list[Run]:
        """The finished runs, each opened anew with a net of its own."""
        net, runs = self.folder.net, self.folder.runs()
        finished = [runs[row["seed"]] for row in self.summary["runs"] if "error" not in row]
        return [Run(run.path, net=copy.deepcopy(net)) for run in finished]
