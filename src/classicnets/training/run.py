"""A run from start to end: the loop, saving as it goes, then the results."""

from __future__ import annotations

import math
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from classicnets import machine
from classicnets.data import batches, datasets
from classicnets.errors import CheckFailed, DataError, UsageError
from classicnets.evaluation.evaluate import Evaluation, evaluate, write_metrics
from classicnets.evaluation.predictor import Predictor
from classicnets.report import figures, markdown, mistakes
from classicnets.runs import checkpoint, folder, history
from classicnets.runs.folder import RunFolder
from classicnets.training import optim
from classicnets.training.loop import State, fit, part
from classicnets.training.plan import Plan, planned, verdict
from classicnets.values import Epoch, Event, Step

Say = Callable[[str], None]


class Training:
    """A run in progress. Iterate over `events()`, then call `finish()`."""

    def __init__(self, plan: Plan, where: RunFolder, pictures: datasets.Pictures, net: nn.Module):
        self.plan, self.folder, self.pictures, self.net = plan, where, pictures, net
        machine.keep_memory()
        self.device = torch.device(plan.device)
        net.to(self.device)
        recipe = plan.recipe
        train, self.validation = batches.divide(pictures.train, recipe.validation, plan.limit, plan.seed)
        self.batches = batches.Batches(train, recipe, plan.preprocess, seed=plan.seed, device=self.device)
        self.state = State(net, optim.make(net, recipe))
        self.predictor = Predictor(net, plan.preprocess, plan.description.classes, self.device)

    def summary(self) -> list[str]:
        """What is about to happen, for people."""
        pictures, validation = self.pictures, len(self.validation) if self.validation else 0
        return [
            *self.plan.lines(),
            f"data    {pictures.name} from {pictures.source}: {len(self.batches.labels):,} training"
            f"{f', {validation:,} validation' if validation else ''} and {len(pictures.test):,} test pictures",
            f"run     {self.folder.path}",
        ]

    def events(self) -> Iterator[Event]:
        """Trains to the end, saving after each epoch and, at Ctrl-C, after the step that is under way.

        Raises KeyboardInterrupt after saving, CheckFailed CN101 if the loss is not finite.
        """
        with _stop_on_ctrl_c() as stopped:
            for event in fit(self.state, self.batches, self.plan.recipe, self._watch):
                self._keep(event)
                yield event
                if stopped():
                    if math.isfinite(float(self.state.loss_sum)):
                        self._save(self.folder.last)
                    raise KeyboardInterrupt

    def finish(self) -> Evaluation:
        """Evaluates the best weights (else the last) on the test split, and writes the results, pictures and card."""
        if self.folder.best.exists():
            tensors, _ = checkpoint.load(self.folder.best)
            self.net.load_state_dict(part(tensors, "net/"))
        evaluation, probabilities = evaluate(self.predictor, self.pictures.test)
        epochs = [event for event in history.read(self.folder.history) if isinstance(event, Epoch)]
        facts, measured = self.folder.read(), evaluation.to_dict()
        weights, classes = self.folder.weights_file().name, self.plan.description.classes
        write_metrics(self.folder.metrics, {"weights": weights, "classes": classes, **measured})
        facts["finished_at"] = _now()
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
        net = self.plan.origin.described
        title = f"{net} on {self.pictures.name}: accuracy {evaluation.accuracy:.4f} on {evaluation.n:,} test pictures"
        draw_curves(self.folder, self.plan)
        mistakes.confusion(self.folder.confusion, evaluation.confusion, classes, title)
        error = f"calibration error {evaluation.calibration_error:.4f}"
        mistakes.calibration(self.folder.calibration, measured["calibration"], f"{title}\n{error}")
        test = self.pictures.test
        mistakes.contact_sheet(self.folder.contact_sheet, test.images, test.labels, probabilities, classes, title)
        markdown.write_card(self.folder.path / "card.md", facts, net=net)
        self.folder.write(facts)
        return evaluation

    def _watch(self) -> tuple[float | None, float | None]:
        """The accuracy that the recipe's `monitor` names, after an epoch."""
        monitor = self.plan.recipe.monitor
        if monitor == "validation" and self.validation is not None:
            return evaluate(self.predictor, self.validation)[0].accuracy, None
        if monitor == "test":
            return None, evaluate(self.predictor, self.pictures.test)[0].accuracy
        return None, None

    def _keep(self, event: Event) -> None:
        if isinstance(event, Step):
            if event.loss is None:
                return
            if not math.isfinite(event.loss):
                raise self._not_finite(event)
            history.append(self.folder.history, event)
            return
        history.append(self.folder.history, event)
        if event.best:
            self._save(self.folder.best, weights_only=True)
        self._save(self.folder.last)

    def _save(self, path: Path, *, weights_only: bool = False) -> None:
        tensors = self.state.tensors()
        asked = self.plan.to_dict()
        checkpoint.save(
            path,
            {n: t for n, t in tensors.items() if n.startswith("net/")} if weights_only else tensors,
            {
                **{key: asked[key] for key in ("net", "recipe", "preprocess", "classes", "data_name", "seed")},
                "fingerprint": self.pictures.fingerprint,
                "state": self.state.facts(),
            },
        )

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


def start(plan: Plan, runs: Path, command: str, say: Say) -> Training:
    """Reads the data and makes the run folder. Raises DataError if the data cannot be had, MachineError CN401."""
    pictures = datasets.load(plan.data, say=say)
    where = folder.make(runs, f"{plan.origin.label}-{pictures.name}", plan.origin)
    where.write(
        {
            "command": command,
            "started_at": _now(),
            **plan.to_dict(),
            "threads": torch.get_num_threads(),
            "data_source": pictures.source,
            "fingerprint": pictures.fingerprint,
            "machine": machine.describe(),
        }
    )
    return Training(plan, where, pictures, plan.build())


def resume(path: str | Path, say: Say, net: nn.Module | None = None) -> Training:
    """Goes on with a run from its last save, or from the beginning if it has none; restores the thread count.

    Raises UsageError CN207 or CN208, DataError CN305 or CN306.
    """
    where = folder.open_run(path)
    facts = where.read()
    if "result" in facts:
        raise UsageError(
            "CN208",
            "the run is complete",
            where=str(path),
            why=f"all {facts['recipe']['epochs']} epochs are done and its results are written",
            hint=f"classicnets evaluate {path}",
        )
    torch.set_num_threads(facts["threads"])
    again = planned(where, net)
    pictures = datasets.load(again.data, say=say)
    if pictures.fingerprint != facts["fingerprint"]:
        raise DataError(
            "CN306",
            f"{again.data} holds other bytes than when the run began",
            where=str(path),
            why=f"fingerprint {pictures.fingerprint[:12]} now, {facts['fingerprint'][:12]} then",
            hint=f"classicnets data check {again.data}",
        )
    training = Training(again, where, pictures, again.build())
    if where.last.exists():
        tensors, saved = checkpoint.load(where.last)
        training.state.restore(tensors, saved["state"])
    history.keep_until(where.history, training.state.epoch, training.state.step)
    return training


def draw_curves(where: RunFolder, plan: Plan) -> None:
    """Draws the history of a run into its folder."""
    figures.curves(
        where.curves,
        history.read(where.history),
        plan.recipe.expected if plan.as_published else None,
        title=f"{plan.origin.described} on {plan.description.name}, recipe {plan.recipe.source}, seed {plan.seed}",
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    """The command that started this process, for run.json."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return shlex.join(["classicnets" if program == "__main__.py" else program or "python", *sys.argv[1:]])
