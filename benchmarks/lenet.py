"""LeNet on Fashion-MNIST: the book's loop, plain PyTorch and other libraries against ours, in one run.

    python benchmarks/lenet.py                              (five to six minutes on 2 quiet cores)
    python benchmarks/lenet.py --parts prediction
    python benchmarks/lenet.py --mxnet-python mxnet-env/bin/python

command     the whole command, cold: `classicnets train lenet_d2l` in a new process, ten epochs with evaluation and its
            run folder, with nothing compiled or cached except the data; against a process that trains the book's way
            (peers/book.py), imports included. Our accuracy has to be in the book's range.
epoch       a later epoch of both, with evaluation; ours also saves its state.
prediction  one image at a time, from array to probabilities: `load(RUN).predictor` and `load(FILE).predictor` (the file
            exported from the run) against plain PyTorch in float32; and the file against onnxruntime's session with it.
            The file needs pip install 'classicnets[export]'.
peers       such an epoch in Keras 3 on JAX (pip install keras jax, or --keras-python for another environment) and in
            MXNet 1.9.1, which needs its own environment:
                python -m venv mxnet-env && mxnet-env/bin/pip install mxnet==1.9.1 "numpy<1.24"

Each pair gives a ratio; the median counts. torchvision prepares the book's images if it is installed.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from classicnets.api.models import Run
from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.local import cache_folder
from classicnets.datasets.types import ImageSplits
from classicnets.errors import ClassicnetsError
from classicnets.evaluation.classify import Classifier
from classicnets.evaluation.onnx import INPUT, OUTPUT, OnnxClassifier
from classicnets.evaluation.predictor import Predictor
from classicnets.events import Epoch
from classicnets.images import loading
from classicnets.recipes import resolve
from classicnets.spec import Output, run_spec
from classicnets.training.plan import Plan, plan
from classicnets.training.session import Session
from peers import book
from timing import Pairs, Row, arguments, clock, compared, conditions, pair_by_pair, skip, write

HERE = Path(__file__).parent
PARTS = ("command", "epoch", "prediction", "peers")
BOOK = "the book's loop: PIL, ToTensor, DataLoader of 4 workers, `.item()` a batch"
EAGER = "eager PyTorch, float32, softmax"
CALLS = 200  # of a prediction, for one reading


class Ours:
    """A training in this process, an epoch at a time."""

    def __init__(self, planned: Plan, runs: Path):
        self.training = Session.start(planned, lambda _: None, Output(runs=str(runs)))
        self.events = self.training.events()
        self.last: Epoch | None = None

    @property
    def path(self) -> Path:
        """The run folder, in which the state is after every epoch."""
        return self.training.folder.path

    def epoch(self) -> None:
        """One epoch with its evaluation, saved."""
        self.last = next(event for event in self.events if isinstance(event, Epoch))


class Peer:
    """Another library's program, which trains for an epoch whenever it is sent a line and says how long it took."""

    def __init__(self, python: str, script: str, data: Path):
        line = [python, str(HERE / "peers" / script), str(data)]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def epoch(self) -> float:
        """Its seconds of an epoch with evaluation."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        reply = self._read()
        self.facts["test_accuracy"] = reply["test_accuracy"]
        return float(reply["seconds"])

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("its program has ended")
        reply: dict[str, Any] = json.loads(line)
        return reply


def command(pairs: int, epochs: int) -> Row:
    """The whole command against the whole of the book's program."""
    files = [str(path) for path in sources.obtain(DATASETS["fashion_mnist"]).paths.values()]
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []

    def our_command() -> float:
        with tempfile.TemporaryDirectory(prefix="lenet-") as name:
            environment = bare(Path(name))
            line = [sys.executable, "-m", "classicnets", "train", "lenet_d2l", "--json", "--runs", f"{name}/runs"]
            line += ["--set", f"epochs={epochs}"] if epochs != 10 else []
            return timed(line, ours, environment)

    def the_books() -> float:
        line = [sys.executable, str(HERE / "peers" / "book.py"), "--net", "lenet", "--epochs", str(epochs), *files]
        return timed(line, theirs, plain)

    plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory(prefix="lenet-") as name:  # so that both have byte code, as what is installed has
        short = ["--limit", "256", "--set", "epochs=1", "--runs", f"{name}/runs", "--json"]
        timed([sys.executable, "-m", "classicnets", "train", "lenet_d2l", *short], [], plain)
        timed([sys.executable, str(HERE / "peers" / "book.py"), "--net", "lenet", "--steps", "1", *files], [], plain)
    readings = pair_by_pair(our_command, the_books, pairs=pairs, warm_up=0)
    expected = resolve.find("d2l", "lenet_d2l", registered=True).expected
    assert expected is not None
    accuracies = [result["test_accuracy"] for result in ours]
    return compared(
        readings,
        what=f"the whole command, cold: {epochs} epochs of the book's LeNet with evaluation",
        ours=f"`classicnets train lenet_d2l`, nothing cached but the data; test accuracy {accuracies[-1]:.4f}",
        theirs=f"a program with {BOOK}; {theirs[-1]['epochs'][-1]:.4f}",
        at_least=2.5,
        reach=4.0,
        facts={
            "our_accuracies": accuracies,
            "their_accuracies": [result["epochs"][-1] for result in theirs],
            "expected_range": [expected.low, expected.high],
            "in_range": all(expected.low <= accuracy <= expected.high for accuracy in accuracies),
            "their_transforms": theirs[0]["transforms"],
        },
    )


def bare(folder: Path) -> dict[str, str]:
    """The environment with caches in `folder` that contain only the data."""
    cached = cache_folder(DATASETS["fashion_mnist"])
    cache = folder / "cache"
    if cached.is_dir():
        shutil.copytree(cached, cache / "data" / "fashion_mnist")
    empty = {
        "CLASSICNETS_CACHE": cache,
        "TORCHINDUCTOR_CACHE_DIR": folder / "inductor",
        "TRITON_CACHE_DIR": folder / "t",
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, **{name: str(path) for name, path in empty.items()}}


def timed(line: list[str], results: list[dict[str, Any]], environment: dict[str, str]) -> float:
    """Seconds of the command; the JSON that it prints goes to `results`."""
    started = time.perf_counter()
    process = subprocess.run(line, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    seconds = time.perf_counter() - started
    results.append(json.loads(process.stdout))
    return seconds


def epoch(ours: Ours, splits: ImageSplits, pairs: int) -> Row:
    """A later epoch of both, with evaluation."""
    device = ours.training.device
    transform, whose = book.find_transform(28)
    train, test = splits.train, splits.test
    batches = book.loader("lenet", train.images[:, 0], train.labels, transform, shuffle=True)
    test_batches = book.loader("lenet", test.images[:, 0], test.labels, transform, shuffle=False)
    net = book.lenet().to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=book.RATE["lenet"])
    accuracies: list[float] = []

    def the_books() -> None:
        book.train(net, batches, optimizer, device)
        accuracies.append(book.accuracy(net, test_batches, device))

    readings = pair_by_pair(clock(ours.epoch), clock(the_books), pairs=pairs)
    assert ours.last is not None
    return compared(
        readings,
        what="a later epoch with evaluation, batches of 256",
        ours=f"`classicnets train lenet_d2l`, {ours.training.plan.recipe.precision}, including saving its state",
        theirs=BOOK,
        at_least=3.0,
        reach=6.0,
        facts={
            "our_accuracy": ours.last.test_accuracy,
            "their_accuracy": accuracies[-1],
            "their_transforms": whose,
            "plan": ours.training.plan.lines(),
        },
    )


def plainly(net: nn.Module, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Logits by plain PyTorch in float32, of uint8 images [N, 1, 28, 28]."""

    def logits(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            output: torch.Tensor = net(images.to(device).to(torch.float32) / 255)
            return output

    return logits


def predictions(model: Run, plain: nn.Module, images: np.ndarray, folder: Path, pairs: int) -> Iterator[Row | str]:
    """The probabilities of one image at a time: from the run and, with the extra, from the file exported from it."""
    assert isinstance(model.predictor, Predictor)
    logits, device = plainly(plain, model.predictor.device), model.predictor.device
    ones = itertools.cycle([images[i : i + 1] for i in range(CALLS)])

    def eager() -> np.ndarray:
        return logits(torch.from_numpy(next(ones)).to(device)).softmax(1).cpu().numpy()

    def by(classifier: Classifier) -> Callable[[], np.ndarray]:
        return lambda: classifier.probabilities(next(ones))

    readings = pair_by_pair(clock(by(model.predictor), CALLS), clock(eager, CALLS), pairs=pairs)
    yield compared(
        readings,
        what="prediction of one image, warm",
        ours="`load(RUN).predictor.probabilities`",
        theirs=EAGER,
        at_least=3.0,
        facts=microseconds(readings),
    )
    try:
        file = OnnxClassifier(model.export(folder / "lenet.onnx").path)
    except ClassicnetsError as error:
        if error.code != "CN403":
            raise
        yield skip("onnxruntime", "pip install 'classicnets[export]'")
        return
    color = [np.ascontiguousarray(np.broadcast_to(x, (3, 28, 28)).transpose(1, 2, 0)[None]) for x in images[:CALLS]]
    pixels = itertools.cycle(color)
    for whose, theirs in (
        (EAGER, eager),
        ("onnxruntime's session with the same file", lambda: file.session.run([OUTPUT], {INPUT: next(pixels)})),
    ):
        readings = pair_by_pair(clock(by(file), CALLS), clock(theirs, CALLS), pairs=pairs)
        yield compared(
            readings,
            what="prediction of one image, warm, by the file exported from the run",
            ours="`load(FILE).predictor.probabilities`",
            theirs=whose,
            facts=microseconds(readings),
        )


def microseconds(readings: Pairs) -> dict[str, float]:
    """The medians, for people."""
    return {
        "our_microseconds": 1e6 * float(np.median(readings.ours)),
        "their_microseconds": 1e6 * float(np.median(readings.theirs)),
    }


def peers(
    ours: Ours, splits: ImageSplits, programs: dict[str, tuple[str, str, str]], pairs: int
) -> Iterator[Row | str]:
    """An epoch of each other library that is there; for one that is not, the line that says so."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        data, (train, test) = Path(folder) / "fashion_mnist.npz", (splits.train, splits.test)
        np.savez(data, x=train.images[:, 0], y=train.labels, x_test=test.images[:, 0], y_test=test.labels)
        for name, (python, script, how) in programs.items():
            if not python:
                yield skip(name, how)
                continue
            try:
                with Peer(python, script, data) as peer:
                    if "missing" in peer.facts:
                        yield skip(name, f"{how}; {peer.facts['missing']}")
                        continue
                    readings = pair_by_pair(clock(ours.epoch), peer.epoch, pairs=pairs)
            except (OSError, RuntimeError) as error:
                yield skip(name, f"it failed: {error}")
                continue
            yield compared(
                readings,
                what=f"a later epoch with evaluation, against {name}",
                ours="`classicnets train lenet_d2l`, including saving its state",
                theirs=f"{name}: the same layers and batches of 256, images as floats in memory",
                facts=peer.facts,
            )


def main() -> int:
    parser = arguments(__doc__, name="lenet", pairs=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--cold-pairs", type=int, default=1, help="pairs of readings of the whole command (default: 1)")
    parser.add_argument(
        "--epochs", type=int, default=10, help="epochs of the whole command (default: 10, as in the book)"
    )
    parser.add_argument("--keras-python", default=sys.executable, metavar="PATH", help="a Python with keras and jax")
    parser.add_argument("--mxnet-python", default="", metavar="PATH", help="a Python with mxnet 1.9.1")
    args = parser.parse_args()
    before = conditions()
    splits = loading.load("fashion_mnist")
    rows: list[Row] = []
    skipped: list[str] = []
    if "command" in args.parts:
        rows.append(command(args.cold_pairs, args.epochs))
    with tempfile.TemporaryDirectory(prefix="lenet-") as name:
        folder = Path(name)
        ours = Ours(
            plan(*run_spec("lenet_d2l", settings={"epochs": 1000})), folder
        )  # the rate is constant, and few are taken
        if "epoch" in args.parts:
            rows.append(epoch(ours, splits, args.pairs))
        if "peers" in args.parts:
            programs = {
                "Keras on JAX": (args.keras_python, "keras_lenet.py", "pip install keras jax"),
                "MXNet 1.9.1": (args.mxnet_python, "mxnet_lenet.py", "--mxnet-python PATH, see -h"),
            }
            for row in peers(ours, splits, programs, args.pairs):
                (skipped if isinstance(row, str) else rows).append(row)  # type: ignore[arg-type]
        if ours.last is None:
            ours.epoch()
        model, images = Run(ours.path), splits.test.images[:]
        plain = Run(ours.path).net.eval()
        if "prediction" in args.parts:
            for row in predictions(model, plain, images, folder, 3 * args.pairs):
                (skipped if isinstance(row, str) else rows).append(row)  # type: ignore[arg-type]
        ours.events.close()
    write(args.out, rows, before, skipped=skipped)
    outside = [row for row in rows if row.facts.get("in_range") is False and args.epochs == 10]
    for row in outside:
        print(f"outside the book's range {row.facts['expected_range']}: {row.facts['our_accuracies']}", file=sys.stderr)
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
