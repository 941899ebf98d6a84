"""Several seeds of one plan: statistics, runs in parallel, interruption, resuming and failures."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

import classicnets as cn
from classicnets import checksum, machine
from classicnets.errors import UsageError
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.report import seeds as report
from classicnets.report.terminal import StudyTerminal
from classicnets.runs import checkpoint, history
from classicnets.runs.folder import RunFolder
from classicnets.spec import run_spec
from classicnets.studies import parallel, processes, seeds
from classicnets.studies.folder import Key, StudyFolder
from classicnets.studies.parallel import Parallelism, compare
from classicnets.studies.statistics import statistics_of
from classicnets.training.plan import plan
from classicnets.values import Expected
from support.command_line import CommandLine
from support.typed import present

NET = """
import time
from pathlib import Path
import torch
from torch import nn

class Slow(nn.Module):
    def forward(self, x):
        time.sleep(0.02)
        return x

class Halting(nn.Module):
    steps = 0
    def forward(self, x):
        if self.training and x.device.type != "meta":
            self.steps += 1
        while self.steps > 6 and Path("halt").exists():  # within the second epoch of four steps
            time.sleep(0.01)
        return x

def net(*first):
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))

def slow():
    return net(Slow())

def halting():
    return net(Halting())

def breaks():
    made = net()
    if torch.initial_seed() == 4:
        nn.init.constant_(made[1].weight, float("nan"))
    return made
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(NET)
    return path


@pytest.fixture(scope="module")
def two(own: Path, blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> cn.Seeds:
    """Seeds 3 and 4 in parallel, with one thread each."""
    torch.set_num_threads(1)
    runs = tmp_path_factory.mktemp("runs")
    options = {"seed": 3, "parallel_runs": 2, "data": str(blobs), "runs": runs, "quiet": True, "epochs": 2}
    seeds_result: cn.Seeds = cn.train_seeds(f"{own}:net", 2, **options)
    return seeds_result


def same_weights(run: Path, other: Path) -> bool:
    a, b = load_file(run / "last.safetensors"), load_file(other / "last.safetensors")
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def losses(run: Path) -> list[tuple[float, float]]:
    return [(e.loss, e.accuracy) for e in history.read(run / "history.jsonl") if isinstance(e, Epoch)]


@pytest.fixture
def one_thread() -> None:
    """The same number of threads as the parallel runs have, because it affects rounding."""
    torch.set_num_threads(1)


@pytest.mark.slow
def test_a_seed_among_others_equals_a_single_run(two: cn.Seeds, own: Path, blobs: Path, one_thread: None) -> None:
    single = cn.train(f"{own}:net", data=str(blobs), seed=4, epochs=2, quiet=True)
    parallel_run = two.path / "seed-4"
    assert same_weights(parallel_run, single.path) and losses(parallel_run) == losses(single.path)
    assert json.loads((parallel_run / "run.json").read_text())["threads"] == single.facts["threads"] == 1
    assert not same_weights(parallel_run, two.path / "seed-3")


@pytest.mark.slow
def test_each_seed_is_an_ordinary_run(two: cn.Seeds, cli: CommandLine) -> None:
    assert [run.facts["seed"] for run in two.runs] == [3, 4]
    assert two.runs[0].evaluate().accuracy == two.summary["runs"][0]["test_accuracy"]
    assert cli("evaluate", two.path / "seed-3")[0] == 0
    assert {p.name for p in two.path.iterdir()} == {
        "study.json", "curves.png", "card.md", "seed-3", "seed-4"
    }  # fmt: skip


@pytest.mark.slow
def test_statistics_equal_those_of_the_runs(two: cn.Seeds) -> None:
    accuracies = [present(run.result)["test_accuracy"] for run in two.runs]
    assert two.mean == statistics.mean(accuracies) and two.sd == statistics.stdev(accuracies)
    facts = json.loads((two.path / "study.json").read_text())
    assert facts["side_by_side"] == 2 and facts["threads"] == 1 and facts["seeds"] == [3, 4]
    assert facts["machine"]["versions"]["torch"] == torch.__version__
    result = facts["result"]
    assert (result["n"], result["of"], result["pictures"], result["verdict"]) == (2, 2, 100, "")
    assert result["test_accuracy"]["min"] == min(accuracies) and result["test_accuracy"]["max"] == max(accuracies)
    assert result["train_loss"]["mean"] == statistics.mean(present(run.result)["train_loss"] for run in two.runs)
    card = (two.path / "card.md").read_text()
    assert f"**{two.mean:.4f} ± {two.sd:.4f}" in card and "| [4](seed-4) |" in card
    assert f"{two.mean:.4f}" in repr(two) and repr(cn.Seeds(two.path)) == repr(two)


@pytest.mark.slow
def test_finished_runs_cannot_be_resumed(two: cn.Seeds, cli: CommandLine) -> None:
    code, _, err = cli("train", "--resume", two.path)
    assert code == 2 and "error[CN208]: all runs are complete" in err


@pytest.mark.slow
def test_seeds_json_of_version_0_1_is_read(two: cn.Seeds, cli: CommandLine) -> None:
    folder = shutil.copytree(two.path, Path("old"))
    facts = json.loads((folder / "study.json").read_text())
    (folder / "study.json").unlink()
    old = {key: value for key, value in facts.items() if key not in {"definition", "arms", checksum.KEY}}
    (folder / "seeds.json").write_text(json.dumps(old))
    assert cn.Seeds(folder).summary == two.summary and [run.facts["seed"] for run in cn.Seeds(folder).runs] == [3, 4]
    (folder / "seeds.json").write_text(json.dumps(checksum.with_checksum(old) | {"threads": 7}))
    with pytest.raises(UsageError, match="was changed"):
        cn.Seeds(folder)
    (folder / "seeds.json").write_text(json.dumps({key: value for key, value in old.items() if key != "result"}))
    code, out, err = cli("train", "--resume", folder, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert {key: result[key] for key in two.summary} == two.summary and (folder / "study.json").is_file()


def test_failed_seed_is_reported_and_the_others_continue(
    cli: CommandLine, own: Path, blobs: Path, in_one_process: None
) -> None:
    code, out, err = cli(
        "train", f"{own}:breaks", "--data", blobs, "--set", "epochs=1", "--seed", 3, "--seeds", 2,
        "--parallel-runs", 2, "--json",
    )  # fmt: skip
    result = json.loads(out)
    assert code == 1 and (result["n"], result["of"]) == (1, 2)
    good, bad = result["runs"]
    assert bad["error"].startswith("error[CN101]: the loss is no longer finite")
    assert result["test_accuracy"] == {"mean": good["test_accuracy"], "sd": None, "min": good["test_accuracy"],
                                      "max": good["test_accuracy"]}  # fmt: skip
    assert "seed 4: error[CN101]" in err and f"seed 3: test {good['test_accuracy']:.4f}" in err
    folder = Path(result["folder"])
    assert r"error\[CN101\]" in (folder / "card.md").read_text() and (folder / "curves.png").stat().st_size > 10_000
    assert list(StudyFolder(folder).missing()) == [("", 4)]


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for Python")
def test_processes_wait_for_their_turn_and_report_their_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    lines = ["#!/bin/sh", 'run="${5#--resume=}"', 'mkdir "$run/started"', "echo note >&2"]
    script.write_text("\n".join([*lines, 'echo "error[CN101]: in $(basename $run)" >&2', "exit 1"]))
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))
    runs = {seed: RunFolder(tmp_path / f"seed-{seed}") for seed in range(4)}
    for run in runs.values():
        run.path.mkdir()
    ends = []
    for seed, end in processes.follow(runs, 2, 1, 300.0):
        ends.append(seed)
        assert end == processes.RunEnd(f"error[CN101]: in seed-{seed}")
        assert sum((run.path / "started").exists() for run in runs.values()) <= min(len(ends) + 1, 4)
    assert sorted(ends) == [0, 1, 2, 3]


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


linux = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")


@linux
@pytest.mark.slow
def test_ctrl_c_saves_and_stops_the_active_runs(
    own: Path, blobs: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = 100_000  # epochs: hours, even on a fast machine
    folder, before, workers = Path("runs/own_slow-blobs-seeds-1"), children(os.getpid()), list[int]()
    show = StudyTerminal.show

    def interrupt(display: StudyTerminal, key: Key, event: Event) -> None:
        show(display, key, event)
        if not workers and all((folder / f"seed-{active}" / "last.safetensors").exists() for active in (0, 1)):
            workers.extend(pid for pid in children(os.getpid()) if pid not in before)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(StudyTerminal, "show", interrupt)
    options = ["--set", f"epochs={endless}", "batch_size=100", "--seeds", 3, "--parallel-runs", 2]
    code, _, err = cli("train", f"{own}:slow", "--data", blobs, *options)
    assert code == 130 and len(workers) == 2
    assert f"stopped; 3 runs have no result; to resume: classicnets train --resume {folder}" in err
    assert not any(map(alive, workers))
    for seed in (0, 1):
        events = history.read(folder / f"seed-{seed}" / "history.jsonl")
        last = [event for event in events if not isinstance(event, Advice)][-1]
        state = checkpoint.load(folder / f"seed-{seed}" / "last.safetensors")[1]["state"]
        where = (last.epoch, 0) if isinstance(last, Epoch) else (last.epoch - 1, last.step)
        assert (state["epoch"], state["step"]) == where and state["epoch"] < endless
    assert not (folder / "seed-2" / "history.jsonl").exists()
    with pytest.raises(UsageError, match="not a folder of finished runs") as caught:
        cn.Seeds(folder)
    assert caught.value.hints == (f"classicnets train --resume {folder}",)


@linux
@pytest.mark.slow
def test_killed_runs_resume_bit_for_bit(
    cli: CommandLine, own: Path, blobs: Path, one_thread: None, in_one_process: None
) -> None:
    """The command and its only worker are killed in the second epoch of the first of two runs."""
    Path("halt").touch()
    folder = Path("runs/own_halting-blobs-seeds-1")
    options = ["--set", "epochs=3", "batch_size=100", "--seeds", "2", "--parallel-runs", "1"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "classicnets", "train", f"{own}:halting", "--data", blobs, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as parent:
        workers: list[int] = []
        try:
            while not (folder / "seed-0/last.safetensors").exists():
                assert parent.poll() is None, parent.communicate()
                time.sleep(0.02)
            workers = children(parent.pid)
            assert len(workers) == 1
        finally:
            parent.kill()
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
        parent.communicate()
    while any(map(alive, workers)):
        time.sleep(0.02)
    Path("halt").unlink()
    assert 1 <= len(losses(folder / "seed-0")) < 3 and not (folder / "seed-1" / "history.jsonl").exists()
    code, out, err = cli("train", "--resume", folder, "--json")
    assert code == 0, err
    assert json.loads(out)["n"] == 2
    for seed in (0, 1):
        single = cn.train(f"{own}:halting", data=str(blobs), seed=seed, epochs=3, batch_size=100, quiet=True)
        assert same_weights(folder / f"seed-{seed}", single.path)
        assert losses(folder / f"seed-{seed}") == losses(single.path)


def test_module_is_copied_for_each_seed(blobs: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    before = copy.deepcopy(net.state_dict())
    seeds_result = cn.train_seeds(net, 2, data=str(blobs), epochs=1, quiet=True)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    single = cn.train(copy.deepcopy(net), data=str(blobs), seed=1, epochs=1, quiet=True)
    assert same_weights(seeds_result.path / "seed-1", single.path)
    assert seeds_result.runs[1].evaluate().accuracy == present(single.result)["test_accuracy"]
    with pytest.raises(UsageError, match="trained in one process"):
        cn.train_seeds(net, 2, parallel_runs=2, data=str(blobs), quiet=True)


def test_failed_module_is_reported(blobs: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    seeds_result = cn.train_seeds(
        net, 2, data=str(blobs), recipe="fast", optimizer="sgd", lr=1e38, epochs=1, quiet=True
    )
    assert (
        seeds_result.mean is None
        and seeds_result.sd is None
        and seeds_result.runs == []
        and "n = 0 of 2" in repr(seeds_result)
    )
    assert all(row["error"].startswith("error[CN101]") for row in seeds_result.summary["runs"])
    assert "no run has a result" in (seeds_result.path / "card.md").read_text()


def test_statistics_of_small_samples() -> None:
    assert statistics_of([]) == {"mean": None, "sd": None, "min": None, "max": None}
    assert statistics_of([0.5]) == {"mean": 0.5, "sd": None, "min": 0.5, "max": 0.5}
    assert statistics_of([1.0, 3.0, 5.0]) == {"mean": 3.0, "sd": 2.0, "min": 1.0, "max": 5.0}


def test_verdict_counts_the_runs_in_the_published_range() -> None:
    published = Expected(low=0.75, high=0.83, mean=0.80, n=130, source="a table")
    assert seeds.against(published, [0.74, 0.76, 0.78]) == (
        "2 of 3 runs are in the published range 0.750 to 0.830; the mean is 4.00 points below the published mean 0.8000"
        " (n = 130: a table)"
    )
    verdict = seeds.against(Expected.single(0.9, "a paper"), [0.91, 0.93])
    assert verdict.startswith("the mean is 2.00 points above the single published run")


def test_a_changed_recipe_is_not_compared(blobs: Path) -> None:
    changed = plan(*run_spec("lenet_d2l", data=str(blobs)))
    assert seeds.verdict(changed, [0.8]).startswith("not compared") and seeds.verdict(changed, []) == ""


@pytest.mark.parametrize(
    ("runs", "cores", "fitting_runs", "most_runs", "seconds", "expected"),
    [
        (4, 2, 2, 2, {2: 0.010, 1: 0.014}, (2, 1)),  # 4 x 10 = 40 ms for a step of all runs, compared with 2 x 14
        (4, 2, 2, 2, {2: 0.010, 1: 0.019}, (1, 2)),  # 40 and 38: the gain is too small
        (3, 2, 2, 2, {2: 0.010, 1: 0.014}, (1, 2)),  # 30 and 2 rounds of 14
        (5, 16, 5, 5, {16: 0.010, 3: 0.020}, (5, 3)),  # three threads each
        (50, 16, 4, 16, {16: 0.010, 1: 0.020}, (4, 1)),  # 500 and 13 rounds of 20; more runs do not fit
        (50, 16, 1, 16, {16: 0.010, 1: 0.011}, (1, 16)),  # memory for one run
    ],
)
def test_fastest_parallelism_is_chosen(
    runs: int, cores: int, fitting_runs: int, most_runs: int, seconds: dict[int, float], expected: tuple[int, ...]
) -> None:
    parallelism = compare(runs, cores, fitting_runs, most_runs, seconds, "9.0 GB each, 36.0 GB free")
    assert (parallelism.runs, parallelism.threads) == expected
    assert ("9.0 GB each" in parallelism.why) == (fitting_runs < most_runs)


def test_parallelism_is_measured_or_set_by_the_user(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lenet = plan(*run_spec("lenet_d2l", data=str(blobs), device="cpu"))
    calls = []

    def seconds_per_step(_plan: Any, threads: Any, _say: Any) -> Any:
        calls.append(threads)
        return {4: 0.01, 1: 0.02}

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(parallel, "seconds_per_step", seconds_per_step)
    monkeypatch.setattr(machine, "peak_memory_bytes", lambda: 10**9)
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 10 * 10**9)
    monkeypatch.setattr(machine, "is_busy", lambda: False)
    text = (
        "4 runs in parallel with 1 thread each: 2.0 times as fast for 8 runs (a step takes 10 ms with 4 threads, 20 ms"
    )
    assert str(parallel.choose(lenet, 8, None, print)).startswith(text)
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: int(2.4 * 10**9))
    assert parallel.choose(lenet, 8, None, print).runs == 1  # 1.25 GB each
    assert calls == [(4, 1), (4, 1)]
    assert parallel.choose(lenet, 8, 2, print) == Parallelism(2, 2, "as requested")
    assert parallel.choose(lenet, 1, None, print).runs == 1
    assert len(calls) == 2
    with pytest.raises(UsageError, match="--parallel-runs must be at least 1, not 0"):
        parallel.choose(lenet, 8, 0, print)


def test_timing_steps_restores_the_number_of_threads(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_SECONDS", 0.0)
    lenet = plan(*run_spec("lenet_d2l", data=str(blobs), settings={"batch_size": 8}, device="cpu"))
    threads = torch.get_num_threads()
    times = parallel.seconds_per_step(lenet, (2, 1), print)
    assert times.keys() == {1, 2} and all(seconds > 0 for seconds in times.values())
    assert torch.get_num_threads() == threads


def epochs(n: int, *, accuracy: float | None = 0.5, **changes: Any) -> list[Epoch]:
    values = {"validation_accuracy": None, "test_accuracy": accuracy, **changes}
    return [
        Epoch(
            epoch=i, epochs=n, loss=2.0 / i, accuracy=0.4, lr=0.1, seconds=1.0, evaluation_seconds=0.1,
            images_per_second=10.0, wait_share=0.0, **values,
        )
        for i in range(1, n + 1)
    ]  # fmt: skip


def bands(figure: Figure) -> list[int]:
    """How often each part of the figure shows the published range, which begins at 0.2."""
    patches: list[Any] = [axes.patches for axes in figure.axes]
    return [len([patch for patch in some if patch.get_y() == 0.2]) for some in patches]


@pytest.mark.parametrize("n", [1, 2, 50])
def test_figure_has_a_line_for_each_seed_and_the_mean(n: int) -> None:
    runs = {seed: epochs(4, accuracy=seed / n) for seed in range(n)}
    published = Expected(low=0.2, high=0.3, mean=0.25, n=9, source="x")
    figure = report.draw(runs, {seed: seed / n for seed in runs}, published, "a title")
    left, middle, right = figure.axes
    assert len(left.lines) == len(middle.lines) == n + 1
    mean = max(middle.lines, key=lambda line: line.get_linewidth())
    assert list(np.asarray(mean.get_xdata())) == [1, 2, 3, 4]
    assert list(np.asarray(mean.get_ydata())) == pytest.approx([(n - 1) / 2 / n] * 4)
    assert len(np.asarray(right.lines[0].get_ydata())) == n
    assert bands(figure) == [0, 1, 1]


def test_failed_seed_is_dashed_and_not_in_the_mean() -> None:
    runs = {0: epochs(4, accuracy=0.6), 1: epochs(2, accuracy=0.1), 2: epochs(3, accuracy=0.8), 3: []}
    figure = report.draw(runs, {0: 0.6, 2: 0.8}, None, "a title")
    middle = figure.axes[1]
    assert [line.get_linestyle() for line in middle.lines] == ["-", "--", "-", "--", "-"]
    assert list(np.asarray(middle.lines[-1].get_ydata())) == pytest.approx([0.7] * 3)  # up to the last epoch of both


def test_figure_shows_the_evaluated_split() -> None:
    validated = {0: epochs(2, accuracy=None, validation_accuracy=0.5)}
    published = Expected(low=0.2, high=0.3, mean=0.25, n=9, source="x")
    figure = report.draw(validated, {0: 0.5}, published, "a title")
    assert figure.axes[1].get_ylabel() == "validation accuracy"
    assert bands(figure) == [0, 0, 1]
    figure = report.draw({0: epochs(2, accuracy=None)}, {}, None, "a title")
    assert figure.axes[1].get_ylabel() == "train accuracy (mean over the epoch)"


def test_terminal_shows_epochs_and_prints_advice_once() -> None:
    out = io.StringIO()
    display = StudyTerminal(Console(file=out, width=200), 6)
    advice = Advice(epoch=1, step=1, topic="flat", message="it does not learn", hint="lr=0.1")
    with display:
        for seed in (1, 0):
            display.show(("", seed), Step(epoch=seed + 1, step=1, steps=2, images=4, seconds=0.1))
            display.show(("", seed), advice)
        assert display.bar.tasks[0].description == "seed 0 epoch 1, seed 1 epoch 2"
        for seed in (2, 3, 4):
            display.show(("", seed), Step(epoch=7, step=1, steps=2, images=4, seconds=0.1))
        assert display.bar.tasks[0].description == "5 runs in epochs 1 to 7"
        display.show(("", 0), epochs(4)[0])
        assert display.bar.tasks[0].completed == 0.25
        display.show_result({"seed": 3, "test_accuracy": 0.8123, "seconds": 24.2})
        display.show_result({"seed": 4, "error": "error[CN101]: no"})
        display.show_result({"arm": "max", "seed": 1, "test_accuracy": 0.8123, "seconds": 24.2})  # no early look
    assert out.getvalue().splitlines() == [
        "seed 1: coach: it does not learn", "seed 1: hint: lr=0.1", "seed 3: test 0.8123, 24 s",
        "seed 4: error[CN101]: no", "max, seed 1: finished, 24 s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["lenet_d2l", "--parallel-runs", "2"], "--parallel-runs needs --seeds"),
        (["lenet_d2l", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["lenet_d2l", "--seeds", "2", "--parallel-runs", "0"], "--parallel-runs must be at least 1, not 0"),
        (["lenet_d2l", "--seeds", "2", "--jsonl"], "--jsonl shows one run only"),
    ],
)
def test_rejects_contradictory_options(cli: CommandLine, options: list[str], message: str) -> None:
    code, _, err = cli("train", *options)
    assert code == 2 and message in err


def test_dry_run_reports_the_number_of_runs(cli: CommandLine, blobs: Path) -> None:
    code, out, err = cli("train", "lenet_d2l", "--data", blobs, "--seeds", 7, "--seed", 2, "--dry-run")
    assert code == 0 and "each of 7 runs, with seeds 2 and following" in err and "61,706" in out


def test_benchmark_runs_only_missing_seeds(
    blobs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    in_one_process: None,
) -> None:
    spec = importlib.util.spec_from_file_location("seeds_benchmark", Path(__file__).parents[2] / "benchmarks/seeds.py")
    benchmark = importlib.util.module_from_spec(present(spec))
    present(present(spec).loader).exec_module(benchmark)
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path)
    arguments = ["lenet_d2l", "--recipe", "fast", "--data", str(blobs), "--set", "epochs=1", "--label", "short"]
    assert benchmark.main([*arguments, "--seeds", "1"]) == 0
    path = tmp_path / "seeds-lenet_d2l-fast-short.json"
    first = json.loads(path.read_text())
    assert first["n"] == 1 and first["test_accuracy_sd"] is None
    assert benchmark.main([*arguments, "--seeds", "2"]) == 0
    second = json.loads(path.read_text())
    assert second["n"] == 2 and second["runs"][0] == first["runs"][0]
    assert second["test_accuracy_sd"] == statistics.stdev(row["test_accuracy"] for row in second["runs"])
    capsys.readouterr()
    assert benchmark.main([*arguments, "--seeds", "2"]) == 0 and "has all 2" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        benchmark.main([*arguments, "--set", "lr=0.01", "--seeds", "3"])
    assert "has other recipe_values" in capsys.readouterr().err
    path.write_text(json.dumps({**second, "threads": 64}))
    with pytest.raises(SystemExit):
        benchmark.main([*arguments, "--seeds", "3"])
    assert "has other threads" in capsys.readouterr().err
