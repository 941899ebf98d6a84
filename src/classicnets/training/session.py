"""A training run, for Python and for the command line: start or resume, iterate over its events, finish."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from classicnets import machine
from classicnets.acceleration.prepare import Acceleration
from classicnets.datasets.types import ImageSplits
from classicnets.errors import CheckFailed, DataError, UsageError
from classicnets.evaluation.evaluate import evaluate
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.files import cannot_write, remove_parts
from classicnets.images import batches
from classicnets.images.transforms import prepare
from classicnets.inspection.saved_state import check_saved
from classicnets.models.modules import complete, copy_module
from classicnets.runs import checkpoint, folder, history, parts
from classicnets.runs import data as run_data
from classicnets.runs.folder import RunFolder
from classicnets.runs.lock import FolderLock
from classicnets.spec import Output
from classicnets.text import _, command, plural
from classicnets.training import objective
from classicnets.training.begin import (
    Say,
    begin,
    choose_acceleration,
    command_line,
    fill,
    now,
    read,
    record_images,
    survey,
    training_and_validation,
)
from classicnets.training.group import ALONE, Alone
from classicnets.training.loop import Scores, train
from classicnets.training.plan import Plan, plan_of_run, set_precision
from classicnets.training.results import Report, Results, measure, more_training, take_part
from classicnets.training.state import State

_COMPARED_IMAGES = 4  # for which a network that is built again must give the same outputs
SAVE_SECONDS = Output().save_every  # a killed run loses at most this, and the step in progress


class Subscriber(Protocol):
    """Receiver of the events of a session; it may return advice, which is recorded with them."""

    def on_start(self, net: nn.Module) -> list[Advice]:
        """Called once before the first step of a new run."""

    def on_event(self, event: Event, net: nn.Module) -> list[Advice]:
        """Called for each event that is recorded."""

    def on_resume(self, past: Iterable[Event]) -> None:
        """Called with the recorded events of a run that is resumed."""


class Session:
    """A run in progress: iterate over `events()`, then call `finish()`.

    The state is saved after each epoch, every `save_seconds` within an epoch, and at Ctrl-C.
    """

    def __init__(
        self,
        plan: Plan,
        run: RunFolder,
        splits: ImageSplits,
        net: nn.Module,
        *,
        acceleration: Acceleration | None = None,
        save_seconds: float = SAVE_SECONDS,
        lock: FolderLock | None = None,
        group: Alone = ALONE,
    ):
        """Make everything that training needs, with a new state. Use `start` or `resume` instead."""
        self.lock = lock or FolderLock(run.path)
        self.group = Alone(counted_dropout=True) if group is ALONE and plan.spec.parallel else group
        self.plan, self.folder, self.splits, self.net = plan, run, splits, net
        self.save_seconds = save_seconds
        self.subscribers: list[Subscriber] = []
        self.blank: nn.Module | None = None  # a copy of a module that was passed in, which cannot be built again
        if plan.spec.deterministic:
            machine.make_cublas_deterministic()
        self.device = torch.device(plan.device)
        net.to(self.device)
        recipe = plan.recipe
        train_indices, self.validation = training_and_validation(splits, plan)
        self.batches = batches.Batches(
            splits.train,
            recipe,
            plan.preprocess,
            seed=plan.spec.seed,
            device=self.device,
            indices=train_indices,
            held_out=self.validation,
            smallest=self.group.smallest_batch(plan),
            threads=plan.spec.loader_threads,
            share=self.group.rows,
        )
        classes = plan.description.classes
        self.objective = objective.make(recipe, self.batches.labels[: self.batches.train_count], len(classes))
        self.state = State(self.group.place(net, plan), recipe, self.group)
        self.acceleration = acceleration or choose_acceleration(plan, net)
        evaluated = self.group.whole_net(self.state.evaluated_net), plan.preprocess, classes, self.device
        self.predictor = self.group.predictor(*evaluated, "float32", self.acceleration)
        # after each epoch, in the precision of training, because it is faster
        self.epoch_predictor = self.group.predictor(*evaluated, recipe.precision, self.acceleration)

    @classmethod
    def start(cls, plan: Plan, say: Say, output: Output | None = None) -> Self:
        """Start a new run: read the data and create the run folder.

        Args:
            plan: the plan of the run.
            say: receives progress messages.
            output: where the run is saved; by default as `Output()`.

        Raises:
            DataError: if the data is not available.
            MachineError: CN401 if the run folder cannot be written.
        """
        output = output or Output()
        folder.check_root(Path(output.runs))
        machine.set_threads(plan.spec.threads)
        plan = survey(plan, say)
        splits = read(plan, say)
        plan, facts = begin(plan, splits, command_line(), torch.get_num_threads())
        blank = _blank(plan)
        net = plan.build(say)
        acceleration = choose_acceleration(plan, net)
        facts["batch_threads"] = acceleration.batch_threads
        label = f"{plan.net_spec.label}-{splits.name}"
        path = folder.make(Path(output.runs), label, lambda part: fill(part, plan, facts, splits))
        run, save_seconds = RunFolder(path), output.save_every
        session = cls(plan, run, splits, net, acceleration=acceleration, save_seconds=save_seconds)
        session.blank = blank
        session._check_saved(session.checkpoint(weights_only=True)[0], net)
        with folder.resumable(path):
            session.lock.acquire()
        return session

    @classmethod
    def resume(
        cls,
        path: str | Path,
        say: Say,
        output: Output | None = None,
        *,
        net: nn.Module | None = None,
        data: str | Path | None = None,
        loader_threads: int | None = None,
        trust: bool = False,
        group: Alone = ALONE,
    ) -> Self:
        """Resume a run from its last checkpoint, or from its start if it has none, with its number of threads.

        Args:
            path: the run folder.
            say: receives progress messages.
            output: where and how often the run is saved.
            net: the module, if the run was started with one.
            data: where the data of the run lies now, if it has moved.
            loader_threads: number of threads that load batches in advance; None is that of the run.
            trust: whether to run code that was not run on this machine before, and to use files that were changed.
            group: the processes that share the run.

        Raises:
            UsageError: CN207 if it is not a run folder, CN208 if the run is complete, CN211 if another process has it,
                CN212 if its code is not trusted.
            DataError: CN302 if the data is not there, CN305 if the checkpoint cannot be read, CN306 if the data has
                changed.
        """
        run = folder.open_run(path)
        lock = FolderLock(run.path)
        with folder.resumable(run.path), lock.kept():
            return cls._resume(run, lock, say, output or Output(), net, data, loader_threads, trust, group)

    @classmethod
    def _resume(
        cls,
        run: RunFolder,
        lock: FolderLock,
        say: Say,
        output: Output,
        net: nn.Module | None,
        data: str | Path | None,
        loader_threads: int | None,
        trust: bool,
        group: Alone,
    ) -> Self:
        facts, path = run.read(), run.path
        if "converted" in facts:
            raise UsageError(
                "CN208",
                _("these weights were converted, not trained, so there is nothing to resume"),
                where=str(path),
                hint=command("classicnets", "train", path, "--weights", path, "--data", "DATA"),
            )
        if "result" in facts:
            raise UsageError(
                "CN208",
                _("the run is complete"),
                where=str(path),
                why=_("all its epochs are trained and its results are written"),
                hint=more_training(path, facts),
            )
        machine.set_threads(group.threads(facts))
        retry = ("classicnets", "train", "--resume", path)
        place = run_data.locate(run, data, retry)
        plan = replace(plan_of_run(run, net, trust=trust), data=place)
        plan = replace(plan, device=group.device(plan.device))
        if loader_threads is not None:
            plan = replace(plan, spec=replace(plan.spec, loader_threads=loader_threads))
        with group.in_turn():
            splits = read(plan, say)
        run_data.check(run, splits, place, retry)
        splits = replace(splits, fingerprint=facts["fingerprint"])  # it may be that of sizes, or the other way around
        run_data.remember(run, place)
        facts = run.read()
        if run.read_trained_images() is None:  # it was changed, or the run is of an older version
            record_images(run, splits, plan)
        remove_parts(run.path)
        remove_parts(run.epochs)
        has_checkpoint = run.last.exists() or parts.newest(run.path) is not None
        blank = _blank(plan)
        # a checkpoint, or the first process, replaces the initial weights, so their file is not needed
        net = (replace(plan, weights="") if has_checkpoint or group.rank else plan).build(say)
        # as at the start of the run: a run of version 0.1, which does not record the number, did not split batches
        batch_threads = facts.get("batch_threads", 1 if has_checkpoint else None) if group.size == 1 else 1
        acceleration = choose_acceleration(plan, net, batch_threads)
        save_seconds = output.save_every
        session = cls(
            plan, run, splits, net, acceleration=acceleration, save_seconds=save_seconds, lock=lock, group=group
        )
        session.blank = blank
        if shared := session.group.facts():
            facts = {**facts, "parallel": shared}
            run.write(facts)
        in_parts = session.group.saved_parts(run.path)
        if in_parts or run.last.exists():
            trust = session.group.from_first({"trust": trust})["trust"]
            session._restore(in_parts or run.last, facts, trust=trust)
        else:
            run.write({**facts, "started_at": now(), "batch_threads": acceleration.batch_threads})
        history.truncate(run.history, session.state.epoch, session.state.step)
        return session

    def _restore(self, path: Path, facts: dict[str, Any], *, trust: bool) -> None:
        """Restore the state from a checkpoint, which is a file or in parts. Raises DataError CN305, CN306."""
        try:
            load = parts.load if path.is_dir() else checkpoint.load
            tensors, saved = load(path, trust=trust, rows=self.state.own_rows)
            self.folder.check_agrees(facts, saved, trust=trust)
            self.state.restore(tensors, saved["state"])
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            raise DataError(
                "CN305",
                _("the checkpoint does not hold the state of this run"),
                where=str(path),
                why=" ".join(str(error).split())[:300],
                hint=_("copy the file again, or train again"),
            ) from error

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber; it receives first the past events of a resumed run, then every event that is recorded."""
        subscriber.on_resume(history.read(self.folder.history))
        self.subscribers.append(subscriber)

    @property
    def position(self) -> str:
        """The position of the run: "epoch 2 of 10, step 17"."""
        position = {"epoch": self.state.epoch, "epochs": self.plan.recipe.epochs, "step": self.state.step}
        if self.state.step:
            return _("epoch {epoch} of {epochs}, step {step}", **position)
        return _("epoch {epoch} of {epochs}", **position)

    def summary(self) -> list[str]:
        """Return a readable summary of the run, one line each: plan, acceleration, data, run folder."""
        splits = self.splits
        counts = {"train": self.batches.train_count, "validation": len(self.validation or ()), "test": len(splits.test)}
        about = {"name": splits.name, "source": splits.source, **counts}
        data = _("data    {name} from {source}: {train:,} training and {test:,} test images", **about)
        if counts["validation"]:
            data = _(
                "data    {name} from {source}: {train:,} training, {validation:,} validation and {test:,} test images",
                **about,
            )
        lines = [*self.plan.lines(), *self.acceleration.lines(), *self.group.lines(), data]
        if self.batches.joins(epoch=1):
            lines.append(
                plural(
                    "the last image of each epoch joins the batch before it, because the network cannot be trained on"
                    " one image",
                    "the last {n} images of each epoch join the batch before them, because the network cannot be"
                    " trained on one image",
                    self.batches.train_count % self.plan.recipe.batch_size,
                )
            )
        return [*lines, _("run     {path}", path=self.folder.path)]

    def events(self) -> Generator[Event, None, None]:
        """Train to the end, saving checkpoints, and yield each event.

        If it ends early, by an error or because it is closed, another process may resume the run.

        Raises:
            KeyboardInterrupt: at Ctrl-C, after saving.
            CheckFailed: CN101 if the loss is not finite.
            UsageError: CN211 if another process has resumed the run.
            MachineError: CN401 if a file cannot be written; the last checkpoint is kept.
        """
        with folder.resumable(self.folder.path), self.lock.kept():
            yield from self._events()

    def _events(self) -> Generator[Event, None, None]:
        saved = time.monotonic()
        training = train(self.state, self.batches, self.plan.recipe, self.objective, self._evaluate, self.acceleration)
        deterministic = machine.deterministic(self.plan.spec.deterministic)
        with _stop_on_ctrl_c(patient=self.group.size > 1) as stopped, deterministic, closing(training):
            if not (self.state.epoch or self.state.step) and self.group.rank == 0:
                yield from self._append([Advice(epoch=1, step=0, **r._asdict()) for r in self.plan.check.remarks])
                for subscriber in self.subscribers:
                    yield from self._append(subscriber.on_start(self.net))
            for event in training:
                advice = self._record(event)
                is_epoch = isinstance(event, Epoch)
                if isinstance(event, Epoch):
                    if event.best:
                        self._save(self.folder.best, weights_only=True)
                    if self.plan.spec.keep_epochs:
                        self._keep(event.epoch)
                    self._save(self.folder.last)
                yield event
                yield from advice
                due = not is_epoch and time.monotonic() - saved >= self.save_seconds
                stop, due = self.group.agree(self.state, stop=stopped(), save=due)
                if is_epoch:
                    saved = time.monotonic()
                if (due or stop) and self.state.is_finite():
                    self._save(self.folder.last)
                    saved = time.monotonic()
                if stop:
                    raise KeyboardInterrupt

    def finish(self, *reports: Report) -> Results | None:
        """Evaluate the run on the test split and write its results, which only the first process of a group returns.

        The best weights, else the last, are evaluated in float32. The result is written to run.json last, so that a
        run with a result has its metrics and reports too.

        Args:
            reports: called with the results, in this order.
        """
        try:
            with folder.resumable(self.folder.path):
                return self._finish(reports)
        finally:
            self.lock.release()

    def _finish(self, reports: Sequence[Report]) -> Results | None:
        evaluated = self.group.whole_net(self.state.evaluated_net)
        if self.group.rank > 0:
            self.group.copy_from_first(evaluated)
            take_part(self.plan, self.predictor, self.splits, self.validation)
            return None
        tensors, _facts = checkpoint.load(self.folder.weights_file())
        if self.folder.best.exists():
            evaluated.load_state_dict(checkpoint.weights(tensors))
        self._check_saved(tensors, evaluated)
        self.group.copy_from_first(evaluated)
        results = measure(self.plan, self.folder, self.predictor, self.splits, self.validation)
        for report in reports:
            report(results)
        self.folder.write(results.facts)
        parts.remove(self.folder.path)  # last.safetensors has the weights, and a complete run is not resumed
        return results

    def checkpoint(self, *, weights_only: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and facts of a checkpoint: the whole state, or only the weights that are evaluated."""
        return self.state.weights() if weights_only else self.state.tensors(), self._facts()

    def _facts(self) -> dict[str, Any]:
        """The facts of a checkpoint."""
        facts = self.plan.to_dict()
        return {
            **{key: facts[key] for key in ("net", "recipe", "preprocess", "classes", "data_name", "seed")},
            "fingerprint": self.splits.fingerprint,
            "state": self.state.facts(),
        }

    def _check_saved(self, tensors: dict[str, Tensor], live: nn.Module) -> None:
        """Check that the network, built again with saved weights, computes what `live` computes. Raises CN210."""
        rebuilt = self.plan.rebuild() if self.blank is None else self.blank
        rebuilt.to(self.device).load_state_dict(checkpoint.weights(tensors))
        images = self.batches.images(torch.arange(min(_COMPARED_IMAGES, self.batches.train_count)))
        check_saved(live, rebuilt, prepare(images, self.plan.preprocess), name=self.plan.net_spec.display_name)

    def _evaluate(self) -> Scores:
        """Evaluate the split that the recipe monitors, in the precision of training."""
        return Scores(**self.group.from_first(asdict(self._own_scores())))

    def _own_scores(self) -> Scores:
        """The scores as this process computes them."""
        monitor = self.plan.recipe.monitor
        self.group.whole_net(self.state.evaluated_net)
        if monitor == "validation" and self.validation is not None:
            evaluation = evaluate(self.epoch_predictor, self.validation)[0]
            return Scores(validation_accuracy=evaluation.accuracy, validation_loss=evaluation.loss)
        if monitor == "test":
            return Scores(test_accuracy=evaluate(self.epoch_predictor, self.splits.test)[0].accuracy)
        return Scores()

    def _record(self, event: Event) -> list[Advice]:
        """Append the event and the subscribers' advice to the history; steps without a loss are not recorded.

        The subscribers get the whole network; only the first process of a group has subscribers and a history.
        """
        if isinstance(event, Step) and event.loss is None:
            return []
        self.group.whole_net(self.state.net)
        if isinstance(event, Step) and not math.isfinite(event.loss or 0.0):
            advice = [one for subscriber in self.subscribers for one in subscriber.on_event(event, self.net)]
            raise self._not_finite(event, tuple(one.hint for one in advice))
        if self.group.rank > 0:
            return []
        history.append(self.folder.history, event)
        return [
            advice for subscriber in self.subscribers for advice in self._append(subscriber.on_event(event, self.net))
        ]

    def _append(self, advice: list[Advice]) -> list[Advice]:
        for event in advice:
            history.append(self.folder.history, event)
        return advice

    def _save(self, path: Path, *, weights_only: bool = False) -> None:
        """Save the whole state, or the weights that are evaluated; also if the state is saved in parts elsewhere."""
        if self.group.rank == 0:
            history.sync(self.folder.history)
        in_parts = not weights_only and self.group.save_parts(self.folder.path, self.state, self._facts())
        content = self.checkpoint(weights_only=weights_only or in_parts)
        if self.group.rank == 0:
            checkpoint.save(path, *content)
            if not weights_only and not in_parts:
                parts.remove(self.folder.path)

    def _keep(self, epoch: int) -> None:
        """Keep the weights of an epoch. Raises MachineError CN401 if they cannot be written."""
        path = self.folder.epoch(epoch)
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(path.parent, error) from error
        self._save(path, weights_only=True)

    def _not_finite(self, event: Step, hints: tuple[str, ...]) -> CheckFailed:
        """The error for a loss that is not finite, with the hints of the subscribers if they know the cause."""
        lr = self.plan.recipe.lr
        saved = _("no epoch was finished, so there is no earlier checkpoint")
        if self.state.epoch:
            path = parts.newest(self.folder.path) or self.folder.last
            saved = _("{path} has the state after epoch {epoch}", path=path, epoch=self.state.epoch)
        return CheckFailed(
            "CN101",
            _("the loss is no longer finite; training stopped"),
            where=_(
                "epoch {epoch}, before step {step} of {steps}, lr={lr:g}",
                epoch=event.epoch,
                step=event.step,
                steps=event.steps,
                lr=lr,
            ),
            why=_("the weights have diverged, usually because the learning rate is too high") + "\n" + saved,
            hint=hints or command("--set", f"lr={lr / 10:g}"),
        )


def _blank(plan: Plan) -> nn.Module | None:
    """A copy of the module that was passed in, before it is trained."""
    if plan.net is None:
        return None
    return set_precision(complete(copy_module(plan.net), plan.preprocess.shape), plan.recipe.precision)


@contextmanager
def _stop_on_ctrl_c(*, patient: bool) -> Iterator[Callable[[], bool]]:
    """While open, Ctrl-C stops after the step in progress, and a second Ctrl-C stops at once.

    Outside the main thread, where signals cannot be caught, Ctrl-C is not changed.

    Args:
        patient: ignore a second Ctrl-C, because the launcher of several processes repeats it.

    Yields:
        A function that returns whether to stop.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def handle(_signal: int, _frame: object) -> None:
        stop.set()
        if not patient:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield stop.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
