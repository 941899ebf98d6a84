"""Faces: the same events on a terminal, in a pipe, in a notebook, in TensorBoard and as lines of JSON."""

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
from typing import Any

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
from classicnets.report import figures, notebook
from classicnets.report.jsonlines import JsonLines
from classicnets.report.notebook import Notebook, in_notebook
from classicnets.report.tensorboard import TensorBoard
from classicnets.report.terminal import Terminal
from classicnets.runs import history
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Expected
from support.command_line import CommandLine

ADVICE = Advice(
    epoch=1, step=4, topic="dead_relus", said="4 of 5 units in relu2 never fire (dead ReLUs)", hint="--set lr=[0.01]"
)
STOPS = "no better validation accuracy for 1 epoch"
STEPS = 13  # 400 images in batches of 32
EPOCH_NAMES = ("test_accuracy", "lr", "images_per_second", "wait_share")


def begin(blobs: Path, runs: Path, **settings: object) -> Session:
    planned = plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 2, "batch_size": 32, **settings}))
    return Session.start(planned, lambda _: None, Output(runs=str(runs)))


@pytest.fixture(scope="module")
def run(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose events have all come."""
    started = begin(blobs, tmp_path_factory.mktemp("faces"))
    started.all_events = list(started.events())
    return started


@pytest.fixture(scope="module")
def events(run: Any) -> list[Event]:
    """Those of the run, with advice in the first epoch and a reason to stop after the second."""
    at = 1 + next(i for i, e in enumerate(run.all_events) if e.step == ADVICE.step)
    return [*run.all_events[:at], ADVICE, *run.all_events[at:-1], replace(run.all_events[-1], stops=STOPS)]


def shown(face: Any, events: list[Event]) -> None:
    with face:
        for event in events:
            face.show(event)


def reported(events: list[Event]) -> list[Event]:
    return [e for e in events if not (isinstance(e, Step) and e.loss is None)]


class Recorder:
    def __init__(self) -> None:
        self.events, self.open = [], None

    def __enter__(self) -> None:
        self.open = True

    def __exit__(self, *_: Any) -> None:
        self.open = False

    def show(self, event: Any) -> None:
        assert self.open
        self.events.append(event)


def test_every_face_is_shown_every_event_and_closed(blobs: Path, tmp_path: Path) -> None:
    one, two = Recorder(), Recorder()
    done = follow(begin(blobs, tmp_path, epochs=1), one, two)
    assert one.events == two.events and not one.open and not two.open
    assert [e.step for e in one.events[:-1]] == [*range(1, STEPS + 1)] and isinstance(one.events[-1], Epoch)
    assert done.result["n"] == 100


def test_faces_are_closed_when_training_is_stopped(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, one, two = begin(blobs, tmp_path), Recorder(), Recorder()

    def stopped() -> Iterator[Event]:
        yield ADVICE
        raise KeyboardInterrupt

    monkeypatch.setattr(started, "events", stopped)
    with pytest.raises(KeyboardInterrupt):
        follow(started, one, two)
    assert one.events == two.events == [ADVICE] and one.open is False and two.open is False


def test_a_pipe_gets_plain_lines(events: list[Event]) -> None:
    out = io.StringIO()
    shown(Terminal(Console(file=out, force_terminal=False, width=1000)), events)
    lines = out.getvalue().splitlines()
    assert lines[:2] == [f"coach: {ADVICE.said}", f"  hint: {ADVICE.hint}"]
    first, second = (e for e in events if isinstance(e, Epoch))
    assert lines[2].startswith(f"epoch 1/2  loss {first.loss:.4f}  train {first.accuracy:.4f}  test ")
    assert "  left 0:0" in lines[2] and lines[3].startswith("epoch 2/2  ") and lines[3].endswith("  done")
    assert f"test {second.test_accuracy:.4f}" in lines[3]
    assert lines[4:] == [f"stops after epoch 2 of 2: {STOPS}"]
    assert "\x1b" not in out.getvalue()


def test_nothing_is_left_to_wait_for_after_an_early_stop(events: list[Event]) -> None:
    out = io.StringIO()
    first = next(e for e in events if isinstance(e, Epoch))
    shown(Terminal(Console(file=out, width=1000)), [replace(first, epochs=9, stops=STOPS)])
    line, reason = out.getvalue().splitlines()
    assert line.endswith("  done") and "left" not in line and reason == f"stops after epoch 1 of 9: {STOPS}"


def test_a_terminal_gets_a_bar_that_goes_and_the_same_lines(events: list[Event]) -> None:
    out, plain = io.StringIO(), io.StringIO()
    shown(Terminal(Console(file=out, force_terminal=True, width=150)), events)
    shown(Terminal(Console(file=plain, force_terminal=False, width=150)), events)
    text = out.getvalue()
    assert "━" in text and text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # cursor hidden and shown again
    assert all(line in text for line in plain.getvalue().splitlines())


def test_lines_of_json_are_the_history(run: Any, tmp_path: Path) -> None:
    out = io.StringIO()
    shown(JsonLines(out), run.all_events)
    assert out.getvalue() == run.folder.history.read_text()


def test_lines_of_json_hold_every_event_that_says_something(events: list[Event]) -> None:
    out = io.StringIO()
    shown(JsonLines(out), events)
    lines = out.getvalue().splitlines()
    assert [from_line(line) for line in lines] == reported(events)
    assert {json.loads(line)["event"] for line in lines} == {"step", "epoch", "advice"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_null(events: list[Event], value: float) -> None:
    line = to_line(replace(events[-1], loss=value, validation_loss=value))
    values = json.loads(line, parse_constant=pytest.fail)
    assert values["loss"] is None and values["validation_loss"] is None and line.count("\n") == 1


def test_a_line_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with path.open("w") as stream, JsonLines(stream) as face:
        face.show(ADVICE)
        assert path.read_text() == to_line(ADVICE)


def test_the_history_keeps_advice_up_to_where_a_run_goes_on(tmp_path: Path, events: list[Event]) -> None:
    path = tmp_path / "history.jsonl"
    for event in reported(events):
        history.append(path, event)
    assert history.read(path) == reported(events)
    history.keep_until(path, 0, ADVICE.step)
    assert history.read(path)[-1] == ADVICE
    history.keep_until(path, 0, ADVICE.step - 1)
    kept = history.read(path)
    assert kept and ADVICE not in kept
    history.append(path, replace(ADVICE, epoch=2, step=0))
    history.keep_until(path, 1, 0)
    assert history.read(path)[-1].epoch == 2


@pytest.fixture
def seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads files in the order of their names, which hold the second in which they were begun."""
    seconds = itertools.count(2_000_000_000)
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: next(seconds)))


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(s.step, s.value) for s in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def expected_scalars(events: list[Event]) -> dict[str, list[tuple[int, float]]]:
    steps = [e for e in reported(events) if isinstance(e, Step)]
    epochs = [e for e in events if isinstance(e, Epoch)]
    of_steps = {n: [((e.epoch - 1) * STEPS + e.step, getattr(e, n)) for e in steps] for n in ("loss", "accuracy")}
    return of_steps | {name: [(e.epoch * STEPS, getattr(e, name)) for e in epochs] for name in EPOCH_NAMES}


def assert_same_scalars(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, points in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        assert [v for _, v in found[name]] == pytest.approx([v for _, v in points], rel=1e-6, abs=1e-9), name


def test_tensorboard_reads_back_the_events(events: list[Event], tmp_path: Path) -> None:
    shown(TensorBoard(tmp_path, STEPS), events)
    assert_same_scalars(scalars(tmp_path), expected_scalars(events))


def test_tensorboard_shows_what_is_watched(events: list[Event], tmp_path: Path) -> None:
    last = replace(events[-1], test_accuracy=None, validation_accuracy=0.5, validation_loss=1.25)
    shown(TensorBoard(tmp_path, STEPS), [last])
    found = scalars(tmp_path)
    assert found["validation_accuracy"] == [(26, 0.5)] and found["validation_loss"] == [(26, 1.25)]
    assert "test_accuracy" not in found


@pytest.mark.parametrize(("seen", "done"), [(9, 0), (20, 13), (18, 16), (13, 13)])
@pytest.mark.usefixtures("seconds_apart")
def test_what_happens_again_is_in_tensorboard_once(run: Any, tmp_path: Path, seen: int, done: int) -> None:
    """The first part saw `seen` steps and was killed; the run goes on after `done` of them."""
    passed = [i for i, e in enumerate(run.all_events) if isinstance(e, Step)]
    first, again = passed[seen - 1] + 1, passed[done - 1] + 1 if done else 0
    if done == STEPS and seen > STEPS:
        again += 1  # its end was saved with the epoch
    shown(TensorBoard(tmp_path, STEPS), run.all_events[:first])
    shown(TensorBoard(tmp_path, STEPS, done), run.all_events[again:])
    assert_same_scalars(scalars(tmp_path), expected_scalars(run.all_events))


@pytest.mark.usefixtures("seconds_apart")
def test_a_run_goes_on_in_tensorboard_and_the_rest_comes_as_lines(
    blobs: Path, tmp_path: Path, cli: CommandLine
) -> None:
    started = begin(blobs, tmp_path)
    with attach_tensorboard(started) as face:
        coming = started.events()
        for event in coming:
            face.show(event)
            if event.epoch == 2 and event.step == 5:  # saved after epoch 1
                break
        coming.close()
    code, out, err = cli("train", "--resume", started.folder.path, "--tensorboard", "--jsonl")
    assert code == 0, err
    kept = history.read(started.folder.history)
    assert_same_scalars(scalars(started.folder.path / "tensorboard"), expected_scalars(kept))
    *lines, result = out.splitlines()
    assert [from_line(line) for line in lines] == [e for e in kept if e.epoch == 2]
    result = json.loads(result)
    assert result.pop("event") == "result" and result.pop("run") == str(started.folder.path)
    assert result == json.loads((started.folder.path / "run.json").read_text())["result"]
    assert "epoch 2/2" in err and f"tensorboard --logdir {started.folder.path}" in err


@pytest.mark.parametrize("other", ["--json", "--dry-run"])
def test_lines_of_json_are_not_mixed_with_other_output(cli: CommandLine, other: str) -> None:
    code, out, err = cli("train", "lenet_d2l", "--jsonl", other)
    assert code == 2 and "error[CN206]: --jsonl" in err and ("error" in out) == (other == "--json")


def test_a_missing_package_is_said_before_anything_is_read(
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
    """What is under a cell, as IPython's `display` changes it."""

    def __init__(self) -> None:
        self.contents, self.calls = {}, 0

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
        return next(c["text/plain"] for c in self.contents.values() if "image/png" not in c)


def test_a_notebook_ends_with_the_curves_of_the_run(events: list[Event]) -> None:
    cell = Cell()
    expected = Expected(low=0.7, high=0.8, mean=0.75, n=5, source="a book")
    shown(Notebook("a run", expected, cell.display), events)
    whole = io.BytesIO(figures.png(figures.draw_curves(events, expected, "a run")))
    assert np.array_equal(cell.image, np.asarray(Image.open(whole).convert("RGB")))
    assert len(cell.contents) == 2  # one image, one text, replaced as they change
    coach, hint, last, stops = cell.text.splitlines()
    assert coach == f"coach: {ADVICE.said}" and hint == f"  hint: {ADVICE.hint}"
    assert last.startswith("epoch 2/2") and stops.endswith(STOPS)


@pytest.mark.parametrize(("seconds", "drawings"), [(0.0, 3), (0.3, 5), (2.0, 16)])
def test_a_notebook_draws_steps_at_most_once_a_second(
    run: Session, monkeypatch: pytest.MonkeyPatch, seconds: float, drawings: int
) -> None:
    """Twice 7 steps with a loss and an epoch, `seconds` after each other: the first of all is drawn, the epochs, and
    every step that comes a second after the last drawing.
    """
    clock, cell = SimpleNamespace(now=100.0), Cell()
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(figures, "DPI", 20)
    with Notebook("a run", None, cell.display) as face:
        for event in run.all_events:
            face.show(event)
            clock.now += seconds * len(reported([event]))
    assert cell.calls == 2 * drawings  # an image and a text


def test_a_notebook_on_a_slow_machine_draws_a_tenth_of_the_time(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, cell = SimpleNamespace(now=100.0), Cell()
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(figures, "DPI", 20)

    def slow(*args: Any, **options: Any) -> None:
        clock.now += 0.25
        cell.display(*args, **options)

    with Notebook("a run", None, slow) as face:
        face.show(run.all_events[1])
        clock.now += 4.9  # half a second was spent
        face.show(run.all_events[3])
        assert cell.calls == 2
        clock.now += 0.2
        face.show(run.all_events[5])
        assert cell.calls == 4


def test_a_notebook_shows_the_last_step_of_a_run_that_was_stopped(run: Any) -> None:
    cell = Cell()
    shown(Notebook("a run", None, cell.display), run.all_events[:6])
    one = Cell()
    shown(Notebook("a run", None, one.display), run.all_events[:2])
    assert cell.calls == 4 and not np.array_equal(cell.image, one.image)
    nothing = Cell()
    shown(Notebook("a run", None, nothing.display), run.all_events[:1])
    assert nothing.calls == 0


def test_this_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook() and "IPython" not in sys.modules
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


@pytest.mark.slow
def test_a_notebook_that_was_run_holds_the_curves(blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    cell = f"import classicnets as cn\nrun = cn.train('lenet_d2l', data={str(blobs)!r}, epochs=2, batch_size=32)"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    patience = {"timeout": None, "startup_timeout": 600, "iopub_timeout": 600}  # the machine may be slow
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(book, kernel_name="python3", resources=where, **patience).execute()
    nbformat.write(book, tmp_path / "run.ipynb")
    outputs = nbformat.read(tmp_path / "run.ipynb", as_version=4).cells[0].outputs
    (image,) = (o.data["image/png"] for o in outputs if o.output_type == "display_data" and "image/png" in o.data)
    curves = tmp_path / "runs/lenet_d2l-blobs-1/curves.png"
    image = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(curves).convert("RGB")))
    (text,) = (o.data["text/plain"] for o in outputs if o.output_type == "display_data" and "image/png" not in o.data)
    assert text.startswith("epoch 2/2  loss")
    assert not [o for o in outputs if o.output_type in ("stream", "error")]
