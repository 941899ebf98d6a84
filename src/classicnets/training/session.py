"""A run from start to end, the same for Python and the command line: start or resume, follow its events, finish."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from classicnets import machine
from classicnets.acceleration.prepare import Acceleration
from classicnets.datasets.types import ImageSplits, Split
from classicnets.errors import CheckFailed, DataError, UsageError
from classicnets.evaluation.evaluate import Evaluation, evaluate, write_metrics
from classicnets.evaluation.predictor import Predictor
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.files import remove_parts
from classicnets.images import batches
from classicnets.runs import checkpoint, folder, history
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output
from classicnets.training import objective
from classicnets.training.begin import Say, accelerated, begin, command_line, divided, fill, now, read
from classicnets.training.loop import Scores, train
from classicnets.training.plan import Plan, plan_of_run, verdict
from classicnets.training.state import State

SAVE_SECONDS = Output().save_every  # what a killed run loses at most, beside the step under way


class Subscriber(Protocol):
    """Sees the events of a session and may add advice, which is recorded with them."""

    def before(self, net: nn.Module) -> list[Advice]:
        """Called once, before the first step of a new run."""

    def see(self, event: Event, net: nn.Module) -> list[Advice]:
        """Called for each event that is recorded."""

    def remember(self, past: Iterable[Event]) -> None:
        """Called with the recorded events of a run that is resumed."""


@dataclass(frozen=True)
class Results:
    """What a finished run is reported from: the test split, float32 probabilities [N, classes] of it, and the facts of
    run.json with the result, which is written when all reports are.
    """

    plan: Plan
    folder: RunFolder
    evaluation: Evaluation
    probabilities: np.ndarray
    test: Split
    events: list[Event]
    facts: dict[str, Any]


Report = Callable[[Results], None]


class Session:
    """A run in progress: iterate over `events()`, then call `finish()`.

    The state is saved after each epoch, at Ctrl-C, and within an epoch every `save_seconds`.
    """

    def __init__(
        self,
        plan: Plan,
        where: RunFolder,
        splits: ImageSplits,
        net: nn.Module,
        *,
        acceleration: Acceleration | None = None,
        save_seconds: float = SAVE_SECONDS,
    ):
        """Makes all that training needs; the state is that of the beginning. See `start` and `resume`."""
        self.plan, self.folder, self.splits, self.net = plan, where, splits, net
        self.save_seconds = save_seconds
        self.subscribers: list[Subscriber] = []
        if plan.spec.deterministic:
            machine.settle_cublas()
        self.device = torch.device(plan.device)
        net.to(self.device)
        recipe = plan.recipe
        taken, self.validation = divided(splits, plan)
        self.batches = batches.Batches(
            splits.train,
            recipe,
            plan.preprocess,
            seed=plan.spec.seed,
            device=self.device,
            taken=taken,
            aside=self.validation,
            threads=plan.spec.loader_threads,
        )
        classes = plan.description.classes
        self.objective = objective.make(recipe, self.batches.labels[: self.batches.alone], len(classes))
        self.state = State(net, recipe)
        self.acceleration = acceleration or accelerated(plan, net)
        judged, faster = self.state.judged, self.acceleration
        self.predictor = Predictor(judged, plan.preprocess, classes, self.device, acceleration=faster)
        self.watcher = Predictor(judged, plan.preprocess, classes, self.device, recipe.precision, faster)

    @classmethod
    def start(cls, plan: Plan, say: Say, output: Output | None = None) -> Self:
        """A new run: reads the data and makes the run folder.

        Raises DataError if the data is not available, MachineError CN401.
        """
        output = output or Output()
        machine.use_threads(plan.spec.threads)
        splits = read(plan, say)
        plan, facts = begin(plan, splits, command_line(), torch.get_num_threads())
        net = plan.build(say)
        acceleration = accelerated(plan, net)
        facts["batch_threads"] = acceleration.batch_threads
        label = f"{plan.net_spec.label}-{splits.name}"
        path = folder.make(Path(output.runs), label, lambda part: fill(part, plan, facts, splits))
        where, save_seconds = RunFolder(path), output.save_every
        return cls(plan, where, splits, net, acceleration=acceleration, save_seconds=save_seconds)

    @classmethod
    def resume(
        cls,
        path: str | Path,
        say: Say,
        output: Output | None = None,
        *,
        net: nn.Module | None = None,
        loader_threads: int | None = None,
    ) -> Self:
        """The run in a folder from its last save, or from the beginning if it has none, with its number of threads.

        `net` is needed where the network was a module; `loader_threads` None are as many as the run began with.
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
        machine.use_threads(facts["threads"])
        again = plan_of_run(where, net)
        if loader_threads is not None:
            again = replace(again, spec=replace(again.spec, loader_threads=loader_threads))
        splits = read(again, say)
        if splits.fingerprint != facts["fingerprint"]:
            raise DataError(
                "CN306",
                f"{again.data} holds other bytes than when the run began",
                where=str(path),
                why=f"fingerprint {splits.fingerprint[:12]} now, {facts['fingerprint'][:12]} then",
                hint=f"classicnets data check {again.data}",
            )
        remove_parts(where.path)
        saved_before = where.last.exists()
        begins = replace(again, weights="") if saved_before else again  # what was saved replaces the initial weights
        net = begins.build(say)
        # as the run began: a run of version 0.1, which has no such number, did not divide its batches
        acceleration = accelerated(again, net, facts.get("batch_threads", 1 if saved_before else None))
        save_seconds = (output or Output()).save_every
        session = cls(again, where, splits, net, acceleration=acceleration, save_seconds=save_seconds)
        if saved_before:
            tensors, saved = checkpoint.load(where.last)
            session.state.restore(tensors, saved["state"])
        else:
            where.write({**facts, "started_at": now(), "batch_threads": acceleration.batch_threads})
        history.keep_until(where.history, session.state.epoch, session.state.step)
        return session

    def subscribe(self, subscriber: Subscriber) -> None:
        """From now on `subscriber` sees every event that is recorded, after those of the past of a resumed run."""
        subscriber.remember(history.read(self.folder.history))
        self.subscribers.append(subscriber)

    @property
    def position(self) -> str:
        """Where the run is: "epoch 2 of 10, step 17"."""
        state = self.state
        return f"epoch {state.epoch} of {self.plan.recipe.epochs}" + (f", step {state.step}" if state.step else "")

    def summary(self) -> list[str]:
        """What is about to happen, for people."""
        splits, validation = self.splits, len(self.validation) if self.validation else 0
        return [
            *self.plan.lines(),
            *self.acceleration.lines(),
            f"data    {splits.name} from {splits.source}: {self.batches.alone:,} training"
            f"{f', {validation:,} validation' if validation else ''} and {len(splits.test):,} test images",
            f"run     {self.folder.path}",
        ]

    def events(self) -> Generator[Event, None, None]:
        """Trains to the end, saving as it goes.

        Raises KeyboardInterrupt after saving, CheckFailed CN101 if the loss is not finite.
        """
        saved = time.monotonic()
        training = train(self.state, self.batches, self.plan.recipe, self.objective, self._evaluate, self.acceleration)
        deterministic = machine.deterministic(self.plan.spec.deterministic)
        with _stop_on_ctrl_c() as stopped, deterministic, closing(training):
            if not (self.state.epoch or self.state.step):
                for subscriber in self.subscribers:
                    yield from self._append(subscriber.before(self.net))
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

    def finish(self, *reports: Report) -> Results:
        """Evaluates the best weights (else the last) on the test split in float32, writes the metrics, hands the
        results to the `reports` and then writes run.json: a run that has its result has its reports.
        """
        if self.folder.best.exists():
            tensors, _ = checkpoint.load(self.folder.best)
            self.state.judged.load_state_dict(checkpoint.weights(tensors))
        evaluation, probabilities = evaluate(self.predictor, self.splits.test)
        events = history.read(self.folder.history)
        epochs = [event for event in events if isinstance(event, Epoch)]
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
        results = Results(self.plan, self.folder, evaluation, probabilities, self.splits.test, events, facts)
        for report in reports:
            report(results)
        self.folder.write(facts)
        return results

    def checkpoint(self, *, weights_only: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and facts of a checkpoint: all of the state, or only the weights that are evaluated."""
        tensors = self.state.tensors()
        if weights_only:
            tensors = {f"net/{name}": tensor for name, tensor in checkpoint.weights(tensors).items()}
        asked = self.plan.to_dict()
        return tensors, {
            **{key: asked[key] for key in ("net", "recipe", "preprocess", "classes", "data_name", "seed")},
            "fingerprint": self.splits.fingerprint,
            "state": self.state.facts(),
        }

    def _evaluate(self) -> Scores:
        """What the recipe's `monitor` names, after an epoch; in the precision of training, as it is often seen."""
        monitor = self.plan.recipe.monitor
        if monitor == "validation" and self.validation is not None:
            found = evaluate(self.watcher, self.validation)[0]
            return Scores(validation_accuracy=found.accuracy, validation_loss=found.loss)
        if monitor == "test":
            return Scores(test_accuracy=evaluate(self.watcher, self.splits.test)[0].accuracy)
        return Scores()

    def _record(self, event: Event) -> list[Advice]:
        """Writes the event and the advice of subscribers to the history; a step without a loss is not recorded."""
        if isinstance(event, Step):
            if event.loss is None:
                return []
            if not math.isfinite(event.loss):
                raise self._not_finite(event)
        history.append(self.folder.history, event)
        return [advice for subscriber in self.subscribers for advice in self._append(subscriber.see(event, self.net))]

    def _append(self, advice: list[Advice]) -> list[Advice]:
        for one in advice:
            history.append(self.folder.history, one)
        return advice

    def _save(self, path: Path, *, weights_only: bool = False) -> None:
        history.sync(self.folder.history)
        checkpoint.save(path, *self.checkpoint(weights_only=weights_only))

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
