"""The command line: output, streams and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from classicnets.datasets.catalog import DATASETS
from classicnets.errors import CODES
from classicnets.models.registry import NETS
from classicnets.recipes.resolve import RECIPES, SETTINGS
from support.command_line import CommandLine
from support.typed import present

OWN_NET = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"


@pytest.fixture
def run(blobs: Path) -> Path:
    path: Path = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True).path
    return path


def test_overview_shows_the_main_commands(cli: CommandLine) -> None:
    code, out, err = cli()
    assert code == 0 and err == ""
    commands = re.findall(r"^  classicnets (\w+)", out, re.M)
    assert commands == ["list", "show", "train", "compare", "evaluate", "predict", "export", "serve"]


def test_help_prints_the_overview(cli: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    _, overview, _ = cli()
    with pytest.raises(SystemExit) as exited:
        cli("--help")
    assert exited.value.code == 0 and capsys.readouterr().out == overview


def test_list_names_all_networks_and_recipes(cli: CommandLine) -> None:
    code, out, _ = cli("list")
    assert code == 0
    assert all(name in out for name in NETS) and all(key.label in out for key in RECIPES)
    _, out, _ = cli("list", "--json")
    assert json.loads(out)["nets"]["lenet_d2l"]["parameters"] == 61706


def test_show_prints_the_totals_of_the_fact_sheet(cli: CommandLine) -> None:
    _, out, _ = cli("show", "lenet_d2l")
    total = next(line for line in out.splitlines() if line.startswith("total"))
    assert total.split() == ["total", "61,470", "236", "61,706", "6,518", "416,520", "246.8", "kB", "58.4", "kB"]
    assert "5/1/2/1" in out
    _, out, _ = cli("show", "alexnet_d2l", "--input", "3x224x224", "--classes", "1000", "--json")
    assert json.loads(out)["totals"]["parameters"] == 50_844_008  # the note's Gluon net with 3 channels, 1000 classes


def test_show_accepts_own_network_and_run(cli: CommandLine, run: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_NET)
    code, out, _ = cli("show", "own.py:net")
    assert code == 0 and "7,850" in out
    code, out, err = cli("show", "own.py:net", "--input", "1x10x10")
    assert code == 2 and "error[CN201]" in err and "nn.Linear(100, 10)" in err
    code, out, _ = cli("show", run)
    assert code == 0 and "61,706" in out


@pytest.mark.parametrize("text", ["28", "1x28", "axbxc", "1x0x28", "1x28x28x1"])
def test_show_rejects_invalid_shape(cli: CommandLine, text: str) -> None:
    code, _, err = cli("show", "lenet_d2l", "--input", text)
    assert code == 2 and "hint:  --input 3x224x224" in err


def test_show_rejects_images_that_are_not_square(cli: CommandLine) -> None:
    code, _, err = cli("show", "lenet_d2l", "--input", "1x28x30")
    assert code == 2 and "square" in err


@pytest.mark.parametrize("code", CODES)
def test_show_explains_all_error_codes(cli: CommandLine, code: str) -> None:
    assert cli("show", code.lower())[1].startswith(f"{code}: ")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["trian"], 2, "hint:  classicnets train"),
        (["train"], 2, "train needs a NET"),
        (["train", "lenet_d2l", "--sed", "1"], 2, "--seed"),
        (["train", "lenet_d2l", "--seed", "one"], 2, "invalid int value"),
        (["train", "lenet_dl2"], 2, "lenet_d2l"),
        (["train", "alexnet_28"], 2, "error[CN203]"),
        (["train", "lenet_d2l", "--set", "epoch=3"], 2, "hint:  --set epochs=3"),
        (["train", "lenet_d2l", "--set", "epochs"], 2, "NET comes before --set"),
        (["train", "lenet_d2l", "--limit", "0"], 2, "at least one image"),
        (["train", "lenet_d2l", "--device", "tpu"], 4, "error[CN402]"),
        (["train", "lenet_d2l", "--data", "fashion_mnits"], 2, "fashion_mnist"),
        (["train", "lenet_d2l"], 3, "error[CN302]"),  # offline, with an empty cache
        (["train", "nowhere.py:net"], 2, "the file nowhere.py does not exist"),
        (["train", "--resume", "nowhere"], 2, "error[CN207]"),
        (["evaluate", "nowhere"], 2, "error[CN207]"),
        (["predict", "nowhere", "x.png"], 2, "error[CN207]"),
        (["show", "CN999"], 2, "there is no error code CN999"),
        (["data", "get"], 2, "needs a NAME"),
        (["data", "get", "mnits"], 2, "error[CN202]"),
        (["data", "chekc", "photos"], 2, "hint:  classicnets data check"),
    ],
)
def test_invalid_command_prints_error_and_returns_exit_code(
    cli: CommandLine, arguments: list[str], exit_code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the data set may be installed as a system package on this machine
    without_system_folder = replace(DATASETS["fashion_mnist"], system_folder="/nonexistent")
    monkeypatch.setitem(DATASETS, "fashion_mnist", without_system_folder)
    code, out, err = cli(*arguments)
    assert (code, out) == (exit_code, "")
    assert message in err and "Traceback" not in err
    assert re.match(r"error\[CN\d{3}\]: ", err[err.index("error[") :])


def test_json_option_also_applies_to_errors(cli: CommandLine) -> None:
    code, out, err = cli("show", "lenet", "--json")
    assert code == 2 and json.loads(out)["error"] == "CN202" and "error[CN202]" in err


def test_unknown_command_names_the_nearest(cli: CommandLine) -> None:
    code, _, err = cli("trian")
    assert code == 2 and "there is no command 'trian'" in err and "the commands are list, show" in err


def test_debug_shows_the_traceback(cli: CommandLine) -> None:
    with pytest.raises(cn.UsageError):
        cli("show", "lenet", "--debug")


def test_dry_run_lists_all_settings_and_writes_nothing(cli: CommandLine, blobs: Path) -> None:
    code, out, _ = cli("train", "lenet_d2l", "--data", blobs, "--set", "lr=0.5", "--dry-run")
    assert code == 0 and not Path("runs").exists()
    assert all(re.search(rf"^{key} ", out, re.M) for key in SETTINGS)
    assert re.search(r"^lr +0\.5 +--set", out, re.M) and re.search(r"^epochs +10 +recipe", out, re.M)
    _, out, _ = cli("train", "lenet_d2l", "--data", blobs, "--dry-run", "--json")
    assert json.loads(out)["recipe"]["epochs"] == 10


def test_train_prints_results_on_stdout_and_progress_on_stderr(cli: CommandLine, blobs: Path) -> None:
    code, out, err = cli("train", "lenet_d2l", "--data", blobs, "--limit", 64, "--set", "epochs=2")
    assert code == 0
    assert out.startswith("test accuracy 0.") and "next: classicnets evaluate runs/lenet_d2l-blobs-1" in out
    assert len(re.findall(r"^epoch \d/2  loss \S+  train \S+  test \S+  [\d,]+ images/s  data \d+%", err, re.M)) == 2
    assert "changed: epochs=2" in err and "61,706 parameters" in err
    code, out, _ = cli("train", "lenet_d2l", "--data", blobs, "--limit", 64, "--set", "epochs=1", "--json")
    assert json.loads(out)["n"] == 100


def test_show_explains_in_both_languages(cli: CommandLine) -> None:
    code, out, _ = cli("show", "alexnet_d2l", "conv1", "--why")
    assert code == 0 and "floor 53, + 1 = 54" in out and "221 to 224" in out
    assert "步幅 4" in cli("show", "alexnet_d2l", "conv1", "--why", "--lang", "zh")[1]
    assert "256 x 5 x 5 = 6400" in cli("show", "alexnet_d2l", "fc6", "--why")[1]
    assert "parameters by layer type" in cli("show", "alexnet_d2l", "--why")[1]
    code, _, err = cli("show", "alexnet_d2l", "conv9", "--why")
    assert code == 2 and "conv1, " in err and "did you mean" not in err
    assert json.loads(cli("show", "lenet_d2l", "fc1", "--why", "--json")[1])["why"]


def test_show_compares_two_networks(cli: CommandLine, tmp_path: Path) -> None:
    code, out, _ = cli("show", "lenet_d2l", "alexnet_d2l")
    assert code == 0 and "a factor of 757.9" in out and "ReLU x7 instead of Sigmoid x4" in out
    (tmp_path / "own.py").write_text(OWN_NET)
    comparison = json.loads(cli("show", "own.py:net", "own.py:net", "--json")[1])
    assert {pair["operation"] for pair in comparison["pairs"]} == {"equal"}
    assert cli("show", "lenet_d2l", "lenet_d2l", "lenet_d2l")[0] == 2


def test_show_writes_svg(cli: CommandLine, tmp_path: Path) -> None:
    code, out, _ = cli("show", "alexnet_2012", "--svg", "a.svg")
    assert code == 0 and out == "a.svg\n" and (tmp_path / "a.svg").read_text().startswith("<svg")
    assert cli("show", "lenet_d2l", "alexnet_28", "--svg", "b.svg")[0] == 0
    code, _, err = cli("show", "lenet_d2l", "--svg", "/nowhere/a.svg")
    assert code == 4 and "error[CN401]" in err


@pytest.mark.parametrize("name", NETS)
def test_show_prints_the_card_of_each_network(cli: CommandLine, name: str) -> None:
    code, out, _ = cli("show", name, "--card")
    assert code == 0 and out.startswith(f"# {name}\n") and "## Assumptions" in out


def test_show_rejects_card_of_own_network(cli: CommandLine) -> None:
    code, _, err = cli("show", "own.py:net", "--card")
    assert code == 2 and "no card" in err


def test_show_prints_the_constants_of_normalization_layers(cli: CommandLine) -> None:
    assert "convention=paper, effective_alpha=0.0001, n=5, k=2" in cli("show", "alexnet_2012")[1]
    assert "convention=caffe, effective_alpha=2e-05, n=5, k=1" in cli("show", "caffenet")[1]


def test_evaluate_prints_metrics(cli: CommandLine, run: Path) -> None:
    code, out, _ = cli("evaluate", run, "--json")
    assert code == 0
    result = json.loads(out)
    assert result["weights"] == "last.safetensors" and result["n"] == 100
    assert sum(map(sum, result["confusion"])) == 100
    correct = sum(result["confusion"][i][i] for i in range(10))
    assert result["accuracy"] == pytest.approx(correct / 100)
    assert result["support"] == [10] * 10 and len(result["classes"]) == 10
    assert result["balanced_accuracy"] == pytest.approx(result["accuracy"])  # the classes have equal numbers of images
    _, out, _ = cli("evaluate", run)
    assert f"balanced accuracy {result['balanced_accuracy']:.4f}" in out
    assert f"calibration error {result['calibration_error']:.4f}" in out
    rows = [re.split(" {2,}", line.strip()) for line in out.splitlines() if line.startswith(tuple("0123456789"))]
    recalls = [f"{recall:.3f}" for recall in result["recall"]]
    precisions = ["-" if precision is None else f"{precision:.3f}" for precision in result["precision"]]
    assert [row[1:4] for row in rows] == [[r, p, "10"] for r, p in zip(recalls, precisions, strict=True)]


def test_predict_prints_classes_and_the_weights(cli: CommandLine, run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "b.jpg")
    code, out, err = cli("predict", run, "a.png", "b.jpg", "--top", 2)
    assert code == 0 and "last.safetensors" in err
    assert len(re.findall(r"^[ab]\.\w+ +\d +0\.\d{3} +\d +0\.\d{3}", out, re.M)) == 2
    _, out, _ = cli("predict", run, "a.png", "--top", 10, "--json")
    (row,) = json.loads(out)["predictions"]
    assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert row["probabilities"] == sorted(row["probabilities"], reverse=True)


def test_predict_reports_image_that_cannot_be_read(cli: CommandLine, run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not an image")
    for name in ("bad.png", "none.png"):
        code, _, err = cli("predict", run, name)
        assert code == 3 and "error[CN304]" in err and name in err


def test_evaluate_uses_the_copy_of_a_changed_file(cli: CommandLine, blobs: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_NET)
    assert cli("train", "own.py:net", "--data", blobs, "--set", "epochs=1")[0] == 0
    (tmp_path / "own.py").write_text(OWN_NET.replace("10))", "10), nn.Tanh())"))
    code, _, err = cli("evaluate", "runs/own_net-blobs-1")
    assert code == 2 and "error[CN207]" in err and "has changed since the run" in err
    hint = present(re.search(r"--net RUN(\S+)", err))[1]
    assert cli("evaluate", "runs/own_net-blobs-1", "--net", f"runs/own_net-blobs-1{hint}")[0] == 0


def test_doctor_reports_no_problems(cli: CommandLine) -> None:
    code, out, _ = cli("doctor")
    assert code == 0 and "no problems" in out
    for word in ("torch", "memory", "threads", "fashion_mnist"):
        assert word in out
    facts = json.loads(cli("doctor", "--json")[1])
    assert facts["versions"]["classicnets"] == cn.__version__ and facts["amiss"] == []


def test_data_list_prints_license_size_and_source(cli: CommandLine) -> None:
    out = cli("data", "list")[1]
    rows = {row["name"]: row for row in json.loads(cli("data", "list", "--json")[1])}
    assert rows.keys() == DATASETS.keys() >= {"mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100"}
    for name, row in rows.items():
        text = out[out.index(f"{name}: ") :]
        for fact in (row["title"], row["homepage"], row["licence"], row["would_come_from"]):
            assert fact in text, name
        assert f"{len(row['classes'])} classes; {row['download_bytes'] / 1e6:.0f} MB to download" in text
    assert "60,000 + 10,000 of 1x28x28" in out and "50,000 + 10,000 of 3x32x32" in out


def test_data_check_finds_truncated_file_and_import_rejects_other_data(
    cli: CommandLine, blobs: Path, tmp_path: Path
) -> None:
    code, out, _ = cli("data", "check", blobs)
    assert code == 0 and out.count(" ok ") == 4
    content = (blobs / "t10k-labels-idx1-ubyte.gz").read_bytes()
    for path in blobs.iterdir():
        (tmp_path / "cut" / path.name).parent.mkdir(exist_ok=True)
        (tmp_path / "cut" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "cut/t10k-labels-idx1-ubyte.gz").write_bytes(content[:30])
    code, out, _ = cli("data", "check", tmp_path / "cut")
    assert code == 1 and "wrong" in out
    code, _, err = cli("data", "import", "fashion_mnist", blobs)
    assert code == 3 and "error[CN303]" in err


@pytest.mark.skipif(os.name == "nt", reason="has no `head`")
def test_closed_pipe_prints_no_traceback() -> None:
    process = subprocess.run(
        f"{sys.executable} -m classicnets list | head -1", shell=True, capture_output=True, text=True
    )
    assert process.stderr == "" and process.stdout.startswith("network")


def test_a_network_after_set_is_not_taken_for_a_setting(cli: CommandLine) -> None:
    code, _, err = cli("train", "--set", "epochs=1", "lr=0.1", "lenet_d2l", "--seed", 3)
    assert code == 2 and "error[CN206]: train needs a NET, and it comes before --set" in err
    assert "hint:  classicnets train lenet_d2l --set epochs=1 lr=0.1 --seed 3\n" in err
    code, _, err = cli("train", "lenet_d2l", "--set", "lr")
    assert code == 2 and "error[CN204]: --set lr has no value" in err
