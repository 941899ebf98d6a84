"""RunSpec: an option is one field; Python, the command line, run.json and resuming all use it."""

from __future__ import annotations

import ast
import inspect
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import classicnets as cn
from classicnets.cli import arguments
from classicnets.cli.main import _COMMANDS, parser
from classicnets.events import Step
from classicnets.options import GROUPS, about, default_text, option_fields, split_options
from classicnets.spec import ExportOptions, Output, RunSpec, StudyOptions, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Recipe
from support.command_line import CommandLine

SOURCE = Path(cn.__file__).parent
FULL = RunSpec(
    net="lenet_d2l", data="blobs", limit=5, on_bad_image="skip", loader_threads=2, recipe="fast",
    settings={"epochs": "2", "net.pool": "max"}, variation={"activation": "relu"}, weights="a.pth", seed=3,
    device="cpu", precision="float32", threads=1, batch_threads=2, keep_epochs=True, deterministic=True,
    parallel="hybrid", local_batch_norm=True,
)  # fmt: skip


def help_text(capsys: pytest.CaptureFixture[str], *verb: str) -> str:
    with pytest.raises(SystemExit):
        parser().parse_args([*verb, "--help"])
    return capsys.readouterr().out


def commands() -> list[tuple[str, ...]]:
    return [
        (verb, action) if action else (verb,)
        for verb, module in _COMMANDS.items()
        for action in getattr(module, "ACTIONS", [""])
    ]


def test_a_spec_survives_json() -> None:
    assert RunSpec.from_facts({"spec": json.loads(json.dumps(FULL.to_dict()))}) == FULL
    assert all(getattr(FULL, f.name) != f.default for f in fields(RunSpec))  # so that nothing above is a default


def test_a_recipe_in_a_spec_survives_json() -> None:
    recipe = cn.Recipe(source="mine", net="x", data="fashion_mnist", epochs=3, batch_size=8, lr=0.1, drop_at=(0.5,))
    again = RunSpec.from_facts({"spec": json.loads(json.dumps(replace(FULL, recipe=recipe).to_dict()))})
    assert isinstance(again.recipe, Recipe) and again.recipe == recipe


def test_reads_a_spec_from_version_0_1() -> None:
    facts = {"seed": 4, "limit": 7, "deterministic": True, "loader_threads": 1, "on_bad_image": "skip", "net": {}}
    assert RunSpec.from_facts(facts) == RunSpec(
        seed=4, limit=7, deterministic=True, loader_threads=1, on_bad_image="skip"
    )


def test_a_run_stores_its_spec(blobs: Path) -> None:
    run = cn.train("lenet_d2l", data=blobs, seed=2, epochs=1, limit=64, quiet=True)
    assert RunSpec.from_facts(run.facts) == RunSpec(
        net="lenet_d2l", data=str(blobs), seed=2, limit=64, settings={"epochs": 1}
    )


def test_train_takes_a_spec(blobs: Path) -> None:
    spec = RunSpec(net="lenet_d2l", data=str(blobs), limit=64, settings={"epochs": 1}, seed=5)
    by_spec, by_keywords = (
        cn.train(spec, quiet=True),
        cn.train("lenet_d2l", data=blobs, limit=64, epochs=1, seed=5, quiet=True),
    )
    a, b = (load_file(run.folder.last) for run in (by_spec, by_keywords))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_other_keywords_are_settings_of_the_recipe() -> None:
    spec, module = run_spec("lenet_d2l", seed=1, epochs=3, settings={"lr": 0.1})
    assert (spec.seed, spec.settings, module) == (1, {"lr": 0.1, "epochs": 3}, None)
    net = torch.nn.Linear(2, 2)
    assert run_spec(net)[1] is net
    with pytest.raises(cn.UsageError, match="'sed' is not a setting of a recipe"):
        plan(*run_spec("lenet_d2l", sed=1))


def test_resuming_in_python_gives_the_same_weights(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"data": blobs, "epochs": 3, "limit": 200, "batch_size": 32, "quiet": True, "keep_epochs": True}
    uninterrupted = cn.train("lenet_d2l", runs="a", **options)
    record = Session._record

    def interrupt(self: Any, event: Any) -> Any:
        advice = record(self, event)
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 3):
            signal.raise_signal(signal.SIGINT)
        return advice

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            cn.train("lenet_d2l", runs="b", **options)
    (folder,) = Path("b").iterdir()
    assert not (folder / "card.md").exists()
    resumed = cn.resume(folder, quiet=True)
    assert resumed.result and (folder / "card.md").exists()
    a, b = load_file(uninterrupted.folder.last), load_file(resumed.folder.last)
    assert all(torch.equal(a[name], b[name]) for name in a)
    kept = uninterrupted.folder.kept_epochs(), resumed.folder.kept_epochs()
    assert [*kept[0]] == [*kept[1]] == [1, 2, 3]
    for number in kept[0]:
        a, b = (load_file(files[number]) for files in kept)
        assert all(torch.equal(a[name], b[name]) for name in a)
    with pytest.raises(cn.UsageError, match="the run is complete"):
        cn.resume(folder)
    with pytest.raises(TypeError, match="takes no seed"):
        cn.resume(folder, seed=3)


def test_the_number_of_threads_is_restored_after_a_run(blobs: Path) -> None:
    before = torch.get_num_threads()
    run = cn.train("lenet_d2l", data=blobs, epochs=1, limit=64, threads=before + 1, quiet=True)
    assert run.facts["threads"] == before + 1 and torch.get_num_threads() == before


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_groups_every_option_and_shows_its_default(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    out = help_text(capsys, *command)
    module = _COMMANDS[command[0]]
    kinds = module.ACTIONS[command[1]].options if len(command) > 1 else module.OPTIONS
    flat = " ".join(out.split())
    headings = re.findall(r"^(\w+):$", out, re.M)
    assert [h for h in headings if h in GROUPS] == [h for h in GROUPS if h in headings]
    for kind in kinds:
        for f in option_fields(kind):
            if about(f).flag == "":
                continue
            assert about(f).help in flat, f.name
            if text := default_text(f):
                assert f"(default: {text})" in flat, f.name
            assert about(f).group in ("", *headings)


def test_python_shows_the_same_options(capsys: pytest.CaptureFixture[str]) -> None:
    shown = inspect.signature(cn.train).parameters
    for kind in (RunSpec, Output):
        for f in option_fields(kind):
            assert f.name == "net" or (f.name in shown and about(f).help in (cn.train.__doc__ or ""))
    assert {f.name for f in option_fields(StudyOptions)} <= {*inspect.signature(cn.train_seeds).parameters}


def test_help_is_translated_when_it_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arguments, "_", lambda text, **fields: text.format(**fields).upper())
    assert "SEED OF ALL RANDOM NUMBERS" in help_text(capsys, "train")


def test_options_are_defined_in_one_place() -> None:
    """No add_argument outside cli/arguments.py."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
                first = node.args[0] if node.args else None
                allowed = path.name == "arguments.py" or getattr(first, "value", "") == "--version"
                assert allowed, f"{path.name}:{node.lineno}"


def test_data_rejects_options_of_other_actions(cli: CommandLine) -> None:
    for words in (
        ["data", "list", "--fit", "crop"],
        ["data", "check", "x", "--size", "3"],
        ["data", "get", "x", "-o", "a"],
    ):
        code, out, err = cli(*words)
        assert code == 2 and out == "" and "does not take" in err, words


def test_old_and_new_commands_print_the_same(cli: CommandLine, blobs: Path) -> None:
    assert cli("explain", "cn201") == cli("show", "CN201")
    run = cn.train("lenet_d2l", data=blobs, epochs=1, limit=64, quiet=True)
    assert cli("weights", "identify", run.folder.last) == cli("show", run.folder.last)
    report = json.loads(cli("weights", "identify", run.folder.last, "--json")[1])
    assert "lenet_d2l" in [match["net"] for match in report["matches"]]
    code, _, err = cli("explain", "CN999")
    assert code == 2 and "there is no error code CN999" in err and "hint:  classicnets explain CN" in err


def test_old_names_of_settings_work_with_one_note(
    cli: CommandLine, blobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"initialise": "initialize", "colour_noise": "color_noise"}
    values = {"initialise": "xavier_uniform", "colour_noise": "code"}
    current = {names[key]: value for key, value in values.items()}
    notes = [f"note: {old} is now spelled {new}" for old, new in names.items()]
    makers: list[Callable[[], RunSpec]] = [
        lambda: RunSpec(settings=values),
        lambda: run_spec("x", **values)[0],
        lambda: run_spec(RunSpec(net="x"), settings=values)[0],
    ]
    for make in makers:
        assert make().settings == current and capsys.readouterr().err.splitlines() == notes
    typed = [f"{key}={value}" for key, value in values.items()]
    code, out, err = cli("train", "lenet_d2l", "--data", blobs, "--dry-run", "--set", *typed)
    assert code == 0 and [line for line in err.splitlines() if line.startswith("note")] == notes
    assert re.search(r"^initialize +xavier_uniform +--set", out, re.M) and "initialise" not in out
    assert "note" not in cli("train", "lenet_d2l", "--data", blobs, "--dry-run", "--set", "initialize=normal")[2]


def test_stored_settings_keep_their_names(cli: CommandLine, blobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = cn.train("lenet_d2l", data=blobs, epochs=1, limit=64, initialise="normal", quiet=True)
    assert capsys.readouterr().err == "note: initialise is now spelled initialize\n"
    assert run.facts["recipe"]["initialise"] == "normal" and run.facts["recipe"]["colour_noise"] == "none"
    assert run.facts["origins"]["initialise"] == "--set" and run.facts["spec"]["settings"]["initialise"] == "normal"
    assert "initialize" not in (run.path / "run.json").read_text()
    assert run.folder.recipe().initialize == "normal"
    again = RunSpec.from_facts(run.facts)
    assert again.settings == {"epochs": 1, "initialize": "normal"}
    out = cli("train", "lenet_d2l", "--data", blobs, "--dry-run", "--json", "--set", "initialize=normal")[1]
    assert json.loads(out)["recipe"]["initialise"] == "normal" and json.loads(out)["origins"]["initialise"] == "--set"
    assert capsys.readouterr().err == ""  # reading a run is no reason for a note


def test_old_names_of_options_work_with_a_note(
    cli: CommandLine, blobs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("train", "lenet_d2l", "--data", blobs, "--seeds", "2", "--side-by-side", "0")
    code, _, err = cli(*command)
    assert code == 2 and err.startswith("note: --side-by-side is now spelled --parallel-runs\n")
    assert "--parallel-runs must be at least 1, not 0" in err
    (study, export), rest = split_options(
        {"side_by_side": 2, "licence": "MIT", "epochs": 1}, StudyOptions, ExportOptions
    )
    assert (study.parallel_runs, export.license, rest) == (2, "MIT", {"epochs": 1})
    notes = ["note: side_by_side is now spelled parallel_runs", "note: licence is now spelled license"]
    assert capsys.readouterr().err.splitlines() == notes
    args = parser().parse_args(["export", "run", "--licence", "MIT"])
    assert args.license == "MIT" and capsys.readouterr().err == "note: --licence is now spelled --license\n"
    for verb in ("train", "export"):
        assert not re.search("side-by-side|licence", help_text(capsys, verb))
    assert "--licence" not in cli("export", "run", "--nothing")[2]


def test_training_needs_no_tool() -> None:
    """The core imports no tool, so it trains without them."""
    tools = ("audit", "coach", "forecast", "studies", "handwriting", "export", "compat", "report", "api", "cli")
    code = (
        "import sys, classicnets.training.session, classicnets.evaluation.model, classicnets.weights.identify\n"
        f"print([t for t in {tools!r} if f'classicnets.{{t}}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
