"""Networks from user's files: each runs like a program of its own, and what is wrong with it is explained."""

from __future__ import annotations

import ast
import copy
import importlib
import json
import pickle
import random
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

import classicnets
from classicnets.cli.main import main
from classicnets.errors import UsageError
from classicnets.runs import folder, net_spec
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import run_spec
from classicnets.training.plan import plan
from support.command_line import CommandLine

LINEAR = "from torch import nn\nnet = nn.Linear(2, 3)\n"
IMAGES = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"  # of one channel, 28 x 28


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def build(text: str | bytes, name: str = "net", file: str = "my_net.py") -> nn.Module:
    return net_spec.find(f"{write(Path(file), text)}:{name}").build()


def error(text: str | bytes, name: str = "net", file: str = "my_net.py") -> UsageError:
    """The error for a file, which does not leave its module behind."""
    before = {*sys.modules}
    with pytest.raises(UsageError) as caught:
        build(text, name, file)
    assert caught.value.code == "CN205" and caught.value.hints and caught.value.where
    assert not [name for name in {*sys.modules} - before if name.startswith("my_net")]
    return caught.value


# --- what is wrong with a file: its contents, the name, and parts of what, where, why and the hints

DOES_NOT_DEFINE: dict[str, tuple[str | bytes, str, str, str, str, str]] = {
    "exit": ("import sys\n" + LINEAR + "sys.exit(0)\n", "net", "exits", ":4", "code 0", "__main__"),
    "exit of the shell": (LINEAR + "exit(3)\n", "net", "exits", ":3", "code 3", "__main__"),
    "quit": (LINEAR + "quit()\n", "net", "exits", ":3", "code 0", "__main__"),
    "exit with a message": (LINEAR + "raise SystemExit('no data')", "net", "exits", ":3", "no data", "__main__"),
    "an argument is missing": (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', required=True)\np.parse_args()\n",
        "net", "exits", ":4", "my_net.py: the following arguments are required: --lr", "default",
    ),
    "a function exits": ("import sys\ndef net():\n    sys.exit(1)\n", "net", "exits", ":3", "code 1", "return net"),
    "syntax": ("x = 1\nnet = (", "net", "not valid Python", ":2", "SyntaxError", "py_compile"),
    "indentation": ("def net():\nreturn 1\n", "net", "not valid Python", ":2", "IndentationError", "py_compile"),
    "a null byte": (b"net = 1\x00\n", "net", "", "my_net.py", "null", "python"),
    "Latin-1": ("# naïve\n".encode("latin1") + LINEAR.encode(), "net", "not text in UTF-8", ":1", "", "iconv"),
    "UTF-16": (LINEAR.encode("utf-16"), "net", "not text in UTF-8", ":1", "", "iconv"),
    "an unknown encoding": (b"# -*- coding: klingon -*-\n", "net", "not text in UTF-8", ":1", "klingon", "iconv"),
    "empty": ("", "net", "is empty", "my_net.py", "", "nn.Sequential"),
    "blank": (" \n\n", "net", "is empty", "my_net.py", "", "nn.Sequential"),
    "only a comment": ("# to do\n", "net", "not a network", "my_net.py", "not defined", "nn.Sequential"),
    "a typing error in the name": (LINEAR, "nett", "not a network", "my_net.py", "not defined", "my_net.py:net"),
    "no name": (LINEAR, "", "not a network", "my_net.py", "after the colon", "my_net.py:net"),
    "none": ("net = None", "net", "not a network", "my_net.py", "is None", "nn.Sequential"),
    "a number": ("net = 3\nfrom torch import nn\na = nn.Linear(1, 2)", "net", "not a network", "", "type int", ":a"),
    "a list": ("from torch import nn\nnet = [nn.ReLU(), nn.ReLU()]", "net", "", "", "list of 2", "nn.Sequential(*net)"),
    "a list from a function": (
        "from torch import nn\ndef net():\n    return [nn.ReLU()]", "net", "", "", "list of 1 layer",
        "return nn.Sequential(*layers)",
    ),
    "a ModuleList": (
        "from torch import nn\nnet = nn.ModuleList([nn.ReLU()])", "net", "", "", "no forward()", "nn.Sequential(*net)",
    ),
    "no forward": ("from torch import nn\nclass net(nn.Module): pass", "net", "", "", "no forward()", "def forward"),
    "a dict": ("from torch import nn\nnet = {'a': nn.ReLU()}", "net", "", "", "dict of layers", "OrderedDict"),
    "a state dict": (
        "from torch import nn\nnet = nn.Linear(1, 2).state_dict()", "net", "", "", "state dict", "load_state_dict(net)",
    ),
    "a checkpoint": (
        "from torch import nn\nnet = {'epoch': 1, 'model': nn.Linear(1, 2).state_dict()}", "net", "", "", "state dict",
        "load_state_dict",
    ),
    "a tensor": ("import torch\nnet = torch.zeros(3)", "net", "", "", "type Tensor", "nn.Sequential"),
    "a module": ("import torch\nnet = torch", "net", "", "", "type module", "nn.Sequential"),
    "a function without return": ("def net():\n    pass", "net", "", "", "returns None", "return net"),
    "a coroutine": ("async def net():\n    pass", "net", "", "", "type coroutine", ""),
    "a function that returns a class": (
        "from torch import nn\ndef net():\n    return nn.ReLU", "net", "", "", "the class ReLU", "return ReLU()",
    ),
    "a function that needs arguments": (
        "def net(width, depth=2, *, act):\n    pass", "net", "needs the arguments width, act", "", "",
        "width=..., act=...",
    ),
    "a class that needs arguments": (
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, width): super().__init__()", "Net",
        "constructor needs the argument width", "", "", "net = Net(width=...)",
    ),
    "a class of something else": ("class net:\n    pass", "net", "", "", "not a torch.nn.Module", "nn.Module"),
    "a package": (
        "import no_such_package", "net", "neither a file beside it nor an installed package", ":1", "",
        "pip install no_such_package",
    ),
    "a package of another name": ("x = 1\nimport cv2.dnn", "net", "cv2", ":2", "", "pip install opencv-python"),
    "a module of a package": ("import torch.no_such", "net", "torch.no_such", ":1", "", "--upgrade torch"),
    "a relative import": ("from .layers import Block", "net", "leading dot", ":1", "relative import", "from layers"),
    "an error": ("x = 1\ny = x / 0", "net", "cannot be built", ":2", "ZeroDivisionError: division by zero", "python"),
    "an error without a text": ("assert 1 > 2", "net", "cannot be built", ":1", "AssertionError", "python"),
    "an error in a function": ("def net():\n    x = 1\n    return y", "net", "cannot be built", ":3", "NameError", ""),
    "an error of ours": (
        "import classicnets as cn\nnet = cn.create('alexnet_d21')", "net", "cannot be built", ":2", "alexnet_d2l", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name", "what", "where", "why", "hint"), DOES_NOT_DEFINE.values(), ids=DOES_NOT_DEFINE.keys()
)
def test_says_what_is_wrong(
    text: str | bytes, name: str, what: str, where: str, why: str, hint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    e = error(text, name)
    assert what in e.what and where in e.where and why in e.why and hint in " ".join(e.hints)
    assert capfd.readouterr() == ("", "")  # such as a usage line, as if it were ours
    assert not sys.stdin.closed


def test_ctrl_c_is_no_mistake_of_the_file() -> None:
    with pytest.raises(KeyboardInterrupt):
        build("raise KeyboardInterrupt")
    assert sys.argv != ["my_net.py"]


def test_says_what_is_wrong_with_a_path(tmp_path: Path, cli: CommandLine) -> None:
    (tmp_path / "folder.py").mkdir()
    write(tmp_path / "my_net.py", LINEAR)
    for net, what in (
        ("folder.py:net", "is a folder"),
        ("none.py:net", "does not exist"),
        ("my_net.py", "name of the network in my_net.py is missing"),
    ):
        code, _out, err = cli("show", net)
        assert code == 2 and what in err and "error[CN205]" in err
    assert "my_net.py:net" in cli("show", "my_net.py")[2]


def test_an_error_beside_the_file_is_found_there() -> None:
    write(Path("layers.py"), "WIDTH = 4\nx = 1 / 0\n")
    assert error("from layers import WIDTH\n").where.endswith("layers.py:2")
    write(Path("layers.py"), "WIDTH = (\n")
    e = error("from layers import WIDTH\n")
    assert e.where.endswith("layers.py:1") and "layers.py is not valid Python" in e.what
    write(Path("layers.py"), "import no_such_package\n")
    e = error("from layers import WIDTH\n")
    assert e.where.endswith("layers.py:1") and "layers.py imports no_such_package" in e.what
    write(Path("layers.py"), "")
    e = error("from layers import WIDTH\n")
    assert "cannot import name 'WIDTH'" in e.why and e.where.endswith("my_net.py:1")
    e = error("import layer\n")
    assert "import layers" in e.hints[0] and "pip install layer" in e.hints[1]
    write(Path("blocks/__init__.py"), "")
    e = error("import blocks.conv\n")
    assert "there is no such file beside it" in e.what and "blocks" in e.hints[0]


@pytest.mark.parametrize("use", ["from random import WIDTH", "import random\nrandom.WIDTH"])
def test_a_neighbor_with_the_name_of_a_standard_module_is_to_be_renamed(use: str) -> None:
    write(Path("random.py"), "WIDTH = 4\n")
    assert "rename random.py" in error(use).hints[0]
    assert random.random() < 1 and sys.modules["random"] is random


# --- what a file sees

FUTURE = """
from __future__ import annotations
import enum, sys, typing
from dataclasses import dataclass, field
from torch import nn
argv, module = [*sys.argv], sys.modules[__name__]
@dataclass
class Config:
    width: int = 6
    count: typing.ClassVar[int] = 0
    rest: list[int] = field(default_factory=list)
class Pair(typing.NamedTuple):
    a: int
class Kind(enum.Enum):
    A = 1
class Net(nn.Module):
    def __init__(self, config: Config | None = None):
        super().__init__()
        self.config, self.pair, self.kind = config or Config(), Pair(1), Kind.A
        self.layer = nn.Linear(2, self.config.width)
    def forward(self, x):
        return self.layer(x)
net = Net()
"""


@pytest.mark.parametrize("name", ["net", "Net"])
@pytest.mark.parametrize("file", ["my_net.py", "my net-2.0.py", "torch.py", "json.py"])
def test_classes_of_a_file_look_themselves_up(name: str, file: str) -> None:
    net = build(FUTURE, name, file)
    module = sys.modules[type(net).__module__]
    assert module.module is module and module.argv == [str(Path(file).resolve())] != sys.argv
    assert typing.get_type_hints(module.Config) == {"width": int, "count": typing.ClassVar[int], "rest": list[int]}
    assert "width" in typing.get_type_hints(module.Net.forward) or module.Config().width == 6
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert type(again) is type(net) and again.config == net.config and again.kind is net.kind
    torch.save(net, "net.pt")
    assert torch.load("net.pt", weights_only=False).config == net.config
    assert sys.modules["json"] is json and sys.modules["torch"] is torch


def test_files_of_one_name_are_different_modules() -> None:
    text = "from torch import nn\nclass Net(nn.Linear): n = {}\nnet = Net(2, 3)"
    nets = [build(text.format(k), file=f"{k}/my_net.py") for k in (1, 2)]
    assert [pickle.loads(pickle.dumps(net)).n for net in nets] == [1, 2]
    assert len({type(net).__module__ for net in nets}) == 2


def test_a_file_is_read_again_at_once() -> None:
    for width in (4, 8, 6):  # of one size and within a second, so that Python would use its bytecode
        write(Path("layers.py"), f"WIDTH = {width}\n")
        assert build("from torch import nn\nfrom layers import WIDTH\nnet = nn.Linear(2, WIDTH)").out_features == width
    assert not Path("__pycache__").exists()


# --- the modules beside a file

USES = {
    "import": "import helper_layers\nnet = nn.Linear(2, helper_layers.WIDTH)",
    "from": "from helper_layers import WIDTH\nnet = nn.Linear(2, WIDTH)",
    "importlib": "import importlib\nnet = nn.Linear(2, importlib.import_module('helper_layers').WIDTH)",
    "function": "def net():\n    from helper_layers import WIDTH\n    return nn.Linear(2, WIDTH)",
    "package": "from pack import WIDTH\nnet = nn.Linear(2, WIDTH)",
    "submodule": "import pack.inner.deep\nnet = nn.Linear(2, pack.inner.deep.WIDTH)",
    "folder": "from plain.leaf import WIDTH\nnet = nn.Linear(2, WIDTH)",
    "search path": "import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent / 'lib'))\n"
    "from in_lib import WIDTH\nnet = nn.Linear(2, WIDTH)",
    "forward": "class net(nn.Module):\n    def forward(self, x):\n        from helper_layers import WIDTH\n"
    "        return x.new_zeros(2, WIDTH)",
    "forward of a neighbor": "from layers_later import Late\nnet = Late()",
}


def project(root: Path, width: int) -> None:
    """A folder of files that get `width` from each other in different ways."""
    write(root / "helper_layers.py", f"WIDTH = {width}\n")
    write(root / "pack/__init__.py", "from .inner.deep import WIDTH\nfrom pack.inner import deep\n")
    write(root / "pack/inner/__init__.py", "")
    write(root / "pack/inner/deep.py", "from helper_layers import WIDTH\n")
    write(root / "plain/leaf.py", f"WIDTH = {width}\n")
    write(root / "lib/in_lib.py", f"WIDTH = {width}\n")
    write(
        root / "layers_later.py",
        "from torch import nn\nclass Late(nn.Module):\n    def forward(self, x):\n"
        "        import pack.inner.deep as deep\n        return x.new_zeros(2, deep.WIDTH)\n",
    )


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_a_file_gets_its_own_neighbors_and_leaves_nothing(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {
        name: ModuleType(name) for name in ("helper_layers", "pack", "pack.inner", "plain", "in_lib", "layers_later")
    }
    for name, module in others.items():
        monkeypatch.setitem(sys.modules, name, module)
    nets, before, search_path, finders = [], {**sys.modules}, [*sys.path], [*sys.meta_path]
    for root, width in (("a", 4), ("b", 8), ("c", 5)):
        project(Path(root), width)
        nets.append(build("from torch import nn\n" + use, file=f"{root}/my_net.py"))
    for net, width in (*zip(nets, (4, 8, 5), strict=True), (nets[0], 4)):
        assert net(torch.ones(2, 2)).shape == (2, width)
        after = {name: module for name, module in sys.modules.items() if not name.startswith("my_net_")}
        assert after == {name: module for name, module in before.items() if not name.startswith("my_net_")}
        assert sys.path == search_path and sys.meta_path == finders


def test_neighbors_are_forgotten_after_an_error() -> None:
    project(Path(), 4)
    before = {*sys.modules}
    error("import pack.inner.deep\nraise ValueError\n")
    assert {*sys.modules} == before
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("helper_layers")


def test_installed_packages_stay_whatever_lies_beside_the_file() -> None:
    for name in ("torch/__init__.py", "classicnets/__init__.py", "numpy.py", "json.py", "rich/notes.txt"):
        write(Path(name), "raise RuntimeError\n" if name.endswith(".py") else "")
    net = build(
        "import json, numpy, rich.console, classicnets\nfrom torch import nn\nnet = nn.Linear(numpy.int64(2), 3)\n"
    )
    assert net.out_features == 3 and sys.modules["torch"] is torch and sys.modules["classicnets"] is classicnets


# --- the settings of the process

SETTINGS = {
    "default type": ("torch.set_default_dtype(torch.float64)", torch.get_default_dtype),
    "default device": ("torch.set_default_device('meta')", lambda: torch.empty(1).device),
    "gradient": ("torch.set_grad_enabled(False)", torch.is_grad_enabled),
    "anomalies": ("torch.autograd.set_detect_anomaly(True)", torch.is_anomaly_enabled),
    "threads": ("torch.set_num_threads(3)", torch.get_num_threads),
    "deterministic": ("torch.use_deterministic_algorithms(True)", torch.are_deterministic_algorithms_enabled),
    "precision": ("torch.set_float32_matmul_precision('medium')", torch.get_float32_matmul_precision),
    "TF32": ("torch.backends.cuda.matmul.allow_tf32 = True", lambda: torch.backends.cuda.matmul.allow_tf32),
    "cuDNN": ("torch.backends.cudnn.benchmark = True", lambda: torch.backends.cudnn.benchmark),
    "oneDNN": ("torch.backends.mkldnn.enabled = False", lambda: torch.backends.mkldnn.enabled),
    "working folder": ("os.mkdir('x'); os.chdir('x')", Path.cwd),
    "arguments": ("sys.argv.append('--lr'); sys.argv = ['other']", lambda: [*sys.argv]),
    "search path": ("sys.path[:] = []", lambda: [*sys.path]),
    "warnings": ("warnings.simplefilter('ignore')", lambda: [*warnings.filters]),
    "random": ("random.seed(5); random.random()", random.getstate),
    "numpy": ("np.random.seed(5)", lambda: np.random.get_state(legacy=False)["state"]["key"].tolist()),
}  # fmt: skip
IMPORTS = "import os, random, sys, torch, warnings\nimport numpy as np\nfrom torch import nn\n"


@pytest.mark.parametrize("where", ["import", "function", "error"])
@pytest.mark.parametrize(("line", "read"), SETTINGS.values(), ids=SETTINGS.keys())
def test_a_file_does_not_change_the_process(line: str, read: Callable[[], object], where: str) -> None:
    before = read()
    if where == "import":
        build(f"{IMPORTS}{line}\nnet = nn.Linear(2, 3)\n")
    elif where == "function":
        with torch.device("cpu"):
            build(f"{IMPORTS}def net():\n    {line}\n    return nn.Linear(2, 3)\n")
    else:
        error(f"{IMPORTS}{line}\nsys.exit()\n")
    assert read() == before


def test_a_file_draws_the_numbers_that_torch_gives_without_it() -> None:
    torch.manual_seed(3)
    expected, following = nn.Linear(2, 3).weight, torch.rand(3)
    torch.manual_seed(3)
    net = build(LINEAR)
    assert isinstance(net, nn.Linear) and torch.equal(net.weight, expected) and torch.equal(torch.rand(3), following)


@pytest.mark.parametrize("draw", ["random.random()", "np.random.rand()"])
def test_other_generators_follow_the_seed(draw: str) -> None:
    numbers = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        numbers.append(build(f"{IMPORTS}net = nn.Linear(2, 3)\nnet.number = {draw}\n").number)
    assert numbers[0] == numbers[2] != numbers[1]


SEEDS = {
    "at import": (IMAGES + "import torch\ntorch.manual_seed(0)\n", True),
    "with any number": (IMAGES + "import torch\ntorch.manual_seed(67280421310721)\n", True),
    "in a function": ("import torch\nfrom torch import nn\ndef net():\n    torch.manual_seed(1)\n"
                      "    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n", True),
    "not": (IMAGES, False),
    "of another generator": (IMAGES + "import torch\ntorch.Generator().manual_seed(0)\n", False),
}  # fmt: skip


@pytest.mark.parametrize(("text", "sets_seed"), SEEDS.values(), ids=SEEDS.keys())
def test_says_that_a_file_sets_the_seed(text: str, sets_seed: bool, blobs: Path) -> None:
    write(Path("my_net.py"), text)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    resolved = plan(run_spec("my_net.py:net", data=blobs)[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert any("my_net.py calls torch.manual_seed" in line for line in resolved.lines()) is sets_seed


# --- standard output

NOISY = """
import os, sys
from torch import nn
print("IMPORT"); sys.stdout.write("NOISE"); NOISE = sys.stdout
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        print("INIT")
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    def forward(self, x):
        print("FORWARD"); NOISE.write("NOISE")
        return self.layers(x)
def net():
    print("BUILDER")
    return Net()
"""
NOISES = ("IMPORT", "NOISE", "INIT", "FORWARD", "BUILDER")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("options", [(), ("--why",), ("noisy.py:Net",)])
def test_show_prints_only_its_result(options: tuple[str, ...], as_json: bool, cli: CommandLine) -> None:
    write(Path("noisy.py"), NOISY)
    code, out, err = cli("show", "noisy.py:net", *options, *["--json"] * as_json)
    assert code == 0 and not any(noise in out for noise in NOISES) and all(noise in err for noise in NOISES)
    assert not as_json or json.loads(out)


@pytest.mark.slow
def test_every_command_prints_only_its_result(cli: CommandLine, blobs: Path, folder: Path) -> None:
    write(Path("noisy.py"), NOISY)
    training = ("train", "noisy.py:net", "--data", blobs, "--limit", 64, "--set", "epochs=1")
    image = next(folder.rglob("*.png"))

    def output(*arguments: object) -> str:
        code, out, err = cli(*arguments)
        assert code == 0 and not any(noise in out for noise in NOISES) and "FORWARD" in err
        return out

    assert json.loads(output(*training, "--dry-run", "--json"))["forecast"]
    assert json.loads(output(*training, "--dry-run", "--seeds", 2, "--json"))["forecast"]
    assert output(*training, "--dry-run").startswith("network ")
    run = json.loads(output(*training, "--json"))["run"]
    assert [json.loads(line)["event"] for line in output(*training, "--jsonl").splitlines()][-1] == "result"
    assert output(*training).startswith("test accuracy")
    assert json.loads(output("evaluate", run, "--json"))["n"] == 100
    assert output("evaluate", run, "--csv").startswith("class,")
    assert "accuracy" in output("evaluate", run).splitlines()[0]
    assert json.loads(output("predict", run, image, "--json"))["pictures"] == 1
    assert json.loads(output("predict", run, image, "--jsonl"))["picture"] == str(image)
    assert output("predict", run, image, "--csv").startswith("picture,")
    assert "probability" in output("predict", run, image).splitlines()[0]
    assert output("show", run).startswith("noisy_net")
    assert output("export", run, "--format", "torch", "-o", "net.pt2", "--json").startswith("{")


def test_an_error_is_the_only_json(cli: CommandLine) -> None:
    write(Path("noisy.py"), NOISY + "raise ValueError\n")
    code, out, err = cli("show", "noisy.py:net", "--json")
    assert code == 2 and json.loads(out)["error"] == "CN205" and "IMPORT" in err


def test_a_network_that_exits_is_an_error(cli: CommandLine) -> None:
    write(
        Path("my_net.py"),
        "import sys\nfrom torch import nn\nclass net(nn.Module):\n    def forward(self, x):\n        sys.exit()\n",
    )
    code, out, err = cli("show", "my_net.py:net")
    assert code == 2 and out == "" and "my_net.py:5" in err and "CN205" in err


def test_a_closed_standard_output_stays_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # as Python sets it for `>&-`
    assert main(["list"]) == 0 and sys.stdout is None
    assert capsys.readouterr().err == ""


def test_output_of_other_programs_is_no_result(tmp_path: Path) -> None:
    """In a process of its own: what programs that it starts print, and what it prints when it exits."""
    code = (
        "import atexit, os, sys\nfrom classicnets.report import output\n"
        "atexit.register(print, 'AT EXIT')\n"
        "with output.reserved({}):\n"
        "    os.system('echo OTHER'); sys.__stdout__.write('RAW\\n'); print('NOISE'); output.print('{{}}')\n"
        "output.print('AFTER')"
    )
    for arguments, out in (("until_exit=True", "{}\nAFTER\n"), ("", "{}\nAFTER\nAT EXIT\n")):
        process = subprocess.run(
            [sys.executable, "-c", code.format(arguments)], capture_output=True, text=True, check=True
        )
        assert process.stdout == out and {"OTHER", "RAW", "NOISE"} <= {*process.stderr.splitlines()}


def test_commands_print_their_results_as_results() -> None:
    """A command that called the function of Python would print to standard error."""
    source = Path(classicnets.__file__).parent
    for path in [*source.glob("cli/*.py"), source / "report/predictions.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert "print" not in names or "print" in imported, path.name
        assert "stdout" not in {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}, path.name


# --- run folders


def started(root: str = "project") -> tuple[NetSpec, Path]:
    """The specification of a network whose file has neighbors, as a run stores it, and the run folder."""
    project(Path(root), 4)
    file = write(Path(root) / "my_net.py", "from torch import nn\nfrom pack import WIDTH\nnet = nn.Linear(2, WIDTH)\n")
    spec = net_spec.find(f"{file}:net")
    spec.build()
    spec = spec.with_neighbors()
    folder.fill(Path("run"), spec, {"net": spec.to_dict()})
    return NetSpec(**json.loads(Path("run/run.json").read_text())["net"]), Path("run")


def test_a_run_records_the_neighbors_of_its_file() -> None:
    spec, run = started()
    names = ["helper_layers.py", "pack/__init__.py", "pack/inner/__init__.py", "pack/inner/deep.py"]
    assert [*spec.neighbors] == names and spec.build().out_features == 4
    assert sorted(path.relative_to(run).as_posix() for path in run.rglob("*.py")) == sorted(["net.py", *names])
    assert "neighbors" not in replace(spec, neighbors={}).to_dict()  # as in run folders of earlier versions


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"helper_layers.py": "WIDTH = 8\n"}, "helper_layers.py has changed"),
        ({"helper_layers.py": None}, "helper_layers.py has changed since the run was started, or does not exist"),
        ({"pack/inner/deep.py": "WIDTH = 8\n", "my_net.py": LINEAR}, "my_net.py, deep.py have changed"),
    ],
)
def test_says_which_file_of_a_run_has_changed(changes: dict[str, str | None], what: str) -> None:
    spec, run = started()
    for name, text in changes.items():
        if text is None:
            (Path("project") / name).unlink()
        else:
            write(Path("project") / name, text)
    with pytest.raises(UsageError) as caught:
        spec.build()
    assert caught.value.code == "CN207" and what in caught.value.what
    assert net_spec.find(f"{run}/net.py:net").build().out_features == 4  # as the hint says


def test_other_files_of_the_folder_may_change() -> None:
    spec, _run = started()
    write(Path("project/plain/leaf.py"), "raise RuntimeError\n")
    assert spec.build().out_features == 4


@pytest.mark.slow
def test_a_run_with_neighbors_is_trained_and_opened(cli: CommandLine, blobs: Path) -> None:
    project(Path(), 10)
    write(Path("my_net.py"), "from torch import nn\nimport layers\nnet = layers.Net()\n")
    write(
        Path("layers.py"),
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.layers = nn.Linear(784, 10)\n    def forward(self, x):\n"
        "        from pack.inner.deep import WIDTH\n        return self.layers(x.flatten(1))[:, :WIDTH]\n",
    )
    code, out, err = cli("train", "my_net.py:net", "--data", blobs, "--limit", 64, "--set", "epochs=1", "--json")
    assert code == 0, err
    run = json.loads(out)["run"]
    assert {*folder.open_run(run).net_spec().neighbors} >= {"layers.py", "pack/inner/deep.py"}
    assert main(["evaluate", run]) == main(["export", run, "--format", "torch", "-o", "net.pt2"]) == 0
    write(Path("layers.py"), "")
    code, out, err = cli("evaluate", run)
    assert code == 2 and "layers.py has changed" in err
    assert main(["evaluate", run, "--net", f"{run}/net.py:net"]) == 0
