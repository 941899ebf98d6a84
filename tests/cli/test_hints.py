"""Hints lead out of errors: whoever does what a hint says does not get the same error again."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from classicnets import api
from classicnets.cli import arguments, export
from classicnets.cli.main import main, parser
from classicnets.options import option_fields, spelling
from classicnets.text import again, running
from support.idx import make_idx_folder

LENET = """\
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool2 = nn.AvgPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(400, 120)
        self.fc3 = nn.Linear(120, 10)
    def forward(self, x):
        x = self.pool2(self.conv2(self.pool1(self.conv1(x))))
        return self.fc3(self.fc1(self.flatten(x)))
net = Net()
"""


@dataclass
class World:
    """The files that commands refer to: a data set, a finished run, an exported file, and what else a case writes."""

    root: Path
    data: Path
    run: Path
    cli: Callable[..., tuple[int, str]]
    placeholders: dict[str, str] = field(default_factory=dict)

    def net(self, *changes: tuple[str, str], name: str = "net.py") -> str:
        """A file with LeNet, changed; returns the argument NET."""
        source = LENET
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        (self.root / name).write_text(source)
        return f"{name}:net"

    def write(self, name: str, text: str) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    def image(self, name: str, size: int = 28) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        number = len(list(self.root.rglob("*.png")))
        pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return name

    def photos(self, name: str, sizes: tuple[int, ...] = (28, 28, 28)) -> str:
        for label in ("cat", "dog"):
            for number, size in enumerate(sizes):
                self.image(f"{name}/{label}/{number}.png", size)
        return name


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set and a finished run on it."""
    root = tmp_path_factory.mktemp("material")
    data = make_idx_folder(root / "blobs", train=120, test=40)
    run = cn.train("lenet_d2l", data=str(data), epochs=1, limit=64, quiet=True, runs=root / "runs").path
    return data, run


@pytest.fixture
def world(material: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    """Relative to the working folder: the data set `blobs` and the run `runs/done`."""
    data, run = material
    shutil.copytree(run, tmp_path / "runs/done")
    (tmp_path / "blobs").symlink_to(data)

    def cli(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as exited:  # --help
            code = int(exited.code or 0)
        return code, capsys.readouterr().err

    world = World(tmp_path, data, tmp_path / "runs/done", cli)
    world.photos("photos")
    world.image("image.png")
    world.placeholders = {
        "NET": "lenet_d2l",
        "RUN": "runs/done",
        "MODEL": "runs/done",
        "FOLDER": str(tmp_path / "elsewhere"),
        "DATA": "blobs",
        "NAME": "blobs",
        "SIZE": "300kB",
        "VALUE": "3",
    }
    (tmp_path / "elsewhere").mkdir()
    return world


TRAIN = ["train", "NET", "--data", "blobs", "--dry-run"]


def train(net: str, *options: str) -> list[str]:
    return ["train", net, "--data", "blobs", "--dry-run", *options]


def lenet(*options: str) -> Callable[[World], list[str]]:
    return lambda _: train("lenet_d2l", *options)


def changed_net(*changes: tuple[str, str]) -> Callable[[World], list[str]]:
    return lambda world: train(world.net(*changes))


def own(source: str, *options: str, name: str = "net") -> Callable[[World], list[str]]:
    """A network in a file with this source."""
    return lambda world: train(f"{world.write('own.py', f'from torch import nn{chr(10)}{source}')}:{name}", *options)


def words(*arguments: str) -> Callable[[World], list[str]]:
    return lambda _: list(arguments)


def changed_run(world: World) -> list[str]:
    """Resumes a run whose network's file has changed."""
    run = cn.train(world.net(), data="blobs", epochs=1, limit=64, quiet=True, runs="own_runs").path
    world.net(("120, 10", "120, 11"))
    world.placeholders["RUN"] = str(run)
    return ["evaluate", str(run)]


def damaged_checkpoint(world: World) -> list[str]:
    (world.run / "last.safetensors").write_bytes(b"x" * 90)
    (world.run / "best.safetensors").unlink(missing_ok=True)
    return ["evaluate", "runs/done"]


def not_a_run(world: World) -> list[str]:
    return ["evaluate", "runs"]


def no_weights(world: World) -> list[str]:
    for path in world.run.glob("*.safetensors"):
        path.unlink()
    facts = json.loads((world.run / "run.json").read_text())
    del facts["result"]
    (world.run / "run.json").write_text(json.dumps(facts))
    return ["evaluate", "runs/done"]


def moved_data(world: World) -> list[str]:
    facts = json.loads((world.run / "run.json").read_text())
    (world.run / "run.json").write_text(json.dumps({**facts, "data": str(world.root / "moved")}))
    return ["evaluate", "runs/done"]


def other_data(world: World) -> list[str]:
    facts = json.loads((world.run / "run.json").read_text())
    (world.run / "run.json").write_text(json.dumps({**facts, "fingerprint": "0" * 16}))
    return ["evaluate", "runs/done"]


def bad_image(world: World) -> list[str]:
    world.write("photos/cat/bad.png", "not an image")
    return train("lenet_d2l", "--data", "photos")


def bad_csv(world: World) -> list[str]:
    return train("lenet_d2l", "--data", world.write("list.csv", "a;b\n1;2\n"))


def one_class(world: World) -> list[str]:
    world.image("single/cat/0.png")
    return train("lenet_d2l", "--data", "single")


def nested(world: World) -> list[str]:
    world.photos("deep/er/photos")
    return train("lenet_d2l", "--data", "deep")


def sizes(world: World) -> list[str]:
    return train("lenet_d2l", "--data", world.photos("mixed", (20, 30, 40)), "--recipe", "fast")


def wrong_weights(world: World) -> list[str]:
    return train("alexnet_28", "--recipe", "fast", "--weights", "runs/done")


def incomplete_idx(world: World) -> list[str]:
    (world.root / "part").mkdir()
    shutil.copy(next(world.data.glob("train-images*")), world.root / "part")
    return train("lenet_d2l", "--data", "part")


def no_such_file(world: World) -> list[str]:
    world.net()
    return train("nett.py:net")


CASES: dict[str, Callable[[World], list[str]]] = {
    "unknown command": words("trian"),
    "unrelated command": words("foo"),
    "unknown option": lenet("--sed=1"),
    "unrelated option": lenet("--zzz"),
    "value of an option": lenet("--seed", "one"),
    "choice of an option": lenet("--precision", "bfloat"),
    "missing value": words(*TRAIN[:2], "--data"),
    "missing argument": words("evaluate"),
    "unknown action": words("data", "chekc", "photos"),
    "size of a budget": words("export", "runs/done", "--size-budget", "small"),
    "two formats": words("export", "runs/done", "--format", "torch", "--int8"),
    "budget of a page": words("export", "runs/done", "--format", "web", "--size-budget", "1MB"),
    "one file of another format": words("export", "runs/done", "--single-file"),
    "two runs in a file": words("export", "runs/done", "runs/done"),
    "three runs": words("export", "runs/done", "runs/done", "runs/done", "--format", "web"),
    "suffix of a page": words("export", "runs/done", "--format", "web", "-o", "net.onnx"),
    "folder in the way": words("export", "runs/done", "--format", "web", "-o", "photos"),
    "three networks": words("show", "lenet_d2l", "alexnet_d2l", "vgg16"),
    "recipe setting of show": words("show", "lenet_d2l", "--set", "lr=1"),
    "not a shape": words("show", "lenet_d2l", "--input", "28"),
    "not a square": words("show", "lenet_d2l", "--input", "1x28x30"),
    "no card": words("show", "own.py:net", "--card"),
    "unknown code": words("explain", "CN999"),
    "misspelled network": words(*train("lenet_dl2")),
    "unrelated network": words(*train("resnet")),
    "no such file": no_such_file,
    "no such file at all": words(*train("zzz.py:net")),
    "unknown recipe": lenet("--recipe", "zzz"),
    "no recipe": words(*train("alexnet_28")),
    "misspelled setting": lenet("--set", "epoch=3"),
    "unrelated setting": lenet("--set", "zzz=3"),
    "setting without value": lenet("--set", "epochs"),
    "network's setting": lenet("--set", "activation=relu"),
    "network's unknown setting": lenet("--set", "net.activatoin=relu"),
    "network's wrong value": lenet("--set", "net.activation=rleu", "net.dropout=7"),
    "nothing to vary": own("net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))", "--set", "net.activation=relu"),
    "wrong choice": lenet("--set", "optimizer=adamm"),
    "out of range": lenet("--set", "epochs=0", "lr=-1"),
    "not a number": lenet("--set", "lr=fast"),
    "monitor without validation": lenet("--set", "monitor=validation"),
    "patience without monitor": lenet("--set", "patience=3"),
    "plateau without patience": lenet("--set", "schedule=plateau"),
    "contradiction": lenet("--set", "join_after=2", "patience=2"),
    "drops without steps": lenet("--set", "drop_at=0.5"),
    "crop without resize": lenet("--set", "crop=random"),
    "no such layer": lenet("--set", "freeze=conv9"),
    "all layers": lenet("--set", "freeze=*"),
    "initialization of others": lenet("--set", "initialize=krizhevsky2012"),
    "weight decays": lenet("--set", "weight_decays=1,2"),
    "limit": lenet("--limit", "0"),
    "device": lenet("--device", "tpu"),
    "parallel runs": lenet("--seeds", "2", "--parallel-runs", "0"),
    "no data set": lenet("--data", "fashion_mnits"),
    "unrelated data set": lenet("--data", "zzz"),
    "no such folder": lenet("--data", "./zzz"),
    "empty folder": lenet("--data", "elsewhere"),
    "nested folder": nested,
    "one class": one_class,
    "bad image": bad_image,
    "bad csv": bad_csv,
    "mixed sizes": sizes,
    "incomplete idx": incomplete_idx,
    "unknown data to get": words("data", "get", "mnits"),
    "unrelated data to get": words("data", "get", "zzz"),
    "data to import": words("data", "import", "mnits", "photos"),
    "nothing to import": words("data", "import", "mnist", "photos"),
    "offline": words("data", "get", "kmnist"),
    "missing weights": lenet("--weights", "zzz.pth"),
    "wrong weights": wrong_weights,
    "flatten size": changed_net(("400, 120", "256, 120")),
    "no padding": changed_net((", padding=2", "")),
    "larger kernel": changed_net(("1, 6, 5", "1, 6, 7")),
    "no pooling": changed_net(("nn.AvgPool2d(2)\n        self.flatten", "nn.Identity()\n        self.flatten")),
    "no flatten": changed_net(("nn.Flatten()", "nn.Identity()")),
    "more channels": changed_net(("1, 6, 5", "1, 8, 5")),
    "color": changed_net(("1, 6, 5", "3, 6, 5")),
    "too large a window": changed_net(
        ("nn.AvgPool2d(2)\n        self.flatten", "nn.AvgPool2d(11)\n        self.flatten")
    ),
    "fixed batch": changed_net(("self.flatten(x)", "x.view(64, -1)")),
    "number of classes": changed_net(("120, 10", "120, 12")),
    "no such name": own("net = nn.Flatten()\n", name="model"),
    "error in the file": own("net = nn.Lineer(784, 10)\n"),
    "not a run": not_a_run,
    "no such run": words("evaluate", "zzz"),
    "no weights yet": no_weights,
    "damaged checkpoint": damaged_checkpoint,
    "complete run": words("train", "--resume", "runs/done"),
    "setting of a resumed run": words("train", "--resume", "runs/done", "--set", "lr=1"),
    "changed network": changed_run,
    "moved data": moved_data,
    "other data": other_data,
    "file in the way": lambda world: ["export", "runs/done", "-o", f"{world.write('file', '')}/net.onnx"],
    "missing folder": words("export", "runs/done", "-o", "zzz/net.onnx"),
    "figure in a missing folder": words("show", "lenet_d2l", "--svg", "zzz/net.svg"),
    "other suffix": words("export", "runs/done", "--format", "torch", "-o", "net.onnx"),
    "not an exported file": lambda world: ["predict", world.write("net.onnx", "x"), "image.png"],
}
SHELL = ("cp", "export", "file", "ls", "mkdir", "pip", "python", "sudo", "unset")
SOURCE = re.compile(r"(\w+) = (nn\.\w+\(.*?\))(?:$|;)")


def done(*_: object) -> None:
    raise SystemExit(0)


def outcome(world: World, command: list[str]) -> tuple[int, tuple[str, str], list[str], str]:
    """Exit code, code and text of the error, its hints, and its place."""
    code, err = world.cli(*command)
    message = re.search(r"^error\[(CN\d+)\]: (.*)$", err, re.M)
    hints = re.findall(r"^  (?:hint|or): +(.*)$", err, re.M)
    where = re.search(r"^  where: (.*)$", err, re.M)
    return code, (message[1], message[2]) if message else ("", ""), hints, where[1] if where else ""


def applied(world: World, command: list[str], hint: str, where: str) -> Iterator[list[str]]:
    """The commands to run after the hint was followed; none for a hint that tests cannot follow."""
    hint = hint.split("   # ", maxsplit=1)[0]
    size = re.search(rf"{'show' if command[0] == 'show' else 'train'} (--\S+ \S+)[,)]", hint)
    changes = SOURCE.findall(hint)
    if hint.startswith("in forward(), replace "):
        call, _, rest = hint.removeprefix("in forward(), replace ").partition(" by ")
        source = (world.root / "net.py").read_text()
        assert f"x.{call}" in source
        (world.root / "net.py").write_text(source.replace(f"x.{call}", rest.split(",")[0]))
    elif hint.startswith("put nn.Flatten()"):
        source = (world.root / "net.py").read_text()
        (world.root / "net.py").write_text(source.replace("nn.Identity()", "nn.Flatten()"))
    elif size:
        yield [*command, *shlex.split(size[1])]
        return
    elif not changes:
        typed = [world.placeholders.get(word, word) for word in shlex.split(hint)]
        typed = [re.sub(r"\b(RUN|FOLDER|VALUE)\b", lambda m: world.placeholders[m[0]], word) for word in typed]
        if typed[0] == "classicnets":
            yield typed[1:] or ["--help"]
        elif typed[0].startswith("-"):
            wrong = set(shlex.split(where)) if where.startswith("--set ") else set()
            kept = [word for word in command if word not in wrong or word == "--set"]
            kept = [
                word for i, word in enumerate(kept) if word != "--set" or (kept[i + 1 : i + 2] and "=" in kept[i + 1])
            ]
            if len(typed) == 1 or "=" in typed[0] or typed[0].startswith("--set"):
                kept = [word for word in kept if not word.startswith("--sed")]
            yield [*_without(kept, typed[0]), *typed]
        elif typed[0] in SHELL:
            yield from _in_shell(typed, command)
        elif Path(typed[0]).is_dir():
            yield [command[0], typed[0]]
        return
    for name, source in changes:
        text = (world.root / "net.py").read_text()
        changed = re.sub(rf"self\.{name} = .*", lambda _: f"self.{name} = {source}", text)  # noqa: B023
        assert changed != text, hint
        (world.root / "net.py").write_text(changed)
    if changes or "nn.Flatten()" in hint or "x.flatten(1)" in hint:
        yield command


def _without(command: list[str], option: str) -> list[str]:
    """The command without an option that is given again, and its value."""
    if option not in command or option == "--set":
        return command
    at = command.index(option)
    return [*command[:at], *command[at + 2 :]]


def _in_shell(typed: list[str], command: list[str]) -> Iterator[list[str]]:
    if typed[0] == "cp":
        shutil.copy(typed[1], typed[2])
    elif typed[0] == "mkdir":
        Path(typed[-1]).mkdir(parents=True)
    elif typed[0] == "ls":
        assert Path(typed[1]).exists()
        return
    else:
        return
    yield command


@pytest.mark.parametrize("name", CASES)
def test_a_hint_leads_out_of_the_error(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    command = CASES[name](world)
    for slow in ("forecast", "export"):  # succeeds if it is reached
        monkeypatch.setattr(api.training if slow == "forecast" else api.models, slow, done)
    code, error, hints, where = outcome(world, command)
    assert code and error[0], f"no error: {command}"
    assert hints, error
    files = {path: path.read_bytes() for path in world.root.glob("*.py")}
    for hint in hints:
        for path, content in files.items():
            path.write_bytes(content)
        for next_command in applied(world, command, hint, where):
            code, later, _hints, place = outcome(world, next_command)
            same_place = place == where or not error[1].endswith(" images")  # shape errors: another layer is progress
            assert not code or later != error or not same_place, (hint, next_command)
    assert len({hint.split("   # ")[0] for hint in hints}) == len(hints)


AWKWARD = ["two words", "$HOME", "[a] (b)", "it's", '"quoted"', "-x", "*", "a;b & c", "#1"]


def printed_commands(text: str) -> list[list[str]]:
    """The commands that a text tells to paste, split as a shell splits them."""
    return [shlex.split(line) for line in re.findall(r"(?:next: |hint: +|or: +|      )(classicnets .*)", text)]


@pytest.mark.parametrize("name", AWKWARD)
def test_printed_commands_work_in_folders_with_awkward_names(
    name: str, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api.models, "export", done)
    (world.root / name).mkdir()
    shutil.copytree(world.data, world.root / name / "data")
    image = world.image(f"{name}/image.png")
    options = [f"--data={name}/data", f"--runs={name}", "--limit=64", "--set", "epochs=1", "patience=0"]
    assert main(["train", "lenet_d2l", *options]) == 0
    commands = printed_commands(capsys.readouterr().out)
    assert [words[1] for words in commands] == ["evaluate", "predict"]
    for words in commands:
        assert main([word.replace("IMAGE.png", str(Path.cwd() / image)) for word in words[1:]]) == 0, words
    run = commands[0][2]
    capsys.readouterr()
    assert main(["train", "--resume", run]) == 2
    (more,) = printed_commands(capsys.readouterr().err)
    assert more[1] == "train" and main([*more[1:], "--runs", "again"]) == 0
    for command in (
        ["evaluate", f"./{name}"],
        ["data", "check", f"./{name}/data"],
        ["export", run, "-o", f"./{name}/"],
    ):
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main(command)
        out, err = capsys.readouterr()
        for words in printed_commands(out + err):
            assert main(words[1:]) in {0, 1}, words


# options and their values, of commands whose hints repeat them
GIVEN: dict[str, list[str]] = {
    "train": ["lenet_d2l", "--set", "epochs=3", "net.activation=relu", "--seed", "0", "--json"],
    "train ": ["--resume", "a run", "--save-every", "5.0", "--tensorboard", "--trust", "--offline", "--jsonl"],
    "evaluate": ["a run", "photos", "--min-confidence", "0.9", "--precision", "auto", "--csv", "--net", "a.py:n"],
    "predict": ["a run", "a.png", "*.png", "--top", "1", "--handwriting", "--show=-x.png"],
    "export": [
        "a run",
        "-o",
        "file name",
        "--license",
        "CC BY",
        "--max-loss",
        "0.0",
        "--int8",
        "--debug",
        "--lang",
        "en",
    ],
    "export ": ["a run", "--format", "torch", "--min-confidence", "0.0", "--net", "a.py:n", "--trust", "--json"],
    "export  ": ["a run", "--input", "float", "--size-budget", "300000B"],
    "export   ": ["a run", "b run", "--format", "web", "--single-file"],
    "data check": ["photos", "-o", "a b.png"],
}


@pytest.mark.parametrize("name", [*GIVEN])
def test_a_command_is_repeated_with_all_its_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, words = name.split(), GIVEN[name]
    args = parser().parse_args([*verb, *words])
    with running(args.parser.prog, partial(arguments.words, args)):
        hint = again("classicnets", *verb, "--data", "DATA")
        assert shlex.split(again("classicnets", "list", "--all")) == ["classicnets", "list", "--all"]
    assert vars(parser().parse_args(shlex.split(hint)[1:])) | {"parser": args.parser} == vars(args)
    assert again("classicnets", *verb, "X") == " ".join(["classicnets", *verb, "X"])  # as in Python


def test_every_option_of_export_is_repeated() -> None:
    words = " ".join(word for name, words in GIVEN.items() if name.strip() == "export" for word in words).split()
    flags = {spelling(f) for kind in (*export.OPTIONS, arguments.Common) for f in option_fields(kind)}
    assert flags - {"--folders", "--data"} <= {*words}


LOST_DATA = [
    ("export runs/done --int8 --max-loss 3 --license CC0-1.0 --data missing", "--data"),
    ("export runs/done --input float --data missing", "--data"),
    ("train --resume runs/stopped --save-every 5 --trust", "--data"),
    ("train --resume runs/stopped --save-every 5 --seed 1", ""),
    ("train --resume runs/stopped --save-every 5 --dry-run", ""),
    ("evaluate runs/done --min-confidence 0.5 --csv", "DATA"),
]


@pytest.mark.parametrize(("line", "added"), LOST_DATA)
def test_hints_keep_the_options_that_were_given(line: str, added: str, world: World) -> None:
    """The data of the runs is gone."""
    shutil.copytree(world.run, world.root / "runs/stopped")
    for run in (world.run, world.root / "runs/stopped"):
        facts = json.loads((run / "run.json").read_text())
        if run.name == "stopped":
            del facts["result"]
        facts["data"] = facts["spec"]["data"] = "gone"
        (run / "run.json").write_text(json.dumps(facts))
    code, err = world.cli(*line.split())
    first = next(text for text in err.splitlines() if text.lstrip().startswith("hint:"))
    hint = shlex.split(first.partition("hint:")[2].partition("   #")[0])
    given = line.replace(" --data missing", "").replace(" --seed 1", "").replace(" --dry-run", "").split()
    wanted = [*given, *([added] if added else []), *(["DATA"] if added == "--data" else [])]
    assert code and sorted(hint[1:]) == sorted(wanted), err
