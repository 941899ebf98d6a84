"""What Python users call: create, train, Run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets import machine
from classicnets.acceleration.prepare import choose
from classicnets.errors import DataError, UsageError
from classicnets.evaluation.model import Model
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.evaluation.predictor import Predictor
from classicnets.export.source import ExportSource
from classicnets.export.write import MOST_LOST, Exported, export
from classicnets.inspection.guard import guard
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Table
from classicnets.models.registry import NETS
from classicnets.report import tables
from classicnets.report.displays import Display
from classicnets.report.notebook import Notebook, in_notebook
from classicnets.report.tensorboard import TensorBoard, summary_writer
from classicnets.report.terminal import SeedsTerminal, Terminal
from classicnets.runs import checkpoint, folder, net_spec
from classicnets.study import seeds as several
from classicnets.training import session as training
from classicnets.training.plan import plan
from classicnets.values import Recipe

_OWN_NET_INPUT = (1, 28, 28)  # what a net of one's own is shown for unless told otherwise: Fashion-MNIST's pictures


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    variation: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A net of the registry for so many classes and input channels and for one picture size (default: as its source).

    The net takes float [N, in_channels, image_size, image_size] and gives logits [N, num_classes]; any other size is
    refused with an explanation. `variation` is what `vary` takes, such as {"activation": "relu", "pool": "max"}.
    Raises UsageError CN202 for an unknown name, CN201 for a size it cannot have, CN204 for what cannot be exchanged.
    """
    made, shape = _registered(
        net_spec.varied(net_spec.find(name), variation or {}), in_channels, image_size, num_classes
    )
    _check(made, shape)
    return guard(made.build(), shape, name=name)


def train(
    net: str | nn.Module,
    *,
    data: str | None = None,
    recipe: str | Recipe | None = None,
    variation: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    limit: int | None = None,
    weights: str | Path | None = None,
    deterministic: bool = False,
    loader_threads: int = 0,
    on_bad_image: str = "fail",
    batch_threads: int | None = None,
    runs: str | Path = "runs",
    quiet: bool = False,
    tensorboard: bool = False,
    **settings: Any,
) -> Run:
    """Trains a net of the registry, of "file.py:net", or any module (in place), and returns the run.

    `settings` are fields of the Recipe, as `--set` takes them: train("lenet_d2l", epochs=3). `variation` exchanges
    layers, as `vary` does: {"activation": "relu", "pool": "max"}; vary a module of your own yourself. Such a one is
    trained by the recipe "fast" unless another is given. `weights`, a file or a run, is what the net begins with.
    With `deterministic`, torch refuses algorithms that are not; `loader_threads` prepare batches ahead; `on_bad_image`
    "skip" leaves out picture files that cannot be read, which are otherwise an error. `batch_threads` is the number of
    threads that share each batch (None: by network and number of CPU threads; 1: as plain PyTorch). Progress goes
    under the cell of a notebook, elsewhere to standard error, unless `quiet`; with `tensorboard`, scalars go to the
    run's folder "tensorboard" as well.
    Raises UsageError, DataError, MachineError before training; CheckFailed CN101 if the loss is not finite.
    """
    if tensorboard:
        summary_writer()  # refused before anything is read if the package is missing
    planned = plan(
        net,
        data=data,
        recipe=recipe,
        settings=settings,
        variation=variation,
        seed=seed,
        device=device,
        limit=limit,
        weights=weights,
        deterministic=deterministic,
        loader_threads=loader_threads,
        on_bad_image=on_bad_image,
        batch_threads=batch_threads,
    )
    console = tables.console(stderr=True, quiet=quiet)
    started = training.start(planned, Path(runs), training.command_line(), console.print)
    faces: list[Display] = [] if quiet else [_notebook(started) if in_notebook() else Terminal(console)]
    if tensorboard:
        faces.append(tensorboard_display(started))
    return follow(started, *faces)


def train_seeds(
    net: str | nn.Module,
    seeds: int = 5,
    *,
    data: str | None = None,
    recipe: str | Recipe | None = None,
    variation: Mapping[str, Any] | None = None,
    seed: int = 0,
    side_by_side: int | None = None,
    device: str = "auto",
    limit: int | None = None,
    weights: str | Path | None = None,
    deterministic: bool = False,
    loader_threads: int = 0,
    on_bad_image: str = "fail",
    runs: str | Path = "runs",
    quiet: bool = False,
    **settings: Any,
) -> Seeds:
    """Trains as `train` does, so many times, with `seed` and the seeds after it, and returns the runs together.

    They run in processes of their own, `side_by_side` at once, by default as many as are faster by measured steps. A
    module is trained in this process, one copy after the other: all begin with its weights as they are, unless the
    recipe initialises, and it stays as it is. A run that fails does not stop the others; see `Seeds.summary`.
    Raises UsageError, DataError, MachineError before training.
    """
    planned = plan(
        net,
        data=data,
        recipe=recipe,
        settings=settings,
        variation=variation,
        seed=seed,
        device=device,
        limit=limit,
        weights=weights,
        deterministic=deterministic,
        loader_threads=loader_threads,
        on_bad_image=on_bad_image,
    )
    console = tables.console(stderr=True, quiet=quiet)
    made = several.start(
        planned, range(seed, seed + seeds), Path(runs), training.command_line(), console.print, at_once=side_by_side
    )
    several.train(made, SeedsTerminal(console, seeds))
    return Seeds(made.path, net=planned.net)


def _notebook(started: training.Training) -> Notebook:
    return Notebook(started.plan.title, started.plan.expected)


def tensorboard_display(started: training.Training) -> TensorBoard:
    """Scalars in the run's folder, from where the run is. Raises MachineError CN403 without the package tensorboard."""
    state = started.state
    steps = started.batches.steps(state.epoch + 1)
    return TensorBoard(started.folder.path / "tensorboard", steps, done=state.epoch * steps + state.step)


def layers(
    what: str,
    *,
    shape: tuple[int, int, int] | None = None,
    num_classes: int | None = None,
    variation: Mapping[str, Any] | None = None,
) -> tuple[str, Table]:
    """The name and the layer table of NET (a registry name, file.py:net or a run) for pictures of `shape`.

    By default the shape is the source's, the run's, or 1x28x28 for a net of your own; `variation` is as for `create`.
    Raises UsageError CN201, CN202, CN204, CN205, CN207.
    """
    made = net_spec.varied(net_spec.find(what), variation or {})
    if made.kind != "registry":
        default = folder.open_run(what).preprocess().shape if Path(what).is_dir() else _OWN_NET_INPUT
        return made.described, _check(made, shape or default)
    if shape is None and Path(what).is_dir():
        shape = folder.open_run(what).preprocess().shape
        num_classes = num_classes or made.num_classes
    if shape and shape[1] != shape[2]:
        raise UsageError(
            "CN201",
            f"{made.name} is made for square pictures",
            where=f"--input {tables.shape(shape)}",
            hint=f"--input {shape[0]}x{shape[1]}x{shape[1]}",
        )
    channels, side = (shape[0], shape[1]) if shape else (None, None)
    made, shape = _registered(made, channels, side, num_classes)
    return made.described, _check(made, shape)


def _registered(
    made: net_spec.NetSpec, in_channels: int | None, image_size: int | None, num_classes: int | None
) -> tuple[net_spec.NetSpec, tuple[int, int, int]]:
    """A net of the registry made for these, or where None as its source has it, and the shape it takes."""
    channels, side, _ = NETS[made.name].input
    shape = (in_channels or channels, image_size or side, image_size or side)
    classes = num_classes or NETS[made.name].classes
    return replace(made, num_classes=classes, in_channels=shape[0], image_size=shape[1]), shape


def _check(made: net_spec.NetSpec, shape: tuple[int, ...]) -> Table:
    with torch.device("meta" if made.kind == "registry" else "cpu"):  # shapes alone are needed
        net = made.build()
    return check_input(net, shape, name=made.described)


def follow(started: training.Training, *faces: Display) -> Run:
    """Trains to the end, showing each event on every face, and returns the run with its results."""
    with ExitStack() as tidied:
        for face in faces:
            tidied.enter_context(face)
        for event in started.events():
            for face in faces:
                face.show(event)
    started.finish()
    return Run(started.folder.path, net=started.net, device=str(started.device))


def load(
    path: str | Path, *, net: nn.Module | str | None = None, device: str = "auto", precision: str = "float32"
) -> Model:
    """What classifies pictures, from a run folder (see `Run`) or from an .onnx file that was exported from one.

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
            batch_size=self.facts["recipe"]["batch_size"],
            batch_threads=self.facts.get("batch_threads", 1),
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

    def export(
        self,
        path: str | Path,
        *,
        format: str = "onnx",
        int8: bool = False,
        max_loss: float = MOST_LOST,
        size_budget: int | None = None,
        licence: str = "unknown",
    ) -> Exported:
        """Writes one file with preprocessing and classes inside, after checking that it computes what the net does.

        `format` "onnx" or "torch" (.pt2); `int8` may cost `max_loss` points of test accuracy; `size_budget`, in bytes,
        takes the most accurate that fits. Needs pip install 'classicnets[export]'.
        Raises CheckFailed CN102 to CN105, UsageError CN206, DataError CN302, MachineError CN401, CN403.
        """
        subject = ExportSource(self.folder, self.net, tables.console(stderr=True).print)
        return export(
            subject,
            Path(path),
            kind=format,
            as_int8=int8,
            most_lost=max_loss,
            size_budget=size_budget,
            licence=licence,
        )


class Seeds:
    """Runs of one plan with several seeds that `train_seeds`, or `classicnets train --seeds`, has trained.

    `net` is needed only where the nets cannot be made from the folder. Raises UsageError CN207 if it is no such folder,
    or if the runs are not finished.
    """

    def __init__(self, path: str | Path, *, net: nn.Module | None = None):
        self.folder = several.SeedsFolder(Path(path), net)
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
        from classicnets.report.seeds import spread  # matplotlib takes half a second to import

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
