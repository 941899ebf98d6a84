"""Trained models: runs, several runs with different seeds, and exported files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets import handwriting as handwritten
from classicnets import machine, report
from classicnets.acceleration.prepare import choose
from classicnets.api.answers import Evaluation, Predictions
from classicnets.datasets.types import Say, print_to_stderr
from classicnets.errors import MachineError, UsageError
from classicnets.evaluation.classify import Decoder, Prediction
from classicnets.evaluation.evaluate import Accepted
from classicnets.evaluation.executorch import ExecutorchClassifier
from classicnets.evaluation.exported import ExportedFile, describe
from classicnets.evaluation.model import Model as CoreModel
from classicnets.evaluation.model import Watch, check_on_bad_image
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.evaluation.predictor import BATCH, Predictor
from classicnets.evaluation.program import ProgramClassifier
from classicnets.evaluation.rejection import Calibration
from classicnets.export.result import Exported
from classicnets.export.source import ExportSource
from classicnets.export.targets import check_size, check_target, target
from classicnets.export.write import export
from classicnets.images import inputs
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import Input
from classicnets.models.modules import complete, copy_module, unwrap
from classicnets.options import documented, option_fields, option_words, rename_old
from classicnets.runs import checkpoint, folder, net_spec
from classicnets.runs import data as run_data
from classicnets.spec import ExportOptions
from classicnets.studies.folder import ONLY_ARM, StudyFolder
from classicnets.studies.seeds import spread
from classicnets.text import _, command, note

__all__ = ["Accepted", "Evaluation", "Exported", "ExportedFile", "Input", "Model", "Prediction", "Run", "Seeds"]
__all__ += ["count_inputs", "decoder", "describe", "load", "spread", "stream"]

# of exported files, by their suffixes
CLASSIFIERS: dict[str, type[OnnxClassifier | ProgramClassifier | ExecutorchClassifier]] = {
    ".onnx": OnnxClassifier,
    ".pt2": ProgramClassifier,
    ".pte": ExecutorchClassifier,
}


class Model(CoreModel):
    """A trained model: a run (see `Run`), or an exported file (see `load`)."""

    def predict(  # type: ignore[override]
        self,
        *images: Any,
        top: int = 3,
        handwriting: bool = False,
        min_confidence: float | None = None,
        on_bad_image: str = "fail",
    ) -> Predictions:
        """Return the `top` most probable classes of each image.

        Args:
            images: Files, folders, globs, CSV lists, or "-" for standard input; or images in memory: uint8 arrays or
                tensors [H, W], [H, W, C], [C, H, W] or batches [N, ...], PIL images, bytes, open files; or lists of all
                of these.
            top: Number of classes for each image.
            handwriting: Each image is a photographed or drawn character; it is centered and scaled as in MNIST.
            on_bad_image: "fail", or "skip" to leave out images that cannot be read.
            min_confidence: Predictions whose largest probability is below this are `rejected`. The probabilities are
                then calibrated by the temperature that the run has fitted on its validation images, if it has any.

        Returns:
            A list with one prediction for each image; for an image that cannot be read, it has an `error` and no
            classes. A notebook shows the list as a table.

        Raises:
            DataError: CN304, there is no image, or an object is none; CN307, a CSV list is not valid.
            UsageError: CN206, `on_bad_image` is unknown.
        """
        check_on_bad_image(on_bad_image)
        decode = decoder(handwriting=handwriting)
        found = super().predict(*images, top=top, decode=decode, min_confidence=min_confidence)
        return Predictions(prediction for prediction in found if on_bad_image == "fail" or not prediction.error)

    def evaluate(
        self,
        data: str | Path | None = None,
        *,
        on_bad_image: str = "fail",
        min_confidence: float | None = None,
        include_trained: bool = False,
        say: Say = print_to_stderr,
        watch: Watch = iter,
    ) -> Evaluation:
        """Evaluate the model on labeled images, whose classes are matched by name.

        Args:
            data: A data set name, a folder, or a CSV list with classes (default: the test split of the training data).
                If it has a test split, only that is used; otherwise all images are used. Images that the model was
                trained on do not count, unless the training split of the same data has them too.
            on_bad_image: "fail", or "skip" to leave out image files that cannot be read.
            min_confidence: See `rejecting`; the result then has `accepted`.
            include_trained: Whether images that the model was trained on count.
            say: Receives notes about the data.
            watch: Receives the list of image files and yields them again, for progress reporting.

        Returns:
            The metrics; a notebook shows them as a table, with those of each class.

        Raises:
            DataError: CN304, an image cannot be read; CN306, the training data has changed, or the network does not
                know a class; CN307, the folder or list is not valid; CN309, the model was trained on all images.
            UsageError: CN206, `data` is needed, `on_bad_image` is unknown, or it or `include_trained` has no effect.
        """
        metrics = super().evaluate(
            data,
            on_bad_image=on_bad_image,
            min_confidence=min_confidence,
            include_trained=include_trained,
            say=say,
            watch=watch,
        )
        device = str(getattr(self.predictor, "device", "cpu"))
        place = Path(str(data or self.data)).name
        return Evaluation.of(metrics, self.classes, model=self.name, data=place, device=device)


def decoder(*, handwriting: bool) -> Decoder:
    """Return the function that reads an image file for a network, as it is or as a handwritten character."""
    return handwritten.read_handwriting if handwriting else read_fitted


def stream(
    model: CoreModel,
    places: Sequence[str],
    top: int,
    *,
    handwriting: bool = False,
    min_confidence: float | None = None,
    say: Say = lambda _: None,
) -> Iterator[tuple[Input, Prediction]]:
    """Yield each image of files, folders, globs, CSV lists or "-" with its prediction; images are not kept in memory.

    `say` receives notes about folders and lists.
    """
    images, decode = inputs.find_images(places, say=say), decoder(handwriting=handwriting)
    return model.stream(images, top=top, decode=decode, min_confidence=min_confidence)


def count_inputs(places: Sequence[str], say: Say) -> int | None:
    """Count the images; None if they come from standard input, which can be read only once.

    `say` receives notes about folders and lists.

    Raises:
        DataError: CN304, there is no image, or an object is none; CN307, a CSV list is not valid.
    """
    return None if inputs.STDIN in places else sum(1 for _image in inputs.find_images(places, say=say))


def load(
    path: str | Path,
    *,
    net: nn.Module | str | None = None,
    device: str = "auto",
    precision: str = "float32",
    trust: bool = False,
) -> Model:
    """Load a trained model from a run folder (see `Run`) or from a file that was exported from a run.

    Loading a .pt2 file can run code, as torch.export.load does: load only files that you trust.

    Args:
        path: The run folder, or the .onnx, .pt2 or .pte file.
        net: See `Run`; not for an exported file, which contains its network.
        device: See `Run`; an exported file runs on the CPU.
        precision: See `Run`; an exported file has its own precision.
        trust: See `Run`.

    Raises:
        UsageError: What `Run` raises; for an exported file CN206, it has `net`, another device or another precision.
        DataError: What `Run` raises; CN308, the exported file is damaged or was not exported by classicnets.
        MachineError: CN403, onnxruntime or ExecuTorch is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in CLASSIFIERS:
        return Run(path, net=net, device=device, precision=precision, trust=trust)
    changes = {"net": net is not None, "device": device not in {"auto", "cpu"}, "precision": precision != "float32"}
    if any(changes.values()):
        options = ", ".join(name for name, changed in changes.items() if changed)
        raise UsageError(
            "CN206",
            _("these options do not apply to an exported file: {options}", options=options),
            where=str(path),
            why=_("the file contains the network, which runs on the CPU in the precision of the file"),
            hint=_("the same without {options}", options=options),
        )
    exported = CLASSIFIERS[path.suffix.lower()](path, trust=trust)
    facts = exported.facts
    return Model(
        exported,
        path=path,
        name=str(facts.get("net", path.stem)),
        weights=path.name,
        data=facts.get("data_name") or None,
        fingerprint=facts.get("fingerprint") or None,
        size_fingerprint=facts.get("size_fingerprint"),
        copies=facts.get("copies"),
        accuracy=facts.get("test_accuracy"),
        calibration=Calibration.from_facts(facts),
        min_confidence=facts.get("min_confidence"),
        trained_images=facts.get("trained_images"),
    )


class Run(Model):
    """A finished or stopped run, with the best weights if they were saved, else the last weights.

    Args:
        path: The run folder.
        net: A module or "file.py:net"; needed only if the network cannot be built from the folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        precision: "float32", in which the metrics of a run are computed; "float64"; "bfloat16"; or "auto", which
            is bfloat16 if that is faster. In bfloat16, probabilities are rounded in the third digit.
        trust: Whether to run code that was not run on this machine before, and to use files that were changed.

    Raises:
        UsageError: CN204, the precision is unknown; CN207, the folder is not a run, or has no weights; CN212, its
            code is not trusted.
        DataError: CN305, a checkpoint is damaged; CN306, the weights do not fit `net`.
        MachineError: CN402, the device is not available.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        net: nn.Module | str | None = None,
        device: str = "auto",
        precision: str = "float32",
        trust: bool = False,
    ):
        if precision not in machine.PRECISIONS:
            raise UsageError(
                "CN204",
                _("precision must be one of {values}", values=", ".join(machine.PRECISIONS)),
                where=f"precision={precision!r}",
                hint='precision="auto"',
            )
        self.folder = folder.open_run(path)
        self.facts = self.folder.read()
        self.weights_file = self.folder.weights_file()
        tensors, saved = checkpoint.load(self.weights_file, trust=trust)
        self.folder.check_agrees(self.facts, saved, trust=trust)
        spec = self.folder.net_spec(trust=trust) if net is None else self.folder.described_net()
        if isinstance(net, str):
            spec = replace(net_spec.find(net), variation=spec.variation)  # the file has the network without variation
        preprocess = self.folder.preprocess()
        self.net = complete(unwrap(net) if isinstance(net, nn.Module) else spec.build(), preprocess.shape)
        if precision == "float64":
            self.net.double()
        hint = command("classicnets", "show", self.folder.path)
        checkpoint.load_weights(self.net, tensors, self.weights_file, hint=hint)
        torch_device = machine.choose_device(device)
        self.net.to(torch_device).eval()
        macs = self.facts["macs"]
        if precision == "auto":
            precision = machine.choose_precision(str(torch_device), macs)
        acceleration = choose(
            self.net,
            preprocess.shape,
            device=torch_device,
            macs=macs,
            precision=precision,
            threads=torch.get_num_threads(),
            batch_size=BATCH,
        )
        super().__init__(
            Predictor(self.net, preprocess, tuple(self.facts["classes"]), torch_device, precision, acceleration),
            path=self.folder.path,
            name=spec.display_name,
            weights=self.weights_file.name,
            data=self.facts["data"] or None,
            fingerprint=self.facts["fingerprint"] or None,
            size_fingerprint=self.facts.get("size_fingerprint"),
            on_bad_image=self.facts.get("on_bad_image", "fail"),
            copies=self.facts.get("copies"),
            accuracy=self.facts.get("result", {}).get("test_accuracy"),
            calibration=Calibration.of_run(self.facts),
            trained_images=self.folder.read_trained_images(note),
            remember=self._move_data,
        )

    def __repr__(self) -> str:
        result = self.facts.get("result")
        status = "converted" if "converted" in self.facts else "not finished"
        if result:
            status = f"test accuracy {result['test_accuracy']:.4f}"
        return f"Run({str(self.folder.path)!r}: {status})"

    def _repr_html_(self) -> str:
        return report.result_cells.run(self.facts, self.folder.path, net=self.name)

    @property
    def result(self) -> dict[str, Any] | None:
        """The result in run.json, such as the test accuracy; None if the run is not finished."""
        result: dict[str, Any] | None = self.facts.get("result")
        return result

    def _move_data(self, place: str) -> None:
        """Record in the run folder, if it can be written, where the data of the run lies now."""
        self.data = place
        with suppress(MachineError):
            run_data.remember(self.folder, place)

    @documented(ExportOptions)
    def export(self, path: str | Path, *others: Run, **options: Any) -> Exported:
        """Export the network with its preprocessing and classes to one file, a web page, or a model of Triton.

        The file is written only if it computes the same outputs as the network.
        Needs pip install 'classicnets[export]'; for format="executorch" 'classicnets[executorch]'.

        Args:
            path: The file, or the folder of the page or model.
            *others: A run whose network the page shows beside this one.
            **options: See below.

        Raises:
            CheckFailed: CN102 to CN105, the file is not equivalent, not accurate enough or too large; CN107, the page
                is too large.
            UsageError: CN206, the options contradict each other, or a folder would replace other files.
            DataError: CN302, the data for the check is not available; CN306, `data` is not that of the run.
            MachineError: CN401, the file cannot be written; CN403, a package is missing.
        """
        exporting = ExportOptions(**rename_old(options, ExportOptions))
        if len(others) > 1 or (others and exporting.format != "web"):
            raise UsageError(
                "CN206",
                _("a file has one network, and a web page one or two"),
                where=command(self.path, *(run.path for run in others)),
                hint=command("classicnets", "export", self.path, others[0].path, "--format", "web"),
            )
        path = target(Path(path), exporting)
        check_target(path, exporting)  # before the data is read
        runs = [self, *others]
        for run in runs:
            check_size(run.net, run.folder.preprocess(), exporting)
        first, *further = (run._export_source(path, exporting) for run in runs)
        return export(first, path, exporting, *further)

    def _export_source(self, path: Path, options: ExportOptions) -> ExportSource:
        """The run with its data, to export it to `path`."""
        log = report.tables.console(stderr=True).print
        values = [(f, getattr(options, f.name)) for f in option_fields(ExportOptions) if f.name != "data"]
        words = option_words({f.name: value for f, value in values if value != f.default}, ExportOptions)
        retry: list[str | Path] = ["classicnets", "export", self.path, "-o", path, *words]
        source = ExportSource(self.folder, self.net, log, options, retry)
        if options.data is not None and source.place is not None:
            self._move_data(source.place)
        return source


class Seeds:
    """The finished runs of `train_seeds` or `classicnets train --seeds`, and their statistics (`summary`).

    Args:
        path: The folder of the runs.
        net: Needed only if the networks cannot be built from the folder.
        trust: See `Run`.

    Raises:
        UsageError: CN207, the folder has no such runs, or they are not finished.
    """

    def __init__(self, path: str | Path, *, net: nn.Module | None = None, trust: bool = False):
        self.folder = StudyFolder(Path(path), {} if net is None else {ONLY_ARM: net}, trust)
        exists = self.folder.file.is_file() and self.folder.is_of_one_arm
        if not exists or "result" not in self.folder.read():
            raise UsageError(
                "CN207",
                _("{path} is not a folder of finished runs with several seeds", path=path),
                where=str(self.folder.file),
                why=_("the runs were stopped") if exists else _("the file does not exist"),
                hint=command("classicnets", "train", "--resume", Path(path))
                if exists
                else folder.nearest_run(Path(path)),
            )
        self.facts: dict[str, Any] = self.folder.read()
        self.summary: dict[str, Any] = self.facts["result"]

    def __repr__(self) -> str:
        accuracy, n = spread(self.summary["test_accuracy"]), self.summary["n"]
        return f"Seeds({str(self.path)!r}: test accuracy {accuracy}, n = {n} of {self.summary['of']})"

    def _repr_html_(self) -> str:
        return report.result_cells.seeds(self.facts, self.path)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def mean(self) -> float | None:
        """Mean test accuracy; None if no run has a result."""
        mean: float | None = self.summary["test_accuracy"]["mean"]
        return mean

    @property
    def sd(self) -> float | None:
        """Sample standard deviation (n - 1) of the test accuracies; None for fewer than two results."""
        sd: float | None = self.summary["test_accuracy"]["sd"]
        return sd

    @property
    def runs(self) -> list[Run]:
        """The runs that have a result, each with its own network."""
        net, runs = self.folder.nets.get(ONLY_ARM), self.folder.runs()
        finished = [runs[ONLY_ARM, row["seed"]] for row in self.summary["runs"] if "error" not in row]
        trust = self.folder.trust
        return [Run(run.path, net=None if net is None else copy_module(net), trust=trust) for run in finished]
