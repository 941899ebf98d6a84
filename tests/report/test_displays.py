"""Displays: the same events on a terminal, in a pipe, in a notebook, in TensorBoard and as JSON lines."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

import classicnets as cn
from classicnets.api.training import attach_tensorboard, follow
from classicnets.errors import MachineError
from classicnets.events import Advice, Epoch, Event, Step, from_line, to_line
from classicnets.hints import as_python
from classicnets.report import figures, notebook
from classicnets.report.jsonlines import JsonLines
from classicnets.report.notebook import Notebook, in_notebook
from classicnets.report.tensorboard import TensorBoard
from classicnets.report.terminal import Terminal
from classicnets.runs import history
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Expected
from support.command_line import CommandLine
from support.typed import present

ADVICE = Advice(
    epoch=1, step=4, topic="dead_relus", message="4 of 5 units in relu2 never fire (dead ReLUs)", hint="--set lr=[0.01]"
)
STOP_REASON = "no better validation accuracy for 1 epoch"
STEPS = 13  # 400 images in batches of 32
EPOCH_NAMES = ("test_accuracy", "lr", "images_per_second", "wait_share")


def begin(blobs: Path, runs: Path, **settings: object) -> Session:
    run_plan = plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 2, "batch_size": 32, **settings}))
    return Session.start(run_plan, lambda _: None, Output(runs=str(runs)))


class TrainedRun(NamedTuple):
    """The folder and all events of a run that has trained."""

    folder: RunFolder
    all_events: list[Event]


@pytest.fixture(scope="module")
def run(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    session = begin(blobs, tmp_path_factory.mktemp("displays"))
    return TrainedRun(session.folder, list(session.events()))


@pytest.fixture(scope="module")
def events(run: TrainedRun) -> list[Event]:
    """The events of the run, with advice in the first epoch and a reason to stop after the second."""
    i = 1 + next(n for n, e in enumerate(run.all_events) if isinstance(e, Step) and e.step == ADVICE.step)
    last = run.all_events[-1]
    assert isinstance(last, Epoch)
    return [*run.all_events[:i], ADVICE, *run.all_events[i:-1], replace(last, stops=STOP_REASON)]


def show_all(display: Any, events: list[Event]) -> None:
    with display:
        for event in events:
            display.show(event)


def without_silent_steps(events: list[Event]) -> list[Event]:
    return [e for e in events if not (isinstance(e, Step) and e.loss is None)]


class Recorder:
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.open: bool | None = None

    def __enter__(self) -> None:
        self.open = True

    def __exit__(self, *_: Any) -> None:
        self.open = False

    def show(self, event: Any) -> None:
        assert self.open
        self.events.append(event)


def test_every_display_receives_every_event_and_is_closed(blobs: Path, tmp_path: Path) -> None:
    first, second = Recorder(), Recorder()
    run = follow(begin(blobs, tmp_path, epochs=1), first, second)
    assert first.events == second.events and not first.open and not second.open
    assert [e.step for e in first.events[:-1]] == [*range(1, STEPS + 1)] and isinstance(first.events[-1], Epoch)
    assert present(run.result)["n"] == 100


def test_displays_are_closed_when_training_is_interrupted(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, first, second = begin(blobs, tmp_path), Recorder(), Recorder()

    def interrupted_events() -> Iterator[Event]:
        yield ADVICE
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "events", interrupted_events)
    with pytest.raises(KeyboardInterrupt):
        follow(session, first, second)
    assert first.events == second.events == [ADVICE] and first.open is False and second.open is False


def test_pipe_shows_plain_lines(events: list[Event]) -> None:
    out = io.StringIO()
    show_all(Terminal(Console(file=out, force_terminal=False, width=1000)), events)
    lines = out.getvalue().splitlines()
    assert lines[:2] == [f"coach: {ADVICE.message}", f"  hint: {ADVICE.hint}"]
    first, second = (e for e in events if isinstance(e, Epoch))
    assert lines[2].startswith(f"epoch 1/2  loss {first.loss:.4f}  train {first.accuracy:.4f}  test ")
    assert "  left 0:0" in lines[2] and lines[3].startswith("epoch 2/2  ") and lines[3].endswith("  done")
    assert f"test {second.test_accuracy:.4f}" in lines[3]
    assert lines[4:] == [f"stops after epoch 2 of 2: {STOP_REASON}"]
    assert "\x1b" not in out.getvalue()


def test_shows_no_remaining_time_after_an_early_stop(events: list[Event]) -> None:
    out = io.StringIO()
    first = next(e for e in events if isinstance(e, Epoch))
    show_all(Terminal(Console(file=out, width=1000)), [replace(first, epochs=9, stops=STOP_REASON)])
    line, reason = out.getvalue().splitlines()
    assert line.endswith("  done") and "left" not in line and reason == f"stops after epoch 1 of 9: {STOP_REASON}"


def test_terminal_shows_a_transient_bar_and_the_same_lines(events: list[Event]) -> None:
    out, plain = io.StringIO(), io.StringIO()
    show_all(Terminal(Console(file=out, force_terminal=True, width=150)), events)
    show_all(Terminal(Console(file=plain, force_terminal=False, width=150)), events)
    text = out.getvalue()
    assert "━" in text and text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # cursor hidden and shown again
    assert all(line in text for line in plain.getvalue().splitlines())


def test_json_lines_equal_the_history(run: TrainedRun, tmp_path: Path) -> None:
    out = io.StringIO()
    show_all(JsonLines(out), run.all_events)
    assert out.getvalue() == run.folder.history.read_text()


def test_json_lines_hold_every_event_except_silent_steps(events: list[Event]) -> None:
    out = io.StringIO()
    show_all(JsonLines(out), events)
    lines = out.getvalue().splitlines()
    assert [from_line(line) for line in lines] == without_silent_steps(events)
    assert {json.loads(line)["event"] for line in lines} == {"step", "epoch", "advice"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_null(events: list[Event], value: float) -> None:
    last = events[-1]
    assert isinstance(last, Epoch)
    line = to_line(replace(last, loss=value, validation_loss=value))
    values = json.loads(line, parse_constant=pytest.fail)
    assert values["loss"] is None and values["validation_loss"] is None and line.count("\n") == 1


def test_a_line_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with path.open("w") as stream, JsonLines(stream) as display:
        display.show(ADVICE)
        assert path.read_text() == to_line(ADVICE)


def test_history_keeps_advice_up_to_the_step_that_a_run_resumes_at(tmp_path: Path, events: list[Event]) -> None:
    path = tmp_path / "history.jsonl"
    for event in without_silent_steps(events):
        history.append(path, event)
    assert history.read(path) == without_silent_steps(events)
    history.truncate(path, 0, ADVICE.step)
    assert history.read(path)[-1] == ADVICE
    history.truncate(path, 0, ADVICE.step - 1)
    remaining = history.read(path)
    assert remaining and ADVICE not in remaining
    history.append(path, replace(ADVICE, epoch=2, step=0))
    history.truncate(path, 1, 0)
    assert history.read(path)[-1].epoch == 2


@pytest.fixture
def seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads files in the order of their names, which contain the second of their creation."""
    seconds = itertools.count(2_000_000_000)
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: next(seconds)))


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    return {tag: [(s.step, s.value) for s in accumulator.Scalars(tag)] for tag in tags}


def expected_scalars(events: list[Event]) -> dict[str, list[tuple[int, float]]]:
    steps = [e for e in without_silent_steps(events) if isinstance(e, Step)]
    epochs = [e for e in events if isinstance(e, Epoch)]
    of_steps = {n: [((e.epoch - 1) * STEPS + e.step, getattr(e, n)) for e in steps] for n in ("loss", "accuracy")}
    return of_steps | {name: [(e.epoch * STEPS, getattr(e, name)) for e in epochs] for name in EPOCH_NAMES}


def assert_same_scalars(actual: Any, expected: Any) -> None:
    assert actual.keys() == expected.keys()
    for name, points in expected.items():
        assert [step for step, _ in actual[name]] == [step for step, _ in points], name
        assert [v for _, v in actual[name]] == pytest.approx([v for _, v in points], rel=1e-6, abs=1e-9), name


def test_tensorboard_scalars_equal_the_events(events: list[Event], tmp_path: Path) -> None:
    show_all(TensorBoard(tmp_path, STEPS), events)
    assert_same_scalars(scalars(tmp_path), expected_scalars(events))


def test_tensorboard_shows_validation_instead_of_test_metrics(events: list[Event], tmp_path: Path) -> None:
    last = events[-1]
    assert isinstance(last, Epoch)
    last = replace(last, test_accuracy=None, validation_accuracy=0.5, validation_loss=1.25)
    show_all(TensorBoard(tmp_path, STEPS), [last])
    values = scalars(tmp_path)
    assert values["validation_accuracy"] == [(26, 0.5)] and values["validation_loss"] == [(26, 1.25)]
    assert "test_accuracy" not in values


@pytest.mark.parametrize(("steps_before_kill", "done"), [(9, 0), (20, 13), (18, 16), (13, 13)])
@pytest.mark.usefixtures("seconds_apart")
def test_repeated_steps_are_in_tensorboard_once(
    run: TrainedRun, tmp_path: Path, steps_before_kill: int, done: int
) -> None:
    """The run is killed after `steps_before_kill` steps and resumed after `done` steps."""
    step_indices = [i for i, e in enumerate(run.all_events) if isinstance(e, Step)]
    end, restart = step_indices[steps_before_kill - 1] + 1, step_indices[done - 1] + 1 if done else 0
    if done == STEPS and steps_before_kill > STEPS:
        restart += 1  # the end of the epoch was saved
    show_all(TensorBoard(tmp_path, STEPS), run.all_events[:end])
    show_all(TensorBoard(tmp_path, STEPS, done), run.all_events[restart:])
    assert_same_scalars(scalars(tmp_path), expected_scalars(run.all_events))


@pytest.mark.usefixtures("seconds_apart")
def test_a_resumed_run_continues_in_tensorboard_and_as_json_lines(
    blobs: Path, tmp_path: Path, cli: CommandLine
) -> None:
    session = begin(blobs, tmp_path)
    with attach_tensorboard(session) as display:
        assert isinstance(display, TensorBoard)
        events = session.events()
        for event in events:
            display.show(event)
            if (
                event.epoch == 2 and not isinstance(event, Epoch) and event.step == 5
            ):  # the last checkpoint is that of epoch 1
                break
        events.close()
    code, out, err = cli("train", "--resume", session.folder.path, "--tensorboard", "--jsonl")
    assert code == 0, err
    recorded = history.read(session.folder.history)
    assert_same_scalars(scalars(session.folder.path / "tensorboard"), expected_scalars(recorded))
    *lines, result = out.splitlines()
    assert [from_line(line) for line in lines] == [e for e in recorded if e.epoch == 2]
    result = json.loads(result)
    assert result.pop("event") == "result" and result.pop("run") == str(session.folder.path)
    assert result == json.loads((session.folder.path / "run.json").read_text())["result"]
    assert "epoch 2/2" in err and f"tensorboard --logdir {session.folder.path}" in err


@pytest.mark.parametrize("other", ["--json", "--dry-run"])
def test_json_lines_exclude_other_output(cli: CommandLine, other: str) -> None:
    code, out, err = cli("train", "lenet_d2l", "--jsonl", other)
    assert code == 2 and "error[CN206]: --jsonl" in err and ("error" in out) == (other == "--json")


def test_reports_a_missing_package_before_reading_data(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(MachineError) as caught:
        cn.train("lenet_d2l", data="/nowhere", tensorboard=True)
    assert caught.value.code == "CN403" and "tensorboard" in caught.value.why
    assert caught.value.hints == ("pip install 'classicnets[tensorboard]'",)
    code, _, err = cli("train", "lenet_d2l", "--data", "/nowhere", "--tensorboard")
    assert code == 4 and "error[CN403]" in err and "pip install 'classicnets[tensorboard]'" in err
    assert not list(tmp_path.iterdir())


class Cell:
    """The outputs below a cell, as IPython's `display` changes them."""

    def __init__(self) -> None:
        self.contents: dict[Any, dict[str, Any]] = {}
        self.calls = 0

    def display(self, content: Any, *, raw: Any, display_id: Any, update: Any) -> None:
        assert raw and update == (display_id in self.contents)
        self.contents[display_id] = content
        self.calls += 1

    @property
    def image(self) -> np.ndarray:
        png = next(c["image/png"] for c in self.contents.values() if "image/png" in c)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))

    @property
    def text(self) -> str:
        text: str = next(c["text/plain"] for c in self.contents.values() if "image/png" not in c)
        return text


def test_notebook_ends_with_the_curves_of_the_run(events: list[Event]) -> None:
    cell = Cell()
    expected = Expected(low=0.7, high=0.8, mean=0.75, n=5, source="a book")
    show_all(Notebook("a run", expected, cell.display), events)
    png = io.BytesIO(figures.png(figures.draw_curves(events, expected, "a run")))
    assert np.array_equal(cell.image, np.asarray(Image.open(png).convert("RGB")))
    assert len(cell.contents) == 2  # an image and a text, updated in place
    coach, hint, last, stops = cell.text.splitlines()
    assert coach == f"coach: {ADVICE.message}" and hint == f"  hint: {as_python(ADVICE.hint)}"
    assert last.startswith("epoch 2/2") and stops.endswith(STOP_REASON)


@pytest.mark.parametrize(("seconds", "drawings"), [(0.0, 3), (0.3, 5), (2.0, 16)])
def test_notebook_draws_steps_at_most_once_a_second(
    run: TrainedRun, monkeypatch: pytest.MonkeyPatch, seconds: float, drawings: int
) -> None:
    """Two epochs of 7 steps with a loss, `seconds` apart: draws the first step, both epochs, and each step that comes
    a second or more after the previous drawing.
    """
    clock, cell = SimpleNamespace(now=100.0), Cell()
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(figures, "DPI", 20)
    with Notebook("a run", None, cell.display) as display:
        for event in run.all_events:
            display.show(event)
            clock.now += seconds * len(without_silent_steps([event]))
    assert cell.calls == 2 * drawings  # an image and a text


def test_notebook_on_a_slow_machine_draws_a_tenth_of_the_time(run: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, cell = SimpleNamespace(now=100.0), Cell()
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(figures, "DPI", 20)

    def slow_display(*args: Any, **options: Any) -> None:
        clock.now += 0.25
        cell.display(*args, **options)

    with Notebook("a run", None, slow_display) as display:
        display.show(run.all_events[1])
        clock.now += 4.9  # drawing took half a second
        display.show(run.all_events[3])
        assert cell.calls == 2
        clock.now += 0.2
        display.show(run.all_events[5])
        assert cell.calls == 4


def test_notebook_shows_the_last_step_of_an_interrupted_run(run: TrainedRun) -> None:
    cell = Cell()
    show_all(Notebook("a run", None, cell.display), run.all_events[:6])
    first_step = Cell()
    show_all(Notebook("a run", None, first_step.display), run.all_events[:2])
    assert cell.calls == 4 and not np.array_equal(cell.image, first_step.image)
    empty = Cell()
    show_all(Notebook("a run", None, empty.display), run.all_events[:1])
    assert empty.calls == 0


def test_this_process_is_not_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook() and "IPython" not in sys.modules
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


@pytest.mark.slow
def test_executed_notebook_contains_the_curves(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: None
) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    cell = f"import classicnets as cn\nrun = cn.train('lenet_d2l', data={str(blobs)!r}, epochs=2, batch_size=32)"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    resources = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(
        book, kernel_name="python3", resources=resources, timeout=None, startup_timeout=600, iopub_timeout=600
    )  # the machine may be slow
    client.execute()
    nbformat.write(book, tmp_path / "run.ipynb")
    outputs = nbformat.read(tmp_path / "run.ipynb", as_version=4).cells[0].outputs
    (image,) = (o.data["image/png"] for o in outputs if o.output_type == "display_data" and "image/png" in o.data)
    curves = tmp_path / "runs/lenet_d2l-blobs-1/curves.png"
    image = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(curves).convert("RGB")))
    (text,) = (o.data["text/plain"] for o in outputs if o.output_type == "display_data" and "image/png" not in o.data)
    assert text.startswith("epoch 2/2  loss")
    assert not [o for o in outputs if o.output_type in ("stream", "error")]
