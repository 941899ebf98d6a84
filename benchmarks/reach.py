"""Time to the book's accuracy: the recipe `fast` against the book's own, both trained by us.

    python benchmarks/reach.py                              (three seeds of LeNet, three to four minutes)
    python benchmarks/reach.py --net alexnet_d2l --set image_size=224 epochs=2    (hours; not part of `make bench`)

Seconds of training, with the evaluation after every epoch and without start-up, until the test accuracy first reaches
the mean of the book's own notebooks. Only the test split can tell when, so it is evaluated after every epoch; nothing
is selected by it: `fast` is shortened to one epoch because that was enough on validation images
(`python studies/choose_fast.py lenet_d2l --try epochs=1 epochs=2`).
Beyond its epochs the book's recipe continues at its constant rate, up to five times as long; a run that has not reached
the accuracy by then counts with the time it took, so the ratio is rather too small than too large. If `fast` does not
reach it, there is no ratio and the script ends with an error.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from typing import Any

from classicnets.cli.arguments import settings
from classicnets.events import Epoch
from classicnets.recipes import resolve
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from timing import Row, arguments, compared, conditions, pair_by_pair, write


def seconds_until(goal: float, net: str, recipe: str, seed: int, changed: dict[str, str]) -> dict[str, Any]:
    """A training up to the first epoch whose test accuracy is at least `goal`."""
    base = resolve.find(recipe, net, registered=True)
    longer = {"epochs": 5 * base.epochs} if base.schedule == "constant" else {}
    planned = plan(*run_spec(net, recipe=recipe, settings={"monitor": "test", **longer, **changed}, seed=seed))
    seconds, accuracies = 0.0, list[float]()
    with tempfile.TemporaryDirectory(prefix="reach-") as name:
        events = Session.start(planned, lambda _: None, Output(runs=name)).events()
        for event in events:
            if isinstance(event, Epoch) and event.test_accuracy is not None:
                seconds += event.seconds + event.evaluation_seconds
                accuracies.append(event.test_accuracy)
                if accuracies[-1] >= goal:
                    break
        events.close()
    reached = accuracies[-1] >= goal
    if recipe == "fast" and not reached:
        sys.exit(
            f"fast, seed {seed}: {accuracies[-1]:.4f} is below {goal:.4f} after its last epoch; try --set epochs=2"
        )
    return {"recipe": recipe, "seed": seed, "seconds": seconds, "reached": reached, "test_accuracies": accuracies}


def compare(net: str, seeds: int, changed: dict[str, str]) -> Row:
    """Both recipes for every seed."""
    expected = resolve.find("d2l", net, registered=True).expected
    assert expected is not None, f"nothing is published for {net}"
    runs: list[dict[str, Any]] = []

    def reading(recipe: str, changed: dict[str, str]) -> Callable[[], float]:
        each = iter(range(seeds))

        def seconds() -> float:
            runs.append(seconds_until(expected.mean, net, recipe, next(each), changed))
            print(f"  {recipe}, seed {runs[-1]['seed']}: {len(runs[-1]['test_accuracies'])} epochs", flush=True)
            return float(runs[-1]["seconds"])

        return seconds

    readings = pair_by_pair(reading("fast", changed), reading("d2l", {}), pairs=seeds, warm_up=0)
    return compared(
        readings,
        what=f"training time of `{net}` until the book's mean test accuracy, {expected.mean:.4f}",
        ours=f"recipe `fast`, {', '.join(f'{key}={value}' for key, value in changed.items())}",
        theirs="recipe `d2l`, the book's, by our program as well",
        at_least=6.0,
        reach=15.0,
        facts={"goal": expected.mean, "changed": changed, "runs": runs},
    )


def main() -> None:
    parser = arguments(__doc__, name="reach", pairs=3)
    parser.add_argument("--net", default="lenet_d2l", help="network (default: lenet_d2l); each pair is a seed")
    parser.add_argument(
        "--set", nargs="+", default=["epochs=1"], metavar="KEY=VALUE", help="settings of fast (default: epochs=1)"
    )
    args = parser.parse_args()
    if args.net != "lenet_d2l":
        args.out = args.out.with_stem(f"{args.out.stem}-{args.net}")
    before = conditions()
    write(args.out, [compare(args.net, args.pairs, settings(args.set))], before)


if __name__ == "__main__":
    main()
