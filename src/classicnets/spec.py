"""The options of the command line and of the Python functions. Each option is one field (see `options.py`).

`RunSpec` defines what a run computes; `cn.train`, the command line, `run.json` and resuming all use it. `Output` and
`StudyOptions` define where results go and how many runs there are. Needs neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from classicnets import machine
from classicnets.errors import UsageError
from classicnets.options import check_options, note_new_spelling, option, read_count, read_size, rename_old
from classicnets.text import _, command
from classicnets.values import RENAMED_SETTINGS, Recipe, current_names, stored_names

ON_BAD_IMAGE = ("fail", "skip")
PARALLEL_FORMS = ("ddp", "towers", "hybrid", "auto")
EXPORT_FORMATS = ("onnx", "torch", "web", "executorch", "triton")
EXPORT_INPUTS = ("pixels", "float")
CHANNEL_ORDERS = ("rgb", "bgr")
SMALLEST_SCALE, LARGEST_SCALE = 1e-6, 1e6  # factors of pixels
WEIGHT_TARGETS = ("torchvision", "caffe", "mxnet", "gluon")
MAX_LOSS = 5.0  # percentage points of test accuracy that int8 quantization may cost by default

# Options of several commands: keyword arguments of `option`.
DEVICE: dict[str, Any] = {"help": "device: auto, cpu, cuda, cuda:1, mps", "group": "machine", "metavar": "DEVICE"}
PRECISION: dict[str, Any] = {
    "help": "floating-point precision; auto: bfloat16 on hardware that supports it, for networks above 2M MACs",
    "group": "machine",
    "choices": machine.PRECISIONS,
}
SETTINGS: dict[str, Any] = {"group": "recipe", "flag": "--set", "shown": ""}
NET_FILE: dict[str, Any] = {
    "help": "file that defines the network, instead of the one that the run used",
    "group": "recipe",
    "metavar": "FILE.py:NET",
    "shown": "",
}
BAD_IMAGE: dict[str, Any] = {
    "help": "handling of images that cannot be read",
    "group": "data",
    "choices": ON_BAD_IMAGE,
}
TRUST: dict[str, Any] = {
    "help": "run Python code of a run folder from elsewhere, and use files that other programs have changed",
    "group": "machine",
}
MIN_CONFIDENCE: dict[str, Any] = {
    "help": "answer unknown if the largest probability, calibrated on validation images, is below this",
    "group": "output",
    "metavar": "P",
    "shown": "",
    "minimum": 0,
    "maximum": 1,
}
OFFLINE: dict[str, Any] = {"help": "do not download anything (as with CLASSICNETS_OFFLINE=1)", "group": "data"}


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What a run computes, as the user has specified it; `training.plan` resolves it.

    `net` is a name of the registry, "file.py:net", a graph file or a run folder; "" for a module that is passed in
    Python. `settings` change the recipe, or the network if their names begin with `net.`; `variation` changes the
    network and has no such prefix.
    """

    net: str = option(
        "",
        help="name from `classicnets list`, file.py:net, a graph file NAME.graph.json, or a run folder, whose network"
        " is built with new weights",
        metavar="NET",
        nargs="?",
    )

    data: str | None = option(
        None,
        help="data set, folder of images or of IDX files, or CSV file; with --resume, where that of the run is now",
        group="data",
        metavar="NAME",
        shown="the recipe's",
        resumes=True,
    )
    limit: int | None = option(
        None,
        help="number of training images, drawn at random with the seed",
        group="data",
        metavar="N",
        shown="all",
    )
    on_bad_image: str = option(ON_BAD_IMAGE[0], **BAD_IMAGE)
    loader_threads: int = option(
        0,
        help="number of threads that load batches in advance, or of processes that decode images while training",
        group="data",
        metavar="N",
        shown="0, or one process for each core",
        minimum=0,
        resumes=True,
    )

    recipe: str | Recipe | None = option(
        None,
        help="source of the recipe",
        group="recipe",
        metavar="SOURCE",
        shown="chosen for a folder of images; else the one published for the network, or fast for your own",
    )
    settings: Mapping[str, Any] = option(
        dict,
        **SETTINGS,
        help="change the recipe (epochs=3) or the network (net.activation=relu)",
        metavar="KEY=VALUE",
    )
    variation: Mapping[str, Any] = option(dict, help="layers to replace, as in `vary`", flag="")
    weights: str | None = option(
        None,
        help="initialize with the weights of a file or run; the last layer is new if the classes differ",
        group="recipe",
        metavar="FILE",
        shown="",
    )

    seed: int = option(
        0, help="seed of all random numbers", group="run", metavar="N", minimum=-(2**63), maximum=2**63 - 1
    )

    device: str = option("auto", **DEVICE)
    precision: str | None = option(
        None,
        **PRECISION,
        shown="auto",
    )
    threads: int | None = option(
        None,
        help="number of CPU threads",
        group="machine",
        metavar="N",
        shown="all",
        read=read_count,
        minimum=1,
    )
    batch_threads: int | None = option(
        None,
        help="number of Python threads over which each batch is split",
        group="machine",
        metavar="N",
        shown="chosen by network and number of CPU threads",
        read=read_count,
        minimum=1,
    )
    parallel: str | None = option(
        None,
        help="how several processes share a run: ddp (each has a part of every batch), towers (each has half of a"
        " network of two towers), hybrid (ddp, but each has a part of the dense layers), auto (the cheapest); with"
        " any of them, one process draws the same dropout masks as several",
        group="processes",
        choices=PARALLEL_FORMS,
        shown="ddp with several processes",
    )
    local_batch_norm: bool = option(
        False,
        help="normalize over each process's part of a batch, instead of the whole batch",
        group="processes",
    )
    keep_epochs: bool = option(
        False, help="keep the weights of every epoch, which `export --format web` then shows", group="run"
    )
    deterministic: bool = option(False, help="use only deterministic algorithms", group="machine")

    def __post_init__(self) -> None:
        for name in self.settings:
            if name in RENAMED_SETTINGS:
                note_new_spelling(name, RENAMED_SETTINGS[name])
        object.__setattr__(self, "settings", current_names(self.settings))
        for name in ("data", "weights"):
            if isinstance(path := getattr(self, name), Path):
                object.__setattr__(self, name, str(path))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the keys of settings that `values.stored_names` gives."""
        values = asdict(self)
        if isinstance(self.recipe, Recipe):
            values["recipe"] = self.recipe.to_dict()
        return {**values, "settings": stored_names(self.settings), "variation": dict(self.variation)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Return the spec in the facts of a run.json; for version 0.1, which has none, one from its other facts."""
        if "spec" not in facts:
            known = {f.name for f in fields(cls)} - {"net", "recipe"}
            return cls(**{key: value for key, value in facts.items() if key in known})
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in facts["spec"].items() if key in known}
        if isinstance(values.get("recipe"), dict):
            values["recipe"] = Recipe.from_dict(values["recipe"])
        return cls(**{**values, "settings": current_names(values.get("settings", {}))})

    def with_seed(self, seed: int) -> Self:
        """Return a copy with another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a run is saved, how its progress is reported and what it may open; results do not depend on it."""

    runs: str = option("runs", help="folder in which run folders are created", group="output", metavar="FOLDER")
    save_every: float = option(
        300.0, help="seconds between checkpoints within an epoch", group="output", metavar="SECONDS", minimum=0
    )
    tensorboard: bool = option(False, help="write scalars for TensorBoard to RUN/tensorboard", group="output")
    quiet: bool = option(False, help="do not show progress", flag="")
    trust: bool = option(False, **TRUST)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """How many runs of one spec, or of each arm of a study, there are, and where they are trained."""

    seeds: int | None = option(
        None,
        help="number of runs with consecutive seeds, starting with the seed of the run, or the first one of the study",
        group="run",
        metavar="N",
        shown="1, or that of the study",
        minimum=1,
    )
    parallel_runs: int | None = option(
        None,
        help="number of runs in parallel",
        group="run",
        metavar="N",
        shown="chosen by timing a few steps",
        read=int,
        minimum=1,
        old_flags=("--side-by-side",),
    )
    ray: str | None = option(
        None,
        help="train the runs on a Ray cluster: its address, or auto for the one that is running or else a new one here",
        group="run",
        metavar="ADDRESS",
        shown="",
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes that share a run; its results do not depend on them, except for rounding."""

    processes: int | None = option(
        None,
        help="number of processes on this machine that share the run; for several machines, see docs/scale.md",
        group="processes",
        metavar="N",
        shown="1",
        read=int,
        minimum=1,
    )
    max_restarts: int = option(
        3,
        help="number of times that a run is resumed after a process has failed",
        group="processes",
        metavar="N",
        minimum=0,
    )
    process_timeout: float = option(
        300.0,
        help="longest time that a process waits for the others before the run ends",
        group="processes",
        metavar="SECONDS",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a run is exported. `max_loss` is in percentage points of test accuracy, `size_budget` in bytes.

    Raises:
        UsageError: CN206 for an unknown format, and for an option that has no effect with the others; CN204 for a value
            of the wrong type or out of range.
    """

    format: str = option(
        "onnx",
        help="ONNX file, torch program (.pt2), web page that shows every layer and calculation, ExecuTorch program for"
        " phones (.pte), or model of Triton Inference Server",
        group="output",
        choices=EXPORT_FORMATS,
    )
    input: str = option(
        EXPORT_INPUTS[0],
        help="input of an ONNX file: pixels of images of any size, or float: one resized image, plain operators only",
        group="output",
        choices=EXPORT_INPUTS,
    )
    single_file: bool = option(
        False, help="write the web page as one HTML file, which opens without a web server", group="output"
    )
    min_confidence: float | None = option(None, **MIN_CONFIDENCE)
    int8: bool = option(False, help="quantize to int8, calibrated on training images", group="output")
    max_loss: float | None = option(
        None,
        help="largest drop of test accuracy that --int8 may cause, in percentage points",
        group="output",
        metavar="POINTS",
        shown=f"{MAX_LOSS:g}",
    )
    size_budget: int | None = option(
        None,
        help="write the most accurate file up to this size, such as 300kB, using int8, low-rank dense layers, or both",
        group="output",
        metavar="SIZE",
        shown="",
        read=read_size,
    )
    data: str | None = option(
        None,
        help="where the data of the run is now, if it has moved",
        group="data",
        metavar="DATA",
        shown="where it was",
    )
    license: str = option(
        "unknown",
        help="license of the weights, written to the file",
        group="output",
        metavar="TEXT",
        old_flags=("--licence",),
    )

    def __post_init__(self) -> None:
        if isinstance(data := getattr(self, "data"), Path):  # noqa: B009 (a caller may pass a path)
            object.__setattr__(self, "data", str(data))
        if self.format not in EXPORT_FORMATS:
            raise UsageError("CN206", _("unknown export format {name!r}", name=self.format), hint="--format onnx")
        if self.format in {"torch", "executorch"} and (self.int8 or self.size_budget is not None):
            raise UsageError("CN206", _("--int8 and --size-budget require the ONNX format"), hint="--format onnx")
        if self.format == "web" and self.size_budget is not None:
            raise UsageError(
                "CN206",
                _("--size-budget has no effect on a web page, whose network is shown as it was trained"),
                hint=command("--format", "onnx"),
            )
        if self.single_file and self.format != "web":
            raise UsageError(
                "CN206",
                _("--single-file has no effect without --format web"),
                hint=command("--format", "web", "--single-file"),
            )
        if self.input == "float" and (self.format != "onnx" or self.int8 or self.size_budget is not None):
            raise UsageError(
                "CN206",
                _("--input float is a plain ONNX file: it has no other format, no int8 and no size budget"),
                hint="--input float",
            )
        if self.max_loss is not None and self.size_budget is not None:
            raise UsageError(
                "CN206",
                _("--max-loss has no effect with --size-budget, which writes the most accurate file that fits"),
                where=command("--max-loss", f"{self.max_loss:g}"),
                hint=command("--size-budget", f"{self.size_budget}B"),
            )
        if self.max_loss is not None and not self.int8:
            raise UsageError(
                "CN206",
                _("--max-loss has no effect without --int8"),
                where=command("--max-loss", f"{self.max_loss:g}"),
                hint=command("--int8", "--max-loss", f"{self.max_loss:g}"),
            )
        check_options(self)

    @property
    def is_folder(self) -> bool:
        """Return whether a folder is written, not a file."""
        return self.format == "triton" or (self.format == "web" and not self.single_file)


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """How weights of another library become a run: what the file does not say, and what is changed.

    Raises:
        UsageError: CN204 for a value of the wrong type or out of range.
    """

    graph: str | None = option(
        None,
        help="definition of the network: deploy.prototxt, NAME-symbol.json or NAME.graph.json",
        group="network",
        metavar="FILE",
        shown="that in the file, or NAME-symbol.json beside NAME.params",
    )
    net: str | None = option(
        None,
        help="network of `classicnets list`, if the tensors fit several",
        group="network",
        metavar="NET",
        shown="found by the tensors",
    )
    classes: str | None = option(
        None, help="text file with the name of a class on each line", group="network", metavar="FILE", shown="numbers"
    )
    new_head: bool = option(
        False, help="replace the last layer by a new one for the classes of --classes, to be trained", group="network"
    )
    groups: int | None = option(
        None,
        help="number of groups of the convolutions: 1 makes grouped weights dense, with zeros between the groups; 2"
        " splits dense weights that have such zeros",
        group="network",
        metavar="N",
        shown="as in the file",
        minimum=1,
    )
    gray: bool = option(False, help="convert a network for color images to one for gray images", group="network")
    mean: str | None = option(
        None,
        help="mean image (.binaryproto), or the mean of each channel from 0 to 255 in the order of the file's channels,"
        " such as 104,117,123",
        group="preprocessing",
        metavar="MEAN",
        shown="that of --graph, or of the network's recipe",
    )
    scale: float | None = option(
        None,
        help="factor of pixels from 0 to 255, after the mean is subtracted",
        group="preprocessing",
        metavar="FACTOR",
        shown="that of --graph, or of the network's recipe",
        minimum=SMALLEST_SCALE,
        maximum=LARGEST_SCALE,
    )
    channel_order: str | None = option(
        None,
        help="order of the color channels that the weights expect; weights for BGR are reversed, because networks here"
        " read RGB",
        group="preprocessing",
        choices=CHANNEL_ORDERS,
        shown="bgr for Caffe, rgb for others",
    )
    settings: Mapping[str, Any] = option(
        dict,
        help="how images are resized, cropped and normalized, such as resize=256 fit=crop views=10 mean=0.5 std=0.25;"
        " mean and std are for pixels from 0 to 1",
        group="preprocessing",
        metavar="KEY=VALUE",
        flag="--set",
        shown="the network's recipe",
    )

    def __post_init__(self) -> None:
        check_options(self)


def run_spec(net: Any, /, **options: Any) -> tuple[RunSpec, Any | None]:
    """Make a RunSpec from the arguments of a call such as cn.train("lenet_d2l", seed=1, epochs=3).

    Args:
        net: a registry name, "file.py:net", a graph file, a run folder, a RunSpec, or a module.
        options: fields of RunSpec; all others are settings of the recipe.

    Returns:
        The spec, and the module if `net` is one, else None.
    """
    options = rename_old(options, RunSpec)
    known = {f.name for f in fields(RunSpec)}
    own = {key: value for key, value in options.items() if key in known}
    settings = {key: value for key, value in options.items() if key not in known}
    if isinstance(net, RunSpec):
        settings = {**net.settings, **own.pop("settings", {}), **settings}
        return replace(net, **own, settings=settings), None
    own["settings"] = {**(own.get("settings") or {}), **settings}
    own["variation"] = dict(own.get("variation") or {})
    if isinstance(net, str | Path):
        return RunSpec(net=str(net), **own), None
    return RunSpec(**own), net


def check_spec(spec: RunSpec) -> None:
    """Raise UsageError CN204 for values of the wrong type, out of range, or in contradiction to each other."""
    check_options(spec)
    if spec.limit is not None and spec.limit < 1:
        raise UsageError("CN204", _("--limit {n}: must be at least one image", n=spec.limit), hint="--limit 512")
    precision = str(spec.settings.get("precision", spec.precision))
    if spec.precision is not None and precision != spec.precision:
        raise UsageError(
            "CN204",
            _("the precision is given twice, with different values"),
            where=command("--precision", spec.precision, "--set", f"precision={precision}"),
            hint=command("--precision", spec.precision),
        )


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How models are served over HTTP.

    Raises:
        UsageError: CN204 for a value of the wrong type or out of range.
    """

    host: str = option("127.0.0.1", help="address to listen on; 0.0.0.0 for all", group="run", metavar="ADDRESS")
    port: int = option(8000, help="port; 0 for any that is free", group="run", metavar="PORT", minimum=0, maximum=65535)
    workers: int = option(1, help="number of processes that answer requests", group="run", metavar="N", minimum=1)
    no_page: bool = option(False, help="show no web page", group="run")
    access_log: bool = option(False, help="print a line for each request to standard error", group="output")
    token: bool = option(False, help="answer only requests with a token, which is chosen and printed", group="access")
    token_file: str | None = option(
        None,
        help="file with the token; without it, the environment variable CLASSICNETS_TOKEN counts",
        group="access",
        metavar="FILE",
        shown="",
    )
    allow_host: str = option(
        "", help="further host names that clients use, separated by commas", group="access", metavar="NAMES", shown=""
    )
    cors: str = option(
        "", help="origins whose web pages may send requests, separated by commas", group="access", metavar="ORIGINS"
    )
    max_body: int = option(
        16_000_000,
        help="largest body of a request",
        group="limits",
        metavar="SIZE",
        read=read_size,
        shown="16MB",
        minimum=1,
    )
    max_pixels: int = option(
        50_000_000, help="largest number of pixels of an image", group="limits", metavar="N", minimum=1
    )
    max_files: int = option(100, help="largest number of images in a request", group="limits", metavar="N", minimum=1)
    max_waiting: int = option(
        512, help="largest number of requests that a process answers at a time", group="limits", metavar="N", minimum=1
    )
    timeout: float = option(
        30.0, help="longest time for a request, and for stopping", group="limits", metavar="SECONDS", minimum=0.01
    )

    def __post_init__(self) -> None:
        check_options(self)
