"""Evaluate networks from run folders, against a plain loop in eager float32, in one run.

    python benchmarks/evaluation.py                         (about two minutes on 2 quiet cores)
    python benchmarks/evaluation.py lenet_caffe --pairs 15

From Fashion-MNIST's test images in memory to probabilities: `load(RUN).predictor` against batches of plain PyTorch with
images prepared by the same function. Networks that are large enough are also evaluated with
`load(RUN, precision="auto")` where the hardware supports bfloat16; the target applies to what "auto" chooses. The
networks are trained for one step.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from classicnets.api.models import Run
from classicnets.evaluation.predictor import Predictor
from classicnets.images import loading
from classicnets.images.transforms import views
from classicnets.spec import run_spec
from classicnets.training.plan import plan
from lenet import Ours
from timing import Row, arguments, clock, compared, conditions, pair_by_pair, write

NETS = ("lenet_d2l", "lenet_caffe", "alexnet_28", "alexnet_d2l")
WORK = 30_000_000_000  # multiplications of one reading; of a large net's images there are fewer


def evaluation(name: str, images: np.ndarray, folder: Path, pairs: int) -> list[Row]:
    """The classes of the images, in float32 and in what "auto" chooses."""
    few = {"epochs": 1, "batch_size": 16, "validation": 0, "monitor": "none"}
    trained = Ours(
        plan(
            *run_spec(
                name, data="fashion_mnist", recipe=None if name.endswith("_d2l") else "fast", settings=few, limit=16
            )
        ),
        folder,
    )
    trained.epoch()
    trained.events.close()
    exact, auto = (Run(trained.path, precision=precision) for precision in ("float32", "auto"))
    assert isinstance(exact.predictor, Predictor)
    preprocess, device = exact.predictor.preprocess, exact.predictor.device
    plain = exact.folder.net_spec().build()
    plain.load_state_dict(exact.net.state_dict())
    plain.to(device).eval()
    subset = images[: max(256, WORK // trained.training.plan.table.macs)]
    batch = 256 if preprocess.image_size <= 64 else 32

    def classes(images: torch.Tensor) -> torch.Tensor:
        return torch.stack([plain(x).softmax(1) for x in views(images, preprocess)]).mean(0).argmax(1)

    def theirs() -> np.ndarray:
        with torch.inference_mode():
            parts = torch.from_numpy(subset).split(batch)
            return torch.cat([classes(x.to(device)) for x in parts]).cpu().numpy()

    rows = []
    for model in [exact, auto] if auto.predictor.precision != "float32" else [exact]:
        precision = model.predictor.precision
        same = float((model.predictor.probabilities(subset).argmax(1) == theirs()).mean())
        readings = pair_by_pair(clock(lambda: model.predictor.probabilities(subset)), clock(theirs), pairs=pairs)  # noqa: B023
        speeds = {"our_images_per_second": readings.ours, "their_images_per_second": readings.theirs}
        pinned = "" if model is exact else ', precision="auto"'
        rows.append(
            compared(
                readings,
                what=f"evaluation of `{name}` in {precision}: {len(subset):,} images of {preprocess.image_size} pixels",
                ours=f"`load(RUN{pinned}).predictor.probabilities`, {precision}",
                theirs=f"eager PyTorch, float32, batches of {batch}, softmax and argmax",
                at_least=2.0 if precision == auto.predictor.precision else None,
                reach=3.0 if precision == auto.predictor.precision else None,
                facts={
                    **{whose: len(subset) / float(np.median(times)) for whose, times in speeds.items()},
                    "same_class": same,
                },
            )
        )
    return rows


def main() -> None:
    parser = arguments(__doc__, name="evaluation", pairs=7)
    parser.add_argument("nets", nargs="*", default=NETS, metavar="NET", help=f"networks (default: {' '.join(NETS)})")
    args = parser.parse_args()
    before = conditions()
    images = loading.load("fashion_mnist").test.images[:]
    with tempfile.TemporaryDirectory(prefix="evaluation-") as folder:
        rows = [row for name in args.nets for row in evaluation(name, images, Path(folder), args.pairs)]
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
