"""Forecasts of `--dry-run`, compared with the files of real runs, and the suggestions of cheaper settings."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import machine
from classicnets.datasets.catalog import DATASETS
from classicnets.forecast import forecast as forecasts
from classicnets.forecast import trial
from classicnets.forecast.forecast import forecast
from classicnets.forecast.trial import Trial
from classicnets.images import batches, loading
from classicnets.spec import run_spec
from classicnets.text import duration
from classicnets.training.plan import plan
from support.command_line import CommandLine
from support.typed import present

OWN_NET = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))\n"
FAKE = Trial(
    image_count=128,
    steps=14,
    step_seconds=0.01,
    evaluation_seconds=1e-5,
    memory_bytes=10**9,
    step_memory_bytes=10**8,
    noise_bytes=10**6,
    last_bytes=200_000,
    best_bytes=100_000,
)


@pytest.fixture
def fake_trial(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Replaces the measurement by a Trial; bfloat16 is then `faster` times faster."""

    def replace_measurement(faster: float = 1.0, **changes: Any) -> Trial:
        fake = replace(FAKE, **changes)
        monkeypatch.setattr(trial, "measure", lambda *_, **__: fake)
        monkeypatch.setattr(trial, "step_seconds", lambda *_, **__: fake.step_seconds / faster)
        return fake

    return replace_measurement


def modification_times(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*")}


# --- measuring -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True], ids=["registry", "own"])
def test_dry_run_prints_a_forecast_and_writes_nothing(cli: CommandLine, blobs: Path, tmp_path: Path, own: bool) -> None:
    (tmp_path / "own.py").write_text(OWN_NET)
    before = modification_times(tmp_path)
    command = ("train", "own.py:net" if own else "lenet_d2l", "--data", blobs, "--set", "epochs=2", "--dry-run")
    code, out, _ = cli(*command)
    assert code == 0 and "\nforecast  " in out and "s an epoch; measured on " in out and "cheaper" not in out
    result = json.loads(cli(*command, "--json")[1])["forecast"]
    steps_of_the_run = 8 if own else 4
    assert 2 <= result["steps"] <= steps_of_the_run
    assert result["step_pictures"] == result["batch_pictures"] == (128 if own else 256)
    assert 0 < result["step_seconds"] < result["epoch_seconds"] < result["seconds"]
    assert {k: v for k, v in modification_times(tmp_path).items() if "__pycache__" not in k} == before


@pytest.mark.parametrize("net", ["lenet_d2l", "own.py:net"])
def test_random_generators_and_threads_are_restored(blobs: Path, tmp_path: Path, net: str) -> None:
    (tmp_path / "own.py").write_text(OWN_NET)
    planned = plan(*run_spec(net, data=str(blobs), settings={"net.dropout": 0.5}, deterministic=True))
    torch.manual_seed(11)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    forecast(planned)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_own_module_is_not_changed(blobs: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10)).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    forecast(plan(*run_spec(net, data=str(blobs), settings={"epochs": 1, "initialize": "normal", "freeze": ("1",)})))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not net.training and all(p.requires_grad and p.grad is None for p in net.parameters())


def test_number_of_measured_steps(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "STEP_SECONDS", 0.0)
    assert forecast(plan(*run_spec("lenet_d2l", data=str(blobs)))).steps == 2  # at least two, even if they are slow
    monkeypatch.setattr(trial, "STEP_SECONDS", math.inf)
    assert (
        forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 3}))).steps == 6
    )  # all steps of the run
    few = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), limit=50, settings={"epochs": 4})))
    assert (few.steps, few.step_images) == (4, 50)


def test_slow_batch_is_measured_in_part_and_reported(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(*run_spec("lenet_d2l", data=str(blobs)))
    monkeypatch.setattr(trial, "_MAX_STEP_MACS", 12.5 * planned.table.macs)
    monkeypatch.setattr(trial, "STEP_SECONDS", 0.0)
    result = forecast(planned)
    assert (result.step_images, result.batch_images) == (12, 256)
    assert "measured on 2 steps of 12 images, not 256)" in result.lines()[0]
    train = 400 / 12 * result.step_seconds
    assert train < result.epoch_seconds and result.seconds > 10 * train


def test_large_batch_is_measured_in_part(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(*run_spec("lenet_d2l", data=str(blobs)))
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: 8 * 20 * planned.table.activation_bytes)
    assert forecast(planned).step_images == 20


@pytest.mark.parametrize(
    "options",
    [
        {"settings": {"ema": 0.9, "flip": True, "shift": 2, "precision": "bfloat16", "class_weights": "auto"}},
        {"settings": {"mean": (), "views": 10, "image_size": 20, "resize": 24, "crop": "random"}},
        {"settings": {"validation": 0.2, "monitor": "validation", "schedule": "plateau", "patience": 1}},
        {"settings": {"validation": 0.2, "join_after": 1, "color_noise": "paper", "clip": 1.0}},
        {"loader_threads": 2, "deterministic": True, "variation": {"activation": "relu", "dropout": 0.3}},
    ],
)
def test_all_kinds_of_recipes_can_be_measured(
    folder: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "STEP_SECONDS", 0.0)
    options = {**options, "settings": {"batch_size": 8, "image_size": 28, **options.get("settings", {})}}
    planned = plan(*run_spec("lenet_d2l", data=str(folder), **options))
    result = forecast(planned)
    assert result.steps == 2 and result.seconds > 0
    assert result.at_most == ("patience" in options["settings"]) == ("at most" in result.lines()[0])


# --- against a run ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9, "validation": 0.0, "monitor": "none", "optimizer": "sgd"}])
def test_files_of_a_run_have_the_forecast_sizes(blobs: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    settings = {"epochs": 3, **settings}
    spec = {"data": str(blobs), "recipe": "fast", "keep_epochs": True}
    result = forecast(plan(*run_spec("lenet_d2l", **spec, settings=settings)))
    run = cn.train("lenet_d2l", **spec, runs=tmp_path / "r", quiet=True, **settings)
    files = [path for path in run.path.rglob("*") if path.is_file()]
    actual = {path.relative_to(run.path).as_posix(): path.stat().st_size for path in files}
    checkpoints = {name for name in actual if name.endswith(".safetensors")}
    assert checkpoints == {name for name in result.disk_bytes if name.endswith(".safetensors")}
    for name in checkpoints:  # facts in the metadata have other digits
        assert abs(result.disk_bytes[name] - actual[name]) <= 64
    assert result.disk_bytes["history.jsonl"] == pytest.approx(actual["history.jsonl"], rel=0.2)
    assert result.disk_bytes.keys() <= actual.keys()


def test_image_counts_equal_those_of_the_data(blobs: Path, folder: Path) -> None:
    for path in (blobs, folder):
        description, data = loading.describe(str(path)), loading.load(str(path), say=lambda _: None)
        assert (description.train, description.test) == (len(data.train), len(data.test))
        preprocess = plan(*run_spec("lenet_d2l", data=str(path), settings={"image_size": 28})).preprocess
        assert description.loaded_shape(preprocess) == loading.load(str(path), preprocess, say=lambda _: None).shape
        for validation, limit in ((0.0, None), (0.15, None), (0.15, 33), (0.5, 1000)):
            train, validation_set = batches.hold_out(data.train, validation, limit, seed=0)
            assert batches.split_sizes(description.train, validation, limit) == (
                len(train),
                len(validation_set) if validation_set else 0,
            )


# --- arithmetic ------------------------------------------------------------------------------------------------------


def test_time_includes_steps_and_evaluations(blobs: Path, fake_trial: Callable[..., Any]) -> None:
    """400 images, 80 of them held out for validation, and 100 test images."""
    fake_trial(image_count=100, step_seconds=1.0, evaluation_seconds=0.01)
    base = {"epochs": 5, "validation": 0.2, "monitor": "validation", "batch_size": 100}
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings=base)))
    assert result.epoch_seconds == pytest.approx(3.2 + 0.8) and result.seconds == pytest.approx(5 * 4.0 + 1.0)
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings=base, limit=200)))
    assert result.seconds == pytest.approx(5 * (2.0 + 0.8) + 1.0)
    joined = {**base, "join_after": 3, "monitor": "test"}
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings=joined)))
    assert result.seconds == pytest.approx(3 * 3.2 + 2 * 4.0 + 5 * 1.0 + 1.0)


def test_memory_is_extrapolated_to_real_images_and_a_full_batch(blobs: Path, fake_trial: Callable[..., Any]) -> None:
    image = 28 * 28 + 8
    fake = fake_trial(image_count=64)
    without_images = (
        fake.memory_bytes - fake.noise_bytes + fake.step_memory_bytes
    )  # for 128 images, twice as many as in a measured step
    settings = {"batch_size": 128, "validation": 0.0, "monitor": "none"}
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings=settings)))
    assert result.memory_bytes == without_images + 500 * image
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings={**settings, "validation": 0.5})))
    assert result.memory_bytes == without_images + (500 + 200) * image  # the validation set is copied


def test_real_measurement_includes_memory(blobs: Path) -> None:
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs))))
    peak = machine.peak_memory_bytes()
    assert result.memory_bytes is None or 0.5 * present(peak) < result.memory_bytes < 1.5 * present(peak)


# --- missing data ----------------------------------------------------------------------------------------------------


def test_download_is_reported_and_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_trial: Callable[..., Any]
) -> None:
    dataset = DATASETS["fashion_mnist"]
    monkeypatch.setitem(DATASETS, dataset.name, replace(dataset, system_folder=str(tmp_path / "none")))
    fake_trial()
    result = forecast(plan(*run_spec("lenet_d2l")))
    assert result.fetch_bytes == 30_878_645 and "download  about 30.9 MB of data first" in result.lines()
    cache = tmp_path / "cache" / "data" / dataset.name
    assert not cache.exists()
    cache.mkdir(parents=True)
    for file in dataset.files:
        (cache / file.name).touch()
    assert forecast(plan(*run_spec("lenet_d2l"))).fetch_bytes == 0


# --- cheaper choices -------------------------------------------------------------------------------------------------


def test_short_run_has_no_suggestions(blobs: Path, fake_trial: Callable[..., Any]) -> None:
    fake_trial(faster=3.0)
    assert forecast(plan(*run_spec("lenet_d2l", data=str(blobs)))).cheaper == ()


@pytest.mark.parametrize(("step_seconds", "settings"), [(5.0, "epochs=500"), (900.0, "epochs=100"), (5.0, "epochs=1")])
def test_suggestions_can_be_pasted_and_have_the_stated_effect(
    cli: CommandLine, tmp_path: Path, fake_trial: Callable[..., Any], step_seconds: float, settings: str
) -> None:
    from support.idx import make_idx_folder

    data = make_idx_folder(tmp_path / "many", train=20_000, test=20)
    fake_trial(step_seconds=step_seconds, faster=2.0)
    command = ("train", "lenet_d2l", "--data", data, "--set", settings, "batch_size=128", "--dry-run")
    _, out, _ = cli(*command)
    result = json.loads(cli(*command, "--json")[1])["forecast"]
    assert 1 <= len(result["cheaper"]) <= 3
    for choice in result["cheaper"]:
        assert f"cheaper   {choice['change']} " in out and choice["times"] > 1
        code, text, _ = cli(*command, *shlex.split(choice["change"]), "--json")
        assert code == 0
        cheaper = json.loads(text)["forecast"]
        if choice["basis"].startswith("computed: "):
            assert result["seconds"] / cheaper["seconds"] == pytest.approx(choice["times"])
    assert result["cheaper"][0]["change"] == "--set precision=bfloat16" and result["cheaper"][0]["times"] == 2.0


def test_suggests_fewer_epochs_or_images_for_ten_minutes(blobs: Path, fake_trial: Callable[..., Any]) -> None:
    fake_trial(image_count=100, step_seconds=10.0, evaluation_seconds=0.0)
    planned = plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 100, "batch_size": 2}))
    changes = [choice.change for choice in forecast(planned).cheaper]
    assert changes == ["--set epochs=15", "--limit 60", "--set image_size=14"]  # 100 epochs of 40 s each


def test_small_savings_are_not_suggested(blobs: Path, fake_trial: Callable[..., Any]) -> None:
    fake_trial(image_count=100, step_seconds=10.0, evaluation_seconds=0.0)
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 16, "batch_size": 2})))
    assert result.seconds == pytest.approx(640) and [c.change for c in result.cheaper] == ["--set image_size=14"]


def test_bfloat16_is_suggested_only_if_it_is_faster(blobs: Path, fake_trial: Callable[..., Any]) -> None:
    fake_trial(step_seconds=1000.0, faster=1.1)
    changes = [choice.change for choice in forecast(plan(*run_spec("lenet_d2l", data=str(blobs)))).cheaper]
    assert changes and not any("bfloat16" in change for change in changes)


def test_bfloat16_is_measured_with_real_steps(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precisions: Counter[str] = Counter()
    steps = trial._steps

    def counted(training: Any) -> Any:
        for step in steps(training):
            precisions[training.plan.recipe.precision] += 1
            yield step

    monkeypatch.setattr(trial, "_steps", counted)
    monkeypatch.setattr(trial, "STEP_SECONDS", 0.0)
    monkeypatch.setattr(forecasts, "LONG_SECONDS", 0.0)
    forecast(plan(*run_spec("lenet_d2l", data=str(blobs))))
    assert precisions["float32"] == 3 and precisions["bfloat16"] in (1, 4)  # one step if bfloat16 is much slower


def test_smaller_images_are_suggested_only_for_networks_that_accept_them(
    blobs: Path, tmp_path: Path, fake_trial: Callable[..., Any]
) -> None:
    fake_trial(step_seconds=1000.0)
    (tmp_path / "own.py").write_text(OWN_NET)
    planned = plan(*run_spec("own.py:net", data=str(blobs)))
    assert not any("image_size" in choice.change for choice in forecast(planned).cheaper)
    pooled = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    [choice] = [c for c in forecast(plan(*run_spec(pooled, data=str(blobs)))).cheaper if "image_size" in c.change]
    assert choice.change == "--set image_size=14" and choice.times == pytest.approx(4, rel=0.01)


def test_suggests_a_batch_size_that_fits_into_memory(
    blobs: Path, fake_trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: 2 * 10**9)
    fake_trial(image_count=256, memory_bytes=4 * 10**9, step_memory_bytes=35 * 10**8)
    result = forecast(plan(*run_spec("lenet_d2l", data=str(blobs))))
    assert result.needs_most_memory and not result.is_long
    assert "memory 4.0 GB of 2.0 GB" in result.lines()[0]
    choice = result.cheaper[0]
    assert choice.change == "--set batch_size=64" and str(choice).endswith("% of the memory, computed")
    assert present(result.memory_bytes) / choice.times < 0.8 * 2 * 10**9


def test_full_disk_is_reported(blobs: Path, fake_trial: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fake_trial(last_bytes=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    assert "disk 1.0 GB, but only 1.5 GB are free" in forecast(plan(*run_spec("lenet_d2l", data=str(blobs)))).lines()[0]


class Usage:
    free = 1_500_000_000  # enough for one checkpoint, but not for a second one while it is replaced


# --- text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (25.4, "25 s"),
        (59.6, "1 min 0 s"),
        (250, "4 min 10 s"),
        (3600, "1 h 0 min"),
        (3 * 3600 + 20 * 60 + 59, "3 h 20 min"),
        (86_400, "1 day 0 h"),
        (86_400 * 47 + 3600 * 5, "47 days 5 h"),
    ],
)
def test_duration_text(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_long_run_is_reported_in_days(blobs: Path, fake_trial: Callable[..., Any]) -> None:
    fake_trial(step_seconds=3600.0)
    line = forecast(plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 50}))).lines()[0]
    assert line.startswith("forecast  6 days 12 h (3 h 7 min an epoch; measured on 14 steps")
