"""Every option of a command has an effect there, or is refused with the reason: a table over commands and arguments."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import classicnets as cn
from classicnets import report
from classicnets.cli import (
    compare,
    data,
    doctor,
    evaluate,
    exercise,
    explain,
    export,
    list_,
    predict,
    show,
    study,
    train,
    weights,
)
from classicnets.errors import UsageError
from classicnets.options import about, option_fields
from classicnets.runs.folder import RunFolder
from classicnets.spec import run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.images import make_image_folder, make_imagenet
from support.old_weights import make_files

OWN_NET = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Names in the table and what they stand for: data, networks, finished and stopped runs, weights. Draws nothing."""
    root = tmp_path_factory.mktemp("options")
    gray = make_idx_folder(root / "gray", train=40, test=20)
    color = make_image_folder(root / "color", per_class=4, test_per_class=2, size=16)
    (root / "own.py").write_text(OWN_NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run = cn.train("own.py:net", data=str(gray), epochs=1, quiet=True)
        other = cn.train("own.py:net", data=str(gray), epochs=1, lr=0.01, quiet=True)
        stopped = Session.start(plan(*run_spec("lenet_d2l", data=str(gray), epochs=1)), lambda _: None)
    old = make_files(root / "old")
    (root / "names.txt").write_text("a\nb\nc\nd\ne\n")
    seeds = root / "seeds"
    seeds.mkdir()
    (seeds / "seeds.json").write_text("{}")
    return {
        "GRAY": str(gray),
        "COLOR": str(color),
        "OWN": f"{root}/own.py:net",
        "RUN": str(root / run.path),
        "OTHER": str(root / other.path),
        "STOPPED": str(root / stopped.folder.path),
        "SEEDS": str(seeds),
        "WEIGHTS": str(root / run.folder.last),
        "CAFFE": str(old.model),
        "PROTOTXT": str(old.definition),
        "NAMES": str(root / "names.txt"),
        "IMAGENET": str(make_imagenet(root / "imagenet")),
        "IMAGE": str(next(color.rglob("*.png"))),
        "ONNX": str(root / "none.onnx"),
    }


# command, and a part of the error
REFUSED: list[tuple[str, str]] = [
    ("train STOPPED --resume STOPPED", "--resume takes no"),
    ("train --resume STOPPED --seed 0", "--resume takes no --seed"),  # also if it is the default
    ("train --resume STOPPED --set lr=1", "--resume takes no --set"),
    ("train --resume STOPPED --device auto", "--resume takes no --device"),
    ("train --resume STOPPED --threads 1", "--resume takes no --threads"),
    ("train --resume STOPPED --on-bad-image fail", "--resume takes no --on-bad-image"),
    ("train --resume STOPPED --keep-epochs", "--resume takes no --keep-epochs"),
    ("train --resume STOPPED --seeds 2", "--resume takes no --seeds"),
    ("train --resume STOPPED --parallel-runs 2", "--parallel-runs needs --seeds"),
    ("train --resume STOPPED --runs other", "--runs has no effect here"),
    ("train --resume STOPPED --dry-run", "--dry-run has no effect here"),
    ("train --resume STOPPED --dry-run --runs other", "--runs, --dry-run has no effect here"),
    ("train --resume SEEDS --loader-threads 1", "--loader-threads has no effect here"),
    ("train --resume SEEDS --tensorboard", "--tensorboard shows one run only"),
    ("train --resume SEEDS --jsonl", "--jsonl shows one run only"),
    ("train lenet_d2l --data GRAY --parallel-runs 2", "--parallel-runs needs --seeds"),
    ("train lenet_d2l --data GRAY --ray auto", "--ray needs --seeds"),
    ("train --resume STOPPED --ray auto", "--ray needs --seeds"),
    ("study run pooling --tensorboard", "--tensorboard has no effect here"),
    ("study resume SEEDS --tensorboard", "--tensorboard has no effect here"),
    ("study resume SEEDS --seeds 3", "--seeds has no effect here"),
    ("study resume SEEDS --runs other", "--runs has no effect here"),
    ("train lenet_d2l --data GRAY --dry-run --jsonl", "--jsonl cannot be combined with --json or --dry-run"),
    ("train lenet_d2l --data GRAY --json --jsonl", "--jsonl cannot be combined with --json or --dry-run"),
    ("train lenet_d2l --data GRAY --seeds 2 --jsonl", "--jsonl shows one run only"),
    ("train lenet_d2l --data GRAY --seeds 2 --tensorboard", "--tensorboard shows one run only"),
    ("train lenet_d2l --data GRAY --on-bad-image skip", "--on-bad-image skip has no effect"),
    ("train lenet_d2l --data GRAY --dry-run --save-every -1", "--save-every must be at least 0"),
    ("train lenet_d2l --data GRAY --dry-run --seeds 2 --parallel-runs 0", "--parallel-runs must be at least 1"),
    ("train lenet_d2l --data GRAY --gpu h200 --processes 2", "--gpu has no effect here"),
    ("train lenet_d2l --data GRAY --dry-run --link 1Gbit", "--link has no effect here"),
    ("train lenet_d2l --data GRAY --dry-run --max-restarts -1", "--max-restarts must be at least 0"),
    ("train lenet_d2l --data GRAY --dry-run --process-timeout 0", "--process-timeout must be at least 1"),
    ("train lenet_d2l --data GRAY --precision float32 --set precision=bfloat16", "given twice"),
    ("train lenet_d2l --data GRAY --runs ''", "--runs must not be empty"),
    ("train lenet_d2l --data ''", "--data must not be empty"),
    ("train OWN --data GRAY --recipe ''", "--recipe must not be empty"),
    ("train lenet_d2l --data GRAY --max-restarts 1", "--max-restarts has no effect here"),
    ("train lenet_d2l --data GRAY --process-timeout 9", "--process-timeout has no effect here"),
    ("train lenet_d2l --data GRAY --processes 1 --local-batch-norm", "--local-batch-norm has no effect here"),
    ("train --resume STOPPED --local-batch-norm", "--resume takes no --local-batch-norm"),
    ("train lenet_d2l --data GRAY --processes 2 --gpu h200", "--gpu has no effect here"),
    ("train lenet_d2l --data GRAY --dry-run --link 1Gbit", "--link has no effect here"),
    ("train lenet_d2l --data GRAY --seeds 2 --processes 2", "several seeds are several runs"),
    ("train lenet_d2l --data GRAY --processes 0", "--processes must be at least 1"),
    ("compare RUN", "there is only one run"),
    ("compare RUN RUN", "is given twice"),
    ("compare RUN STOPPED", "is not finished"),
    ("compare lenet_d2l alexnet_28", "compare takes finished runs"),
    ("evaluate RUN --on-bad-image skip", "--on-bad-image skip has no effect"),
    ("evaluate RUN GRAY --on-bad-image skip", "--on-bad-image skip has no effect"),
    ("evaluate RUN --include-trained", "--include-trained has no effect"),
    ("evaluate RUN --csv --json", "--json and --csv cannot be combined"),
    ("evaluate ONNX --device cuda", "do not apply to an exported file: device"),
    ("evaluate ONNX --precision bfloat16", "do not apply to an exported file: precision"),
    ("evaluate ONNX --precision auto", "do not apply to an exported file: precision"),
    ("evaluate ONNX --net OWN", "do not apply to an exported file: net"),
    ("evaluate ONNX --net OWN --device cuda", "do not apply to an exported file: net, device"),
    ("predict ONNX IMAGE --precision bfloat16", "do not apply to an exported file: precision"),
    ("predict ONNX IMAGE --device cuda", "do not apply to an exported file: device"),
    ("predict RUN IMAGE --csv --jsonl", "--json, --jsonl and --csv cannot be combined"),
    ("predict RUN IMAGE --json --csv", "--json, --jsonl and --csv cannot be combined"),
    ("predict RUN IMAGE --top 0", "--top must be at least 1, not 0"),
    ("export RUN --max-loss 3", "--max-loss has no effect without --int8"),
    ("export RUN --max-loss 5", "--max-loss has no effect without --int8"),  # also if it is the default
    ("export RUN --int8 --max-loss nan", "--max-loss must be a number"),
    ("export RUN --size-budget 1MB --max-loss 3", "--max-loss has no effect with --size-budget"),
    ("export RUN --size-budget 1MB --int8 --max-loss 3", "--max-loss has no effect with --size-budget"),
    ("export RUN --format torch --int8", "--int8 and --size-budget require the ONNX format"),
    ("export RUN --format torch --size-budget 1MB", "--int8 and --size-budget require the ONNX format"),
    ("export RUN --format executorch --int8", "--int8 and --size-budget require the ONNX format"),
    ("export RUN --format executorch --size-budget 1MB", "--int8 and --size-budget require the ONNX format"),
    ("export RUN --format executorch --input float", "--input float is a plain ONNX file"),
    ("export RUN --format triton --input float", "--input float is a plain ONNX file"),
    ("export RUN --format triton --single-file", "--single-file has no effect without --format web"),
    ("export RUN RUN --format triton", "a file has one network, and a web page one or two"),
    ("export RUN --format web --size-budget 1MB", "--size-budget has no effect on a web page"),
    ("export RUN --format web --input float", "--input float is a plain ONNX file"),
    ("export RUN --single-file", "--single-file has no effect without --format web"),
    ("export RUN RUN", "a file has one network, and a web page one or two"),
    ("export RUN RUN RUN --format web", "a file has one network, and a web page one or two"),
    ("export RUN RUN --format web --net OWN", "--net replaces the network of one run"),
    ("export RUN --license ''", "--license must not be empty"),
    ("export RUN --input float --int8", "--input float is a plain ONNX file"),
    ("export RUN --input float --size-budget 1MB", "--input float is a plain ONNX file"),
    ("export RUN --input float --format torch", "--input float is a plain ONNX file"),
    ("export RUN --min-confidence 1.5", "--min-confidence must be at most 1"),
    ("export RUN --min-confidence nan", "--min-confidence must be a number"),
    ("predict RUN IMAGE --min-confidence -0.1", "--min-confidence must be at least 0"),
    ("evaluate RUN --min-confidence 2", "--min-confidence must be at most 1"),
    ("show lenet_d2l --svg a.svg --why", "--svg has no effect here"),
    ("show lenet_d2l --card --svg a.svg", "--svg has no effect here"),
    ("show lenet_d2l --card --why", "--why has no effect here"),
    ("show lenet_d2l --card --input 1x28x28", "--input has no effect here"),
    ("show lenet_d2l --card --classes 3", "--classes has no effect here"),
    ("show lenet_d2l --card --set net.activation=relu", "--set has no effect here"),
    ("show lenet_d2l alexnet_28 --card", "alexnet_28 has no effect here"),
    ("show lenet_d2l alexnet_28 vgg16", "one or two networks"),
    ("show lenet_d2l alexnet_28 vgg16 --svg a.svg", "one or two networks"),
    ("show lenet_d2l --code --why", "--code has no effect here"),
    ("show lenet_d2l -o net.py", "-o has no effect here"),
    ("show lenet_d2l --code -o net.txt", "written into a Python file"),
    ("show lenet_d2l alexnet_28 --code", "alexnet_28 has no effect here"),
    ("show OWN --code", "only the networks of `classicnets list`"),
    ("show RUN --code", "only the networks of `classicnets list`"),
    ("show CN201 --why", "--why has no effect here"),
    ("show CN201 --classes 2 --why", "--classes, --why has no effect here"),
    ("show CN201 lenet_d2l", "lenet_d2l has no effect here"),
    ("show WEIGHTS --why", "--why has no effect here"),
    ("show WEIGHTS --input 1x28x28", "--input has no effect here"),
    ("show WEIGHTS lenet_d2l", "lenet_d2l has no effect here"),
    ("show OWN --classes 3", "that of its last layer"),
    ("show RUN --classes 3", "that of its last layer"),
    ("show lenet_d2l --classes 0", "--classes must be at least 1"),
    ("show lenet_d2l --classes -1", "--classes must be at least 1"),
    ("data check GRAY -o a.png", "-o needs a folder of image files"),
    ("data preview IMAGE --size 0", "--size must be at least 1"),
    ("data preview IMAGE --size 5000", "--size must be at most 1024"),
    ("data list --offline", "does not take"),
    ("data import mnist GRAY --offline", "does not take"),
    ("data prepare mnist GRAY", "data prepare imagenet FOLDER"),
    ("data prepare imagenet", "data prepare imagenet FOLDER"),
    ("doctor --device cpu", "does not take"),
    ("list --offline", "does not take"),
    ("exercise list --seeds 3", "does not take"),
    ("exercise check lenet-1 OWN --limit 5", "--limit has no effect here"),
    ("exercise check lenet-1 OWN --data GRAY", "--data has no effect here"),
    ("exercise check lenet-1 OWN --seeds 3", "--seeds has no effect here"),
    ("exercise check lenet-1 OWN --time-limit 60", "--time-limit has no effect here"),
    ("exercise check alexnet-4 --report COLOR", "asks for no network"),
    ("exercise check alexnet-4 --answer memory=fc6 --train", "nothing is trained in alexnet-4"),
    ("exercise check alexnet-4 OWN --answer memory=fc6", "asks for answers, and not for a network"),
    ("weights identify WEIGHTS --device cpu", "does not take"),
    ("weights identify WEIGHTS -o run", "does not take"),
    ("weights convert CAFFE --graph PROTOTXT --net lenet_d2l -o run", "the graph is not lenet_d2l"),
    ("weights convert RUN --to onnx -o run", "argument --to: invalid choice"),
    ("weights convert RUN --to caffe --gray -o run", "--gray has no effect with --to"),
    ("weights convert CAFFE --graph PROTOTXT -o run --groups 0", "--groups must be at least 1"),
    ("weights convert CAFFE --graph PROTOTXT -o run --scale 0", "--scale must be at least 1e-06"),
    ("weights convert CAFFE --graph PROTOTXT -o run --mean ''", "--mean must not be empty"),
]


@pytest.mark.parametrize(("line", "text"), REFUSED, ids=lambda value: value[:70])
def test_options_without_an_effect_are_refused(
    line: str, text: str, places: dict[str, str], cli: CommandLine, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    code, out, err = cli(*(arguments_of(line, places)))
    assert (code, out) == (2, "") or ("--json" in line and code == 2), err
    assert text in err and "error[CN" in err and "hint:" in err
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written


def arguments_of(line: str, places: dict[str, str]) -> list[str]:
    return [places.get(word, word) for word in shlex.split(line)]


# Pairs of commands, of which the second has one option more; their output or their files differ.
EFFECTIVE: list[tuple[str, str]] = [
    ("train lenet_d2l --data GRAY --dry-run --json", "--seed 3"),
    ("train lenet_d2l --data GRAY --dry-run --json", "--limit 20"),
    ("train lenet_d2l --data GRAY --dry-run --json", "--recipe fast"),
    ("train lenet_d2l --data GRAY --dry-run --json", "--set epochs=3"),
    ("train lenet_d2l --data GRAY --dry-run --json", "--precision bfloat16"),
    ("train lenet_d2l --data GRAY --dry-run --json", "--deterministic"),
    ("train lenet_d2l --data GRAY --dry-run --json", "--keep-epochs"),
    ("train lenet_d2l --data GRAY --dry-run --json", "--loader-threads 2"),
    ("train lenet_d2l --data GRAY --dry-run --json --processes 2 --gpu h200", "--parallel hybrid"),
    ("train lenet_d2l --data GRAY --dry-run", "--seeds 2"),
    ("compare RUN OTHER", "--json"),
    ("compare RUN OTHER", "-o a.png"),
    ("evaluate RUN", "--json"),
    ("evaluate RUN", "--csv"),
    ("evaluate RUN --json", "--min-confidence 0.5"),
    ("predict RUN IMAGE", "--min-confidence 0.5"),
    ("predict RUN IMAGE", "--top 2"),
    ("predict RUN IMAGE", "--csv"),
    ("predict RUN IMAGE", "--jsonl"),
    ("predict RUN IMAGE --json", "--precision bfloat16"),
    ("predict RUN IMAGE", "--show a.png"),
    ("predict RUN IMAGE", "--handwriting"),
    ("show lenet_d2l", "--input 1x32x32"),
    ("show lenet_d2l", "--classes 3"),
    ("show lenet_d2l", "--set net.activation=relu"),
    ("show lenet_d2l", "--why"),
    ("show lenet_d2l", "--card"),
    ("show lenet_d2l", "--svg a.svg"),
    ("show lenet_d2l", "--code"),
    ("show lenet_d2l --code", "--json"),
    ("show lenet_d2l --code", "--classes 3"),
    ("show lenet_d2l --code", "--set net.activation=relu"),
    ("show lenet_d2l --code", "-o net.py"),
    ("show lenet_d2l --svg a.svg", "--json"),
    ("show lenet_d2l --why", "--lang zh"),
    ("show lenet_d2l --why", "--input 1x32x32"),
    ("show lenet_d2l --why", "--classes 3"),
    ("show lenet_d2l alexnet_28", "--lang zh"),
    ("show lenet_d2l alexnet_28", "--input 1x32x32"),
    ("show lenet_d2l alexnet_28", "--classes 3"),
    ("show lenet_d2l --card", "--json"),
    ("exercise list", "--json"),
    ("exercise show alexnet-en-2", "--solution"),
    ("exercise check alexnet-4b --answer compute=conv2 conv_share=95", "--answer conv_share=95.4"),
    ("show RUN", "--json"),
    ("data check COLOR", "-o a.png"),
    ("data check COLOR", "--json"),
    ("data prepare imagenet IMAGENET", "--json"),
    ("data prepare imagenet IMAGENET", "-o a.csv"),
    ("data preview COLOR --json", "--fit crop"),
    ("data preview COLOR --json", "--size 32"),
    ("data preview COLOR --json", "-o b.png"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json", "--mean 104,117,123"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json", "--scale 0.5"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json", "--channel-order rgb"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json", "--gray"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json", "--groups 1"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json", "--set resize=14"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json", "--classes NAMES"),
    ("weights convert CAFFE --graph PROTOTXT -o run --json --classes NAMES", "--new-head"),
    ("weights convert CAFFE --set image_size=12 -o run --json", "--graph PROTOTXT"),
]


@pytest.mark.parametrize(("line", "option"), EFFECTIVE)
def test_options_that_are_taken_have_an_effect(
    line: str, option: str, places: dict[str, str], cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (report.preview, report.findings):
        monkeypatch.setattr(module, "draw_sheet", lambda *_: Figure(figsize=(1, 1)))
    results = []
    for name, text in (("without", line), ("with", f"{line} {option}")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        code, out, err = cli(*arguments_of(text, places))
        assert code in {0, 3}, err
        document = json.loads(out) if out.startswith("{") and "jsonl" not in option else {}
        if document.pop("forecast", None):  # measured
            out = ""
        notes = [line for line in err.splitlines() if line.startswith("each of")]
        files = sorted(path.name for path in (tmp_path / name).rglob("*"))
        results.append((document or out, notes, files, code))
    assert results[0] != results[1]


def test_a_given_resume_option_reaches_the_run(places: dict[str, str], cli: CommandLine) -> None:
    """The options that a resumed run takes; the run itself is that of an uninterrupted one."""
    code, _, err = cli("train", "--resume", places["STOPPED"], "--loader-threads", 1, "--save-every", 60, "--offline")
    assert code == 0, err
    assert "result" in RunFolder(Path(places["STOPPED"])).read()


def test_options_that_python_functions_ignore_are_refused(places: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="takes no runs"):
        cn.resume(places["STOPPED"], runs=str(tmp_path))
    with pytest.raises(UsageError, match="--tensorboard shows one run only"):
        cn.train_seeds("lenet_d2l", seeds=2, data=places["GRAY"], tensorboard=True)
    with pytest.raises(UsageError, match="--on-bad-image must be fail or skip"):
        cn.Run(places["RUN"]).evaluate(on_bad_image="repair")


def test_the_table_names_every_option_of_every_command() -> None:
    """A new option needs a row that shows its effect, or one that shows where it is refused."""
    text = " ".join([*(f"{line} {rest}" for line, rest in EFFECTIVE), *(line for line, _ in REFUSED)]).split()
    commands = [list_, show, train, compare, evaluate, predict, export, explain, doctor]
    kinds = {kind for command in commands for kind in command.OPTIONS}
    kinds |= {
        kind
        for group in (data, exercise, study, weights)
        for action in group.ACTIONS.values()
        for kind in action.options
    }
    # these need downloads, other devices or time, and have tests of their own (trust: tests/runs/test_trust.py)
    elsewhere = {"weights", "batch_threads", "offline", "tensorboard", "out", "trust"}
    missing = [
        f"{kind.__name__}.{f.name}"
        for kind in kinds
        for f in option_fields(kind)
        if about(f).group and about(f).flag != "" and f.name not in elsewhere
        if not {about(f).flag, "--" + f.name.replace("_", "-")} & {*text}
    ]
    assert missing == [] and all(fields(kind) for kind in kinds)
