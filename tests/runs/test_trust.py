"""Code of a run folder or a torch program that did not run on this machine runs only with --trust."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import marshal
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets import trust
from classicnets.errors import UsageError
from classicnets.evaluation import exported
from classicnets.runs import folder, net_spec, user_file
from classicnets.runs.folder import RunFolder
from classicnets.spec import run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from support.command_line import CommandLine
from support.images import make_image_folder

NET = """
from pathlib import Path
from torch import nn
Path("ran").touch()
net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a finished and a stopped run of one's own network, and its torch program."""
    root = tmp_path_factory.mktemp("own")
    images = make_image_folder(root / "images", per_class=6, test_per_class=2, size=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "my_net.py").write_text(NET)
        options: dict[str, Any] = {"data": str(images), "epochs": 1, "quiet": True, "device": "cpu"}
        shutil.move(cn.train("my_net.py:net", **options).path, root / "run")
        del options["quiet"]
        stopped = Session.start(plan(*run_spec("my_net.py:net", **options)), lambda _: None)
        shutil.move(stopped.folder.path, root / "stopped")
        cn.load(root / "run").export(root / "program.pt2", format="torch")  # type: ignore[attr-defined]
    return root


@pytest.fixture
def elsewhere(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder on the machine of somebody else, who has not run this code."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    return own


COMMANDS = ["predict RUN IMAGE", "evaluate RUN", "export RUN -o a.onnx", "show RUN", "show RUN --why"]
COMMANDS += ["show lenet_d2l RUN", "train RUN --dry-run --data IMAGES", "train --resume STOPPED"]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_run_no_code_from_elsewhere(line: str, elsewhere: Path, cli: CommandLine, tmp_path: Path) -> None:
    names = {"RUN": elsewhere / "run", "STOPPED": elsewhere / "stopped", "IMAGES": elsewhere / "images"}
    names["IMAGE"] = next((elsewhere / "images").rglob("*.png"))
    code, out, err = cli(*(names.get(word, word) for word in line.split()))
    assert (code, out) == (2, "") and "error[CN212]" in err and "--trust" in err and "exported file" in err
    assert not (tmp_path / "ran").exists() and not (elsewhere / "ran").samefile(tmp_path)


def test_trust_is_asked_for_once(elsewhere: Path, cli: CommandLine, tmp_path: Path) -> None:
    assert cli("evaluate", elsewhere / "run", "--trust")[0] == 0
    assert (tmp_path / "ran").exists()
    assert cli("evaluate", elsewhere / "run")[0] == 0
    assert cli("show", elsewhere / "stopped")[0] == 0  # of the same code


def test_runs_made_here_are_known_wherever_they_lie(own: Path, tmp_path: Path, cli: CommandLine) -> None:
    shutil.copytree(own / "run", tmp_path / "copy")
    assert cli("evaluate", tmp_path / "copy")[0] == 0


def test_other_code_in_a_copy_of_a_run_is_not_known(own: Path, tmp_path: Path, cli: CommandLine) -> None:
    """Whether run.json names the digest of the other code or not."""
    shutil.copytree(own / "run", tmp_path / "copy")
    (tmp_path / "copy" / "net.py").write_text(NET + "# other\n")
    spec = net_spec.find(f"{tmp_path}/copy/net.py:net")
    run = folder.RunFolder(tmp_path / "copy")
    run.write({**run.read(), "net": {**run.read()["net"], "path": spec.path, "sha256": spec.sha256}})
    for argument in ("evaluate", "show"):
        code, _, err = cli(argument, tmp_path / "copy")
        assert code in {2, 3} and ("CN212" in err or "CN306" in err)
    with pytest.raises(UsageError, match="contains Python code"):
        run.net_spec()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "open_run",
    [
        lambda path, **options: cn.load(path, **options),
        lambda path, **options: cn.Run(path, **options),
        lambda path, **options: cn.train(str(path), data=str(path.parent / "images"), epochs=1, quiet=True, **options),
    ],
)
def test_in_python(open_run: Callable[..., Any], elsewhere: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_run(elsewhere / "run")
    assert caught.value.code == "CN212" and not (tmp_path / "ran").exists()
    assert open_run(elsewhere / "run", trust=True).classes


def test_a_named_file_needs_no_trust(elsewhere: Path, cli: CommandLine) -> None:
    """Who passes a Python file means to run it; so does who passes a module."""
    assert cli("evaluate", elsewhere / "run", "--net", elsewhere / "my_net.py:net")[0] == 0


# --- files beside the network's file that the run was not started with

LATER = """
import sys
from pathlib import Path
from torch import nn
sys.path.append(str(Path(__file__).parent / "lib"))
class Net(nn.Module):
    def forward(self, x):
        try:
            import extra
        except ImportError:
            pass
        return x
def net():
    import known
    IMPORT
    return Net()
"""
TOUCH = "from pathlib import Path\nPath('ran').touch()\n"
COMPILED = importlib.machinery.EXTENSION_SUFFIXES[0]


def bytecode(text: str) -> bytes:
    """The file extra.pyc of this source."""
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(compile(text, "extra.py", "exec"))


NEIGHBORS: dict[str, bytes] = {
    "extra.py": TOUCH.encode(),
    "extra/__init__.py": TOUCH.encode(),
    "extra.pyc": bytecode(TOUCH),
    f"extra{COMPILED}": b"is opened",
    "lib/extra.py": TOUCH.encode(),
}


@pytest.fixture
def later(tmp_path: Path) -> Callable[[bool], RunFolder]:
    """Makes a run whose network tries to import `extra`, which is not there; at once, or only when it is called."""

    def make(at_once: bool) -> RunFolder:
        (tmp_path / "known.py").write_text("")
        imports = "try:\n        import extra\n    except ImportError:\n        pass" if at_once else ""
        (tmp_path / "later.py").write_text(LATER.replace("IMPORT", imports))
        spec = net_spec.find(f"{tmp_path}/later.py:net")
        spec.build()
        spec = spec.with_neighbors()
        assert [*spec.neighbors] == ["known.py"]
        folder.fill(tmp_path / "run", spec, {"net": spec.to_dict()})
        return RunFolder(tmp_path / "run")

    return make


def built(run: RunFolder, monkeypatch: pytest.MonkeyPatch, *, trust: bool = False) -> nn.Module:
    """The network of a run, called once, as in another process."""
    monkeypatch.setattr(user_file, "_permitted", set())
    monkeypatch.setattr(RunFolder, "read", lambda self: json.loads(self.file.read_text()))
    net = run.net_spec(trust=trust).build()
    net(torch.zeros(1))
    return net


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("name", [*NEIGHBORS])
def test_a_file_that_is_put_beside_trusted_code_needs_trust(
    name: str, at_once: bool, later: Callable[[bool], RunFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = later(at_once)
    built(run, monkeypatch)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(NEIGHBORS[name])
    with pytest.raises(UsageError) as caught:
        built(run, monkeypatch)
    error = caught.value
    assert error.code == "CN212" and "extra" in error.what and str(tmp_path) in error.where
    assert error.hints[0].startswith("--trust") and not (tmp_path / "ran").exists()
    if name.endswith(COMPILED):
        return  # it is no library
    built(run, monkeypatch, trust=True)
    assert (tmp_path / "ran").exists()
    built(run, monkeypatch)  # asked once
    (tmp_path / name).write_bytes(bytecode("x = 1") if name.endswith("pyc") else b"x = 1\n")
    with pytest.raises(UsageError, match="extra"):
        built(run, monkeypatch)


def test_torch_programs_are_code(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.export.load unpickles and evaluates what a .pt2 file says."""
    assert exported.read_facts(own / "program.pt2")["classes"]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(UsageError) as caught:
        exported.read_facts(own / "program.pt2")
    assert caught.value.code == "CN212"
    assert exported.read_facts(own / "program.pt2", trusted=True) == exported.read_facts(own / "program.pt2")


def test_a_home_that_cannot_be_written_breaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    trust.add("0" * 64)
    with pytest.raises(UsageError):
        trust.check("0" * 64, trust=False, what="x", where="y")
    trust.check("0" * 64, trust=True, what="x", where="y")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    trust.add("0" * 64)


def test_the_list_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    trust.add("1" * 64)
    assert trust.folder().stat().st_mode & 0o077 == 0
    assert [path.name for path in trust.folder().iterdir()] == ["1" * 64]


def test_run_json_cannot_choose_other_networks_or_preprocessing(own: Path, tmp_path: Path, cli: CommandLine) -> None:
    """The weights have a copy under their checksum; classes may be renamed on purpose, with --trust."""
    shutil.copytree(own / "run", tmp_path / "copy")
    file = tmp_path / "copy" / "run.json"
    facts = json.loads(file.read_text())
    for key, value in {"preprocess": {**facts["preprocess"], "fit": "crop"}, "classes": ["a", "b", "c"]}.items():
        file.write_text(json.dumps({**facts, key: value}))
        code, _, err = cli("evaluate", tmp_path / "copy")
        assert code == 3 and "error[CN306]" in err and f"contradicts the weights of the run: {key}" in err
    code, out, err = cli("predict", tmp_path / "copy", next((own / "images").rglob("*.png")), "--trust", "--json")
    assert code == 0 and {*json.loads(out)["predictions"][0]["classes"]} == {"a", "b", "c"}
    file.write_text(json.dumps({**facts, "command": "other"}))
    code, _, err = cli("evaluate", tmp_path / "copy")
    assert code == 0 and f"note: {file} was changed since classicnets wrote it" in err
