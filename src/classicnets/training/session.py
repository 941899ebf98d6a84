"""A run from start to end: the loop, saving as it goes, then the results."""

from __future__ import annotations

import math
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from classicnets import machine
from classicnets.acceleration.prepare import choose
from classicnets.coach import Coach
from classicnets.datasets.types import Pictures, Split
from classicnets.errors import CheckFailed, DataError, UsageError
from classicnets.evaluation.evaluate import Evaluation, evaluate, write_metrics
from classicnets.evaluation.predictor import Predictor
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.files import remove_parts, write_whole
from classicnets.images import batches, loading, transforms
from classicnets.images.transforms import prepare
from classicnets.recipes import resolve
from classicnets.report import markdown
from classicnets.runs import checkpoint, folder, history
from classicnets.runs.folder import RunFolder
from classicnets.training import objective, split
from classicnets.training.loop import Scores, train
from classicnets.training.plan import Plan, planned, verdict
from classicnets.training.state import State

Say = Callable[[str], None]

_SMALL = 64  # pixels a side: of larger pictures the coach looks at fewer
_NOTHING_ASIDE = " the recipe keeps no pictures aside (--set validation=0.1 monitor=validation would)"
SAVE_SECONDS = 300.0  # what a killed run loses at most, beside the step under way


class Training:
    """A run in progress. Iterate over `events()`, then call `finish()`.

    The state is saved after each epoch, at Ctrl-C, and within an epoch every `save_seconds`.
    """

    def __init__(
        self,
        plan: Plan,
        where: RunFolder,
        pictures: Pictures,
        net: nn.Module,
        *,
        save_seconds: float = SAVE_SECONDS,
    ):
        """Makes all that training needs; the state is that of the beginning."""
        self.plan, self.folder, self.pictures, self.net = plan, where, pictures, net
        self.save_seconds = save_seconds
        if plan.deterministic:
            machine.settle_cublas()
        self.device = torch.device(plan.device)
        net.to(self.device)
        recipe = plan.recipe
        taken, self.validation = divided(pictures, plan)
        self.batches = batches.Batches(
            pictures.train,
            recipe,
            plan.preprocess,
            seed=plan.seed,
            device=self.device,
            taken=taken,
            aside=self.validation,
            threads=plan.loader_threads,
        )
        classes = plan.description.classes
        self.objective = objective.make(recipe, self.batches.labels[: self.batches.alone], len(classes))
        self.state = State(net, recipe)
        self.acceleration = choose(
            net,
            plan.preprocess.shape,
            device=self.device,
            macs=plan.table.macs,
            precision=recipe.precision,
            threads=torch.get_num_threads(),
            batch_size=recipe.batch_size,
            batch_threads=plan.batch_threads,
        )
        judged, faster = self.state.judged, self.acceleration
        self.predictor = Predictor(judged, plan.preprocess, classes, self.device, acceleration=faster)
        self.watcher = Predictor(judged, plan.preprocess, classes, self.device, recipe.precision, faster)
        few = min(256 if plan.preprocess.image_size <= _SMALL else 32, len(self.batches.labels))
        probe = prepare(self.batches.images(torch.arange(few)), plan.preprocess)
        self.coach = Coach(replace(recipe, data=plan.data), classes, probe, self.batches.labels)

    def summary(self) -> list[str]:
        """What is about to happen, for people."""
        pictures, validation = self.pictures, len(self.validation) if self.validation else 0
        return [
            *self.plan.lines(),
            *self.acceleration.lines(),
            f"data    {pictures.name} from {pictures.source}: {self.batches.alone:,} training"
            f"{f', {validation:,} validation' if validation else ''} and {len(pictures.test):,} test pictures",
            f"run     {self.folder.path}",
        ]

    def events(self) -> Iterator[Event]:
        """Trains to the end, saving as it goes.

        Raises KeyboardInterrupt after saving, CheckFailed CN101 if the loss is not finite.
        """
        saved = time.monotonic()
        training = train(self.state, self.batches, self.plan.recipe, self.objective, self._evaluate, self.acceleration)
        with _stop_on_ctrl_c() as stopped, machine.deterministic(self.plan.deterministic), closing(training):
            if not (self.state.epoch or self.state.step):
                yield from self._append(self.coach.before(self.net))
            for event in training:
                advice = self._record(event)
                if isinstance(event, Epoch):
                    if event.best:
                        self._save(self.folder.best, weights_only=True)
                    self._save(self.folder.last)
                yield event
                yield from advice
                due = isinstance(event, Step) and time.monotonic() - saved >= self.save_seconds
                if isinstance(event, Epoch):
                    saved = time.monotonic()
                if (due or stopped()) and math.isfinite(float(self.state.loss_sum)):
                    self._save(self.folder.last)
                    saved = time.monotonic()
                if stopped():
                    raise KeyboardInterrupt

    def finish(self) -> Evaluation:
        """Evaluates the best weights (else the last) on the test split in float32; writes results, pictures, card."""
        from classicnets.report import figures, mistakes  # matplotlib takes half a second to import

        if self.folder.best.exists():
            tensors, _ = checkpoint.load(self.folder.best)
            self.state.judged.load_state_dict(checkpoint.weights(tensors))
        evaluation, probabilities = evaluate(self.predictor, self.pictures.test)
        epochs = [event for event in history.read(self.folder.history) if isinstance(event, Epoch)]
        facts, measured = self.folder.read(), evaluation.to_dict()
        weights, classes = self.folder.weights_file().name, self.plan.description.classes
        write_metrics(self.folder.metrics, {"weights": weights, "classes": classes, **measured})
        facts["finished_at"] = now()
        facts["result"] = {
            "weights": weights,
            "test_accuracy": evaluation.accuracy,
            "test_loss": measured["loss"],
            **{key: measured[key] for key in ("top5_accuracy", "balanced_accuracy", "calibration_error", "n")},
            "train_loss": epochs[-1].loss,
            "train_accuracy": epochs[-1].accuracy,
            "seconds": sum(e.seconds + e.evaluation_seconds for e in epochs),
            "peak_memory_bytes": machine.peak_memory_bytes(),
            "verdict": verdict(self.plan, evaluation.accuracy),
        }
        net = self.plan.net_spec.described
        title = f"{net} on {self.pictures.name}: accuracy {evaluation.accuracy:.4f} on {evaluation.n:,} test pictures"
        error = f"calibration error {evaluation.calibration_error:.4f}"
        events, test = history.read(self.folder.history), self.pictures.test
        for path, figure in (
            (self.folder.curves, figures.draw_curves(events, self.plan.expected, self.plan.title)),
            (self.folder.confusion, mistakes.confusion(evaluation.confusion, classes, title)),
            (self.folder.calibration, mistakes.calibration(measured["calibration"], f"{title}\n{error}")),
            (
                self.folder.contact_sheet,
                mistakes.contact_sheet(test.images, test.labels, probabilities, classes, title),
            ),
        ):
            write_whole(path, figures.png(figure))
        write_whole(self.folder.path / "card.md", markdown.card(facts, net=net).encode())
        self.folder.write(facts)
        return evaluation

    def _evaluate(self) -> Scores:
        """What the recipe's `monitor` names, after an epoch; in the precision of training, as it is often seen."""
        monitor = self.plan.recipe.monitor
        if monitor == "validation" and self.validation is not None:
            found = evaluate(self.watcher, self.validation)[0]
            return Scores(validation_accuracy=found.accuracy, validation_loss=found.loss)
        if monitor == "test":
            return Scores(test_accuracy=evaluate(self.watcher, self.pictures.test)[0].accuracy)
        return Scores()

    def _record(self, event: Event) -> list[Advice]:
        """Keeps what happened, and what the coach says to it, in the history; says no more of steps than is known."""
        if isinstance(event, Step):
            if event.loss is None:
                return []
            if not math.isfinite(event.loss):
                raise self._not_finite(event)
        history.append(self.folder.history, event)
        return self._append(self.coach.see(event, self.net))

    def _append(self, advice: list[Advice]) -> list[Advice]:
        for one in advice:
            history.append(self.folder.history, one)
        return advice

    def _save(self, path: Path, *, weights_only: bool = False) -> None:
        history.sync(self.folder.history)
        checkpoint.save(path, *self.kept(weights_only=weights_only))

    def kept(self, *, weights_only: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and facts of a checkpoint: all of the state, or what it is judged by alone."""
        tensors = self.state.tensors()
        if weights_only:
            tensors = {f"net/{name}": tensor for name, tensor in checkpoint.weights(tensors).items()}
        asked = self.plan.to_dict()
        return tensors, {
            **{key: asked[key] for key in ("net", "recipe", "preprocess", "classes", "data_name", "seed")},
            "fingerprint": self.pictures.fingerprint,
            "state": self.state.facts(),
        }

    def _not_finite(self, event: Step) -> CheckFailed:
        kept = f"the end of epoch {self.state.epoch} is kept in {self.folder.last}" if self.state.epoch else ""
        lr = self.plan.recipe.lr
        return CheckFailed(
            "CN101",
            "the loss is no longer finite; training stopped",
            where=f"epoch {event.epoch}, before step {event.step} of {event.steps}, lr={lr:g}",
            why="the weights have grown without bound, usually because the learning rate is too high\n"
            + (kept or "no epoch was finished, so there is no earlier state to keep"),
            hint=(f"--set lr={lr / 10:g}", "--set initialise=xavier_uniform"),
        )


def start(plan: Plan, runs: Path, command: str, say: Say, *, save_seconds: float = SAVE_SECONDS) -> Training:
    """Reads the data and makes the run folder. Raises DataError if the data cannot be had, MachineError CN401."""
    pictures = read(plan, say)
    plan, facts = begin(plan, pictures, command, torch.get_num_threads())
    label = f"{plan.net_spec.label}-{pictures.name}"
    path = folder.make(runs, label, lambda aside: fill(aside, plan, facts, pictures))
    return Training(plan, RunFolder(path), pictures, plan.build(say), save_seconds=save_seconds)


def read(plan: Plan, say: Say) -> Pictures:
    """The pictures of the plan; `say` tells what a validation split of their own is used for. Raises DataError."""
    pictures = loading.load(plan.data, plan.preprocess, on_bad_image=plan.on_bad_image, say=say)
    if pictures.validation is not None:
        count, share = len(pictures.validation), plan.recipe.validation
        say(
            f"{pictures.name}: its validation split, {count:,} pictures, "
            + (f"stands in for validation={share:g} of the recipe" if share else "is not used:" + _NOTHING_ASIDE)
        )
    return pictures


def divided(pictures: Pictures, plan: Plan) -> tuple[np.ndarray, Split | None]:
    """Which of the training pictures are trained on, as indices; and those kept aside."""
    return batches.divide(pictures.train, plan.recipe.validation, plan.limit, plan.seed, pictures.validation)


def fill(path: Path, plan: Plan, facts: dict[str, Any], pictures: Pictures) -> None:
    """Makes `path` the folder of a run, with split.csv if the data has a file for each picture. Raises MachineError."""
    folder.fill(path, plan.net_spec, facts)
    if pictures.files:
        write_whole(RunFolder(path).split, split.table(pictures, plan))


def begin(plan: Plan, pictures: Pictures, command: str, threads: int) -> tuple[Plan, dict[str, Any]]:
    """The plan with what only the pictures could tell, and its run.json, with which `resume` can start."""
    size = (len(pictures.classes), len(pictures.train), len(pictures.test))
    own_validation = pictures.validation is not None and plan.recipe.validation > 0
    if own_validation or resolve.SIZES.get(plan.recipe.data, size) != size:
        plan = replace(plan, as_published=False)
    if not plan.recipe.mean:
        taken, _ = divided(pictures, plan)
        parts = (torch.from_numpy(pictures.train.images[some.numpy()]) for some in torch.from_numpy(taken).split(500))
        mean = transforms.channel_means(parts, plan.preprocess)
        plan = replace(plan, preprocess=replace(plan.preprocess, mean=mean))
    return plan, {
        "command": command,
        "started_at": now(),
        **plan.to_dict(),
        "threads": threads,
        "data_source": pictures.source,
        "fingerprint": pictures.fingerprint,
        "machine": machine.describe(),
    }


def resume(
    path: str | Path,
    say: Say,
    net: nn.Module | None = None,
    *,
    loader_threads: int | None = None,
    save_seconds: float = SAVE_SECONDS,
) -> Training:
    """Goes on with a run from its last save, or from the beginning if it has none; restores the thread count.

    `loader_threads` (None: as many as the run began with) change nothing in what comes out.
    Raises UsageError CN207 or CN208, DataError CN305 or CN306.
    """
    where = folder.open_run(path)
    facts = where.read()
    if "result" in facts:
        raise UsageError(
            "CN208",
            "the run is complete",
            where=str(path),
            why="its epochs are done and its results are written",
            hint=f"classicnets evaluate {path}",
        )
    torch.set_num_threads(facts["threads"])
    again = planned(where, net)
    if loader_threads is not None:
        again = replace(again, loader_threads=loader_threads)
    pictures = read(again, say)
    if pictures.fingerprint != facts["fingerprint"]:
        raise DataError(
            "CN306",
            f"{again.data} holds other bytes than when the run began",
            where=str(path),
            why=f"fingerprint {pictures.fingerprint[:12]} now, {facts['fingerprint'][:12]} then",
            hint=f"classicnets data check {again.data}",
        )
    remove_parts(where.path)
    saved_before = where.last.exists()
    begins = replace(again, weights="") if saved_before else again  # what was saved stands in for the first weights
    training = Training(again, where, pictures, begins.build(say), save_seconds=save_seconds)
    if saved_before:
        tensors, saved = checkpoint.load(where.last)
        training.state.restore(tensors, saved["state"])
    else:
        where.write({**facts, "started_at": now()})
    history.keep_until(where.history, training.state.epoch, training.state.step)
    training.coach.remember(history.read(where.history))
    return training


@contextmanager
def _stop_on_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks to stop after the step under way; a second one stops at once. Elsewhere than in the main thread,
    where signals cannot be caught, nothing changes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(_signal: int, _frame: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """The command that started this process, for run.json."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join(["classicnets" if program == "__main__.py" else program or "python", *sys.argv[1:]])
