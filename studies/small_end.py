"""Compare our `fast` recipes with timm's best networks under a million parameters: same time, machine, images and loop.

    python studies/small_end.py                      (both data sets, under 40 minutes on 2 quiet cores)
    python studies/small_end.py --data signs --minutes 1
    python studies/small_end.py --quick              (a trial run of two or three minutes; writes no results)
    python studies/small_end.py --count              (list every timm model under a million parameters; minutes)

Data: Fashion-MNIST (28x28 grayscale, 60,000 training images) and the signs of examples/make_images.py (32x32 color,
6,000). `classicnets.train` trains every network from random weights with the images, augmentation, AdamW and one-cycle
schedule of the recipe `fast`; ours also use its initialization and, on Fashion-MNIST, its batch size. Each network gets
as many epochs as fit into the minutes.

Short trainings choose on held-out training images, and their time is reported: for timm's networks how small images are
fed (the first two strides of 2 set to 1, the first only, or images enlarged to 64 pixels); for both sides the learning
rate and, by timing steps, float32 or bfloat16 and the memory format. The best two of each side are trained in full and
evaluated once on the test split. The best choice for seconds may not be the best for minutes, which may
disadvantage timm's networks.

Needs timm; with onnxruntime, onnx and onnxscript it also times the exported networks. Writes
studies/results/small_end.json.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import classicnets
from classicnets import machine
from classicnets.datasets.types import Description, ImageSplits
from classicnets.evaluation.evaluate import evaluate
from classicnets.evaluation.predictor import Predictor
from classicnets.events import Epoch
from classicnets.images import batches, loading
from classicnets.recipes import resolve
from classicnets.spec import run_spec
from classicnets.training import objective
from classicnets.training.loop import Scores, take_step
from classicnets.training.loop import train as train_loop
from classicnets.training.plan import Plan, plan
from classicnets.training.state import State

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "small_end.json"
SIGNS = HERE.parent / "build" / "small_end" / "signs"

# One of each family of convolutional nets that has one under a million parameters (`--count`), the larger where the
# family has several; and timm's own tiny networks. Pure attention networks are left out: their patches are 16 pixels.
PEERS = (
    "dla46x_c",
    "lcnet_050",
    "mnasnet_small",
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_050",
    "mobilevit_xxs",
    "starnet_s100",
    "tinynet_e",
    "test_byobnet",
    "test_convnext",
    "test_efficientnet",
    "test_resnet",
)
MAX_PARAMETERS = 1_000_000
LARGE = 64  # pixels; what small ones are enlarged to
RATES = (0.003, 0.01)
FIRST_TRY = 1 / 30  # of the minutes: nets and sizes are compared at the first rate
RATE_TRY = 1 / 9  # longer, as deep nets without batch normalization stay at the loss of chance for some epochs
HELD_OUT: dict[str, Any] = {"validation": 0.1, "monitor": "validation"}
FINALISTS = 2

OURS: dict[str, dict[str, dict[str, str]]] = {
    "fashion_mnist": {"lenet_d2l": {"activation": "relu", "pool": "max"}, "alexnet_28": {}},
    "signs": {"lenet_d2l": {"activation": "relu", "pool": "max"}, "cifar10_26pct": {"pool": "max"}},
}
COMMON: dict[str, dict[str, Any]] = {
    "fashion_mnist": {"flip": True, "views": 2, "shift": 1, "mean": (0.286,), "std": (0.353,)},
    # a mirror image of 3 is none; batches of 64, as there are few images
    "signs": {"flip": False, "views": 1, "shift": 2, "batch_size": 64, "mean": (0.45,), "std": (0.2,)},
}
OUR_WEIGHTS = "xavier_uniform"  # on the signs, where no recipe was tuned: ours have no batch normalization to lift them


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """A network of the comparison, ours or a timm model, for images of `size`, with the first `strides` of 2 made 1."""

    net: str
    ours: bool
    size: int
    strides: int = 0
    lr: float = RATES[0]
    precision: str = "float32"
    channels_last: bool = False

    @property
    def form(self) -> str:
        """How the images get in, in words."""
        strides = ("", ", first stride 1", ", first two strides 1")[self.strides]
        return f"{self.size} px{strides}"

    def build(self, data: str, description: Description, seed: int) -> nn.Module:
        """The network with random weights from the seed. Raises RuntimeError if these strides do not fit it."""
        net = self._build(data, description, seed)
        return net.to(memory_format=torch.channels_last) if self.channels_last else net  # type: ignore[call-overload]

    def _build(self, data: str, description: Description, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        channels, classes = description.shape[0], len(description.classes)
        if self.ours:
            exchanged = OURS[data][self.net]
            return classicnets.create(
                self.net, num_classes=classes, in_channels=channels, image_size=self.size, variation=exchanged
            )
        net: nn.Module = import_module("timm").create_model(self.net, num_classes=classes, in_chans=channels)
        _halve_strides(net, self.strides)
        with torch.inference_mode():
            net.eval()(torch.zeros(1, channels, self.size, self.size))
        return net

    def settings(self, data: str, own_size: int) -> dict[str, Any]:
        """What is put on top of the recipe: the data set's augmentation, at the size of the images, and what was
        chosen.
        """
        common = dict(COMMON[data])
        common["shift"] = round(common["shift"] * self.size / own_size)
        if self.ours and data == "signs":
            common["initialize"] = OUR_WEIGHTS
        return {**common, "image_size": self.size, "lr": self.lr, "precision": self.precision}

    def recipe(self, data: str) -> classicnets.Recipe:
        """Its own `fast` recipe if there is one, else the one for any network."""
        exchanged = OURS[data][self.net] if self.ours else {}
        return resolve.find("fast", self.net, registered=self.ours, variation=exchanged)


def _halve_strides(net: nn.Module, times: int) -> None:
    """Halves the stride of this number of strided convolutions or pooling layers, from the first."""
    strided = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d) and _pair(m.stride)[0] > 1]
    for layer in strided[:times]:
        layer.stride = (_pair(layer.stride)[0] // 2,) * 2


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else value


class Arena:
    """A data set on which the networks are compared; caches its images by size, and the tried settings."""

    def __init__(self, name: str, spec: str, minutes: float, say: Callable[[str], None]):
        self.name, self.spec, self.seconds, self.say = name, spec, 60 * minutes, say
        self.description = loading.describe(spec)
        self.size = self.description.native_size()
        self.images: dict[int, ImageSplits] = {}
        self.tries: list[dict[str, Any]] = []

    def plan(self, entrant: Entrant, seed: int, **settings: Any) -> Plan:
        """The plan of a training of this entrant."""
        values = {**entrant.settings(self.name, self.size), **HELD_OUT, **settings}
        net = entrant.build(self.name, self.description, seed)
        return plan(
            *run_spec(net, data=self.spec, recipe=entrant.recipe(self.name), settings=values, seed=seed, device="cpu")
        )

    def read(self, planned: Plan) -> ImageSplits:
        """The images as this plan wants them."""
        side = planned.preprocess.side if planned.description.decoded else 0
        if side not in self.images:
            self.images[side] = loading.load(self.spec, planned.preprocess)
        return self.images[side]

    def speed(self, entrant: Entrant) -> float:
        """Training images a second, from steps of half a second after two that warm up."""
        planned = self.plan(entrant, 0)
        train, cpu = self.read(planned).train, torch.device("cpu")
        indices, _ = batches.hold_out(train, 0.0, 4096, 0)
        loader = batches.Batches(train, planned.recipe, planned.preprocess, seed=0, device=cpu, indices=indices)
        state = State(planned.build(self.say).train(), planned.recipe)
        loss = objective.make(planned.recipe, loader.labels, len(planned.description.classes))
        step_count, seconds, epoch, started = -2, 0.0, 0, 0.0
        while seconds < 0.5 or step_count < 3:
            epoch += 1
            for x, y in loader.epoch(epoch):
                take_step(state, x, y, 1e-4, planned.recipe, loss)
                step_count += 1
                if step_count == 0:
                    started = time.perf_counter()
                seconds = time.perf_counter() - started if step_count > 0 else 0.0
                if step_count >= 3 and seconds >= 0.5:
                    break
        return step_count * planned.recipe.batch_size / seconds

    def fastest(self, entrant: Entrant) -> tuple[Entrant, float]:
        """The entrant in the precision and layout that is fastest here, and its images a second."""
        variants = (("float32", False), ("float32", True), ("bfloat16", True))
        entrants = [
            replace(entrant, precision=precision, channels_last=channels_last) for precision, channels_last in variants
        ]
        return max(((e, self.speed(e)) for e in entrants), key=lambda row: row[1])

    def attempt(self, entrant: Entrant, speed: float, share: float) -> float:
        """Validation accuracy after a short training; neither it nor anything else here looks at the test split."""
        seconds = self.seconds * share
        count, held_out_count = batches.split_sizes(
            self.description.train or _count(self.spec), HELD_OUT["validation"], None
        )
        epochs, limit = max(1, int(seconds * speed / count)), max(512, int(seconds * speed))
        planned = self.plan(entrant, 0, epochs=epochs)
        train, cpu = self.read(planned).train, torch.device("cpu")
        train_indices, validation = batches.hold_out(train, planned.recipe.validation, limit, 0)
        assert validation is not None and len(validation) == held_out_count
        loader = batches.Batches(train, planned.recipe, planned.preprocess, seed=0, device=cpu, indices=train_indices)
        state = State(planned.build(self.say), planned.recipe)
        loss = objective.make(planned.recipe, loader.labels, len(planned.description.classes))
        train_seconds = sum(
            e.seconds for e in train_loop(state, loader, planned.recipe, loss, Scores) if isinstance(e, Epoch)
        )
        judge = Predictor(state.evaluated_net, planned.preprocess, planned.description.classes, torch.device("cpu"))
        accuracy = evaluate(judge, validation)[0].accuracy
        row = {
            **asdict(entrant),
            "form": entrant.form,
            "validation_accuracy": accuracy,
            "seconds": round(train_seconds, 1),
        }
        self.tries.append(row | {"epochs": epochs, "pictures": len(train_indices)})
        self.say(
            f"  try  {entrant.net:<28} {entrant.form:<28} lr {entrant.lr:<6g} {entrant.precision:<9}"
            f" {accuracy:.4f}  {train_seconds:.1f} s, {speed:,.0f} images/s"
        )
        return accuracy


Candidate = tuple[float, Entrant, float]  # validation accuracy of its best try, the entrant, training images a second


def choose(arena: Arena, peers: tuple[str, ...]) -> list[Candidate]:
    """The best of each side, with their rates, by validation accuracy."""
    ours = [Entrant(net=net, ours=True, size=arena.size) for net in OURS[arena.name]]
    theirs = [Entrant(net=net, ours=False, size=arena.size, strides=2) for net in peers]
    chosen = []
    for side in (ours, theirs):
        candidates = _rank(arena, side)
        if side is theirs:
            forms: tuple[dict[str, Any], ...] = ({"strides": 1}, {"strides": 0, "size": LARGE})
            others = [replace(e, **form) for _, e, _ in candidates[: FINALISTS + 1] for form in forms]
            candidates = _best_forms([*candidates, *_rank(arena, others)])
        chosen += [_with_best_rate(arena, best) for best in candidates[:FINALISTS]]
    return chosen


def _rank(arena: Arena, entrants: list[Entrant]) -> list[Candidate]:
    """Those whose strides fit, best first."""
    candidates = []
    for entrant in entrants:
        try:
            quick, speed = arena.fastest(entrant)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            arena.tries.append({**asdict(entrant), "form": entrant.form, "left_out": reason})
            arena.say(f"  left out: {entrant.net}, {entrant.form}: {reason}")
            continue
        candidates.append((arena.attempt(quick, speed, FIRST_TRY), quick, speed))
    return sorted(candidates, key=lambda row: -row[0])


def _best_forms(candidates: list[Candidate]) -> list[Candidate]:
    """One row per network, best first."""
    best: dict[str, Candidate] = {}
    for row in sorted(candidates, key=lambda row: -row[0]):
        best.setdefault(row[1].net, row)
    return list(best.values())


def _with_best_rate(arena: Arena, candidate: Candidate) -> Candidate:
    _, entrant, speed = candidate
    entrants = [replace(entrant, lr=lr) for lr in RATES]
    return max(((arena.attempt(e, speed, RATE_TRY), e, speed) for e in entrants), key=lambda row: row[0])


def compete(arena: Arena, candidate: Candidate, seeds: int) -> dict[str, Any]:
    """The whole training, as many epochs as fit the minutes, and the one look at the test split."""
    validation, entrant, speed = candidate
    train, held_out_count = batches.split_sizes(arena.description.train or _count(arena.spec), 0.05, None)
    exact = arena.seconds / ((train + held_out_count / 3) / speed)
    epochs, limit = (int(exact), None) if exact >= 1 else (1, int(exact * train))
    accuracies, minutes = [], []
    for seed in range(seeds):
        net = entrant.build(arena.name, arena.description, seed)
        with tempfile.TemporaryDirectory() as runs:
            run = classicnets.train(
                net,
                data=arena.spec,
                recipe=entrant.recipe(arena.name),
                seed=seed,
                device="cpu",
                limit=limit,
                runs=runs,
                quiet=True,
                **{**entrant.settings(arena.name, arena.size), **HELD_OUT, "validation": 0.05, "epochs": epochs},
            )
            assert run.result is not None
            accuracies.append(run.result["test_accuracy"])
            minutes.append(run.result["seconds"] / 60)
            facts = run.facts
    net = run.net.float().eval()
    net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stubs lack it
    image = torch.rand(1, *run.predictor.preprocess.shape)
    mean = statistics.mean(accuracies)
    return {
        "data": arena.name,
        "net": entrant.net,
        "variation": OURS[arena.name][entrant.net] if entrant.ours else {},
        "side": "classicnets" if entrant.ours else "timm",
        "form": entrant.form,
        "lr": entrant.lr,
        "precision": entrant.precision,
        "channels_last": entrant.channels_last,
        "batch_size": facts["recipe"]["batch_size"],
        "epochs": epochs,
        "limit": limit,
        "n": seeds,
        "test_accuracies": accuracies,
        "test_accuracy": mean,
        "standard_error_of_the_pictures": math.sqrt(mean * (1 - mean) / facts["result"]["n"]),
        "validation_accuracy_of_the_try": validation,
        "minutes": statistics.mean(minutes),
        "parameters": facts["parameters"],
        "weights_kB": sum(t.numel() * t.element_size() for t in net.state_dict().values()) / 1000,
        "macs": facts["macs"],
        "views": facts["recipe"]["views"],
        "ms_eager": milliseconds(lambda: net(image)),
        "ms_onnxruntime": _onnx_milliseconds(net, image),
    }


def milliseconds(work: Callable[[], object], seconds: float = 1.0) -> float:
    """The median time of one call on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: list[float] = []
    try:
        with torch.inference_mode():
            for _ in range(5):
                work()
            while sum(times) < seconds or len(times) < 20:
                started = time.perf_counter()
                work()
                times.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return 1000 * statistics.median(times)


def _onnx_milliseconds(net: nn.Module, image: Tensor) -> float | None:
    """The same of the exported net; None without the packages, or if it cannot be exported."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        return None
    file = io.BytesIO()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(net, (image,), dynamo=True, verbose=False)
            assert exported is not None
            exported.save(file)  # type: ignore[arg-type]  # it takes an open file as well
    except Exception as error:  # whatever the exporter raises: that net has no such time
        print(f"  no ONNX of {type(net).__name__}: {type(error).__name__}", file=sys.stderr)
        return None
    finally:
        logging.disable(logging.NOTSET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: image.numpy()}
    return milliseconds(lambda: session.run(None, inputs))


def _count(spec: str) -> int:
    return len(loading.load(spec).train)


def load_timm() -> None:
    """Imports timm, or ends with what is missing."""
    # torchvision built for CUDA asks for two operators that a CPU build of torch lacks; nothing here calls them
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    load_timm.library = library  # type: ignore[attr-defined]  # gone with the last reference
    try:
        import_module("timm")
    except ImportError as error:
        raise SystemExit(f"small_end.py needs {error.name}, which is not installed: pip install timm") from error


def count() -> None:
    """Prints every timm model under a million parameters with 10 classes."""
    timm = import_module("timm")
    for name in timm.list_models():
        with torch.device("meta"):
            try:
                net = timm.create_model(name, num_classes=10)
            except Exception as error:  # a model that needs another package, or real tensors while it is made
                print(f"{name}: not counted, {type(error).__name__}", file=sys.stderr)
                continue
        if (parameters := sum(p.numel() for p in net.parameters())) < MAX_PARAMETERS:
            print(f"{parameters:>9,}  {name}", flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown, best accuracy first within a data set."""
    lines = [
        "| data | net | form | test accuracy | kB | ms (eager) | ms (onnxruntime) | parameters | MACs | minutes | lr |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(rows, key=lambda r: (r["data"], -r["test_accuracy"])):
        onnx = "-" if r["ms_onnxruntime"] is None else f"{r['ms_onnxruntime']:.2f}"
        exchanged = " ".join(r["variation"].values())
        accuracy = f"{r['test_accuracy']:.4f} +- {r['standard_error_of_the_pictures']:.4f}"
        lines.append(
            f"| {r['data']} | {r['side']}: {r['net']} {exchanged} | {r['form']} | {accuracy}"
            f" (n = {r['n']}) | {r['weights_kB']:,.0f} | {r['ms_eager']:.2f} | {onnx} | {r['parameters']:,}"
            f" | {r['macs']:,} | {r['minutes']:.1f} | {r['lr']:g} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=3.0, help="minutes of training per selected network (default: 3)"
    )
    parser.add_argument("--data", nargs="+", choices=OURS, default=[*OURS], help="data sets (default: both)")
    parser.add_argument("--peers", nargs="+", default=list(PEERS), metavar="NAME", help="timm models to choose from")
    parser.add_argument("--seeds", type=int, default=1, help="full trainings of each network (default: 1)")
    parser.add_argument("--quick", action="store_true", help="a trial run: two peers, three seconds, no results")
    parser.add_argument("--count", action="store_true", help="list timm's models under a million parameters")
    args = parser.parse_args()
    load_timm()
    if args.count:
        return count()
    if args.quick:
        args.minutes, args.peers = 0.05, ["lcnet_050", "test_resnet"]
    rows, tries, search_minutes = [], {}, {}
    load_before = os.getloadavg()[0]
    machine.keep_memory()
    for name in args.data:
        if name == "signs" and not SIGNS.is_dir():
            script = HERE.parent / "examples" / "make_images.py"
            subprocess.run([sys.executable, str(script), str(SIGNS)], check=True)
        arena = Arena(name, str(SIGNS) if name == "signs" else name, args.minutes, lambda line: print(line, flush=True))
        print(f"{name}: {arena.size} px, {len(arena.description.classes)} classes")
        started = time.perf_counter()
        chosen = choose(arena, tuple(args.peers))
        search_minutes[name], tries[name] = (time.perf_counter() - started) / 60, arena.tries
        print(f"  chosen in {search_minutes[name]:.1f} minutes")
        for candidate in chosen:
            rows.append(compete(arena, candidate, args.seeds))
            print(
                f"  {rows[-1]['net']}: {rows[-1]['test_accuracy']:.4f} in {rows[-1]['minutes']:.2f} minutes", flush=True
            )
    print(table(rows))
    if args.quick:
        return None
    result = {
        "what": "accuracy on the test split after the same minutes of training from random weights",
        "minutes": args.minutes,
        "minutes_of_choosing": search_minutes,
        "rows": rows,
        "tries": tries,
        "timm": metadata.version("timm"),
        "pillow": metadata.version("pillow"),
        "threads": torch.get_num_threads(),
        "load_before": load_before,
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
