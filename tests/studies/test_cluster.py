"""Runs on a Ray cluster: the same results as without one, a node that is lost, data that is sent, clusters unusable."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from classicnets import machine
from classicnets.datasets.catalog import DATASETS
from classicnets.errors import DataError, MachineError
from classicnets.events import Step, from_line, to_line
from classicnets.images import loading
from classicnets.report import run as reports
from classicnets.runs.folder import RunFolder
from classicnets.runs.lock import FolderLock
from classicnets.spec import Output, run_spec
from classicnets.studies import cluster, node, parcels
from classicnets.studies.processes import RunEnd
from classicnets.studies.start import start_seeds
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Preprocess
from support.idx import dataset_of, make_idx_folder
from support.images import make_image_folder

EPOCHS = 12
SECONDS = 300  # after which the program with the cluster is ended

NET = """
import time
from pathlib import Path
from torch import nn
import classicnets

class Halting(nn.Module):
    steps = 0
    def forward(self, x):
        if self.training and x.device.type != "meta":
            self.steps += 1
        while self.steps > 4 and Path({halt!r}).exists():  # within the second epoch
            time.sleep(0.01)
        if Path({slow!r}).exists():
            time.sleep(0.5)
        return x

def halting():
    return nn.Sequential(Halting(), classicnets.create("lenet_d2l", in_channels=3, num_classes=3))

untrained = halting
"""


def make_runs(net: str, numbers: list[int], data: Path, folder: Path, epochs: int) -> None:
    """Create run folders in `folder`, with names that no other run on this machine has."""
    options: dict[str, Any] = {"data": str(data), "threads": 1, "epochs": epochs, "batch_size": 8}
    made = start_seeds(plan(run_spec(net, **options)[0]), numbers, Output(runs=str(folder / "made")), print).path
    folder.joinpath("made").mkdir(exist_ok=True)
    target = folder / net.rpartition(":")[2]
    target.mkdir()
    for number in numbers:
        (made / f"seed-{number}").rename(target / f"{target.name}-{os.getpid()}-{number}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and with runs that are not trained: two in `halting`, one in `untrained`."""
    folder = tmp_path_factory.mktemp("cluster")
    data = make_image_folder(folder / "animals", per_class=8, size=28, test_per_class=2)
    (folder / "own.py").write_text(NET.format(halt=str(folder / "halt"), slow=str(folder / "slow")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSICNETS_CACHE", str(folder / "caches" / "driver"))
        make_runs(f"{folder / 'own.py'}:halting", [0, 1], data, folder, EPOCHS)
        make_runs(f"{folder / 'own.py'}:untrained", [5], data, folder, EPOCHS)
    return folder


@pytest.fixture(scope="module")
def here(made: Path) -> dict[str, Path]:
    """Copies of the runs, trained on this machine in this process."""
    runs = {}
    for run in (made / "halting").iterdir():
        runs[run.name] = made / "here" / run.name
        shutil.copytree(run, runs[run.name])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSICNETS_CACHE", str(made / "caches" / "driver"))
        for path in runs.values():
            session = Session.resume(path, print, trust=True)
            assert sum(1 for _ in session.events()) > 3
            session.finish(reports.write)
    return runs


@pytest.fixture(scope="module")
def trained(made: Path, here: dict[str, Path]) -> dict[str, Any]:
    """What happened when the runs were trained on a cluster of which a node was removed.

    The run that was on it has been stopped in its first step on the other node, and is resumed here.
    """
    (made / "halt").touch()
    program = Path(__file__).parents[1] / "support" / "ray_cluster.py"
    temporary = tempfile.mkdtemp(prefix="cn-", dir="/tmp")  # the names of its sockets must be short
    Path(temporary, "ray").mkdir()
    environment = {**os.environ, "CLASSICNETS_CACHE": str(made / "caches" / "driver"), "RAY_TMPDIR": temporary}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}  # as `connected` sets them
    command = [sys.executable, str(program), str(made), str(made / "animals")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            output, _nothing = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    print(output)
    assert process.returncode == 0, output
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    stopped = made / "halting" / result["stopped"]
    result["stopped facts"] = RunFolder(stopped).read()
    result["stopped files"] = {path.name for path in stopped.iterdir()}
    (made / "slow").unlink()
    session = Session.resume(stopped, print, trust=True)
    result["stopped epoch"] = session.state.epoch
    for _event in session.events():
        pass
    session.finish(reports.write)
    return result


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux")
def test_runs_on_a_cluster_equal_those_here_although_a_node_is_lost(
    made: Path, here: dict[str, Path], trained: dict[str, Any]
) -> None:
    assert trained["ends"] == [[name, ""] for name in here if name != trained["stopped"]]  # once, without an error
    assert trained["lost"] == 1 and trained["checkpoints"] == [True, True] and trained["ended"]
    for name, path in here.items():
        run, other = made / "halting" / name, RunFolder(path)
        weights, others = load_file(run / "last.safetensors"), load_file(other.last)
        assert weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)
        assert {p.name for p in run.iterdir()} >= {p.name for p in path.iterdir()}
        facts, expected = RunFolder(run).read(), other.read()
        for key in ("data", "spec", "threads", "batch_threads", "fingerprint"):
            assert facts[key] == expected[key]
        timed = {"seconds", "finished_at", "images_per_second", "peak_memory_bytes"}
        for key in expected["result"].keys() - timed:
            if "accuracy" in key or "loss" in key:
                assert facts["result"][key] == expected["result"][key], key


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux")
def test_data_is_sent_once_to_each_node_that_lacks_it(trained: dict[str, Any]) -> None:
    assert trained["cached"] == ["first", "second"] and trained["packed"] == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux")
def test_a_run_on_a_cluster_that_is_stopped_is_saved_and_nothing_is_left(trained: dict[str, Any]) -> None:
    assert "result" not in trained["stopped facts"]
    assert "last.safetensors" in trained["stopped files"] and ".lock" not in trained["stopped files"]
    assert 1 <= trained["stopped epoch"] < EPOCHS
    assert trained["left"] == []


class Ray(SimpleNamespace):
    """Stands for the module ray: its one node answers with `answers`, in turn; exceptions are raised."""

    class Error(Exception):
        pass

    class TaskError(Error):
        pass

    exceptions = SimpleNamespace(RayError=Error, RayTaskError=TaskError)

    def __init__(self, answers: dict[str, list[Any]], cpus: int = 2) -> None:
        self.answers, self.cpus, self.started, self.calls = answers, cpus, 0, list[str]()

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "NodeManagerHostname": "gamma", "Resources": {"CPU": self.cpus}}]

    def remote(self, actor: type) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self.actor))

    def actor(self) -> Any:
        self.started += 1
        methods = ("describe", "find", "start", "next", "stop")
        return SimpleNamespace(**{name: SimpleNamespace(remote=self.call(name)) for name in methods})

    def call(self, name: str) -> Any:
        def remote(*_arguments: object) -> tuple[str, int]:
            self.calls.append(name)
            return name, len(self.calls)

        return remote

    def wait(self, references: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: tuple[str, int]) -> Any:
        answers = self.answers[reference[0]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self, actor: Any, *, no_restart: bool) -> None:
        assert no_restart


def on_fake(ray: Ray, made: Path, patch: pytest.MonkeyPatch, threads: int = 1) -> tuple[list[RunEnd], list[str]]:
    """The ends of a run on a cluster that `ray` stands for, and the notes."""
    patch.setattr(machine, "require", lambda *_, **__: ray)
    run, notes = RunFolder(next((made / "untrained").iterdir())), list[str]()
    events = cluster.follow({"a": run}, "auto", threads, 300.0, notes.append)
    ends = [event for key, event in events if key == "a" and isinstance(event, RunEnd)]
    assert not (run.path / ".lock").exists()
    return ends, notes


def answers(*replies: Any, **changes: list[Any]) -> dict[str, list[Any]]:
    described = ("gamma", node.versions(), machine.processor())
    return {"describe": [described], "find": ["data"], "start": [None], "next": list(replies), **changes}


def test_a_run_that_is_lost_is_tried_three_times_more(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(answers(Ray.Error("the node is gone\nlong report")))
    ends, notes = on_fake(ray, made, monkeypatch)
    assert len(ends) == 1 and ray.started == 4 and len(notes) == 3
    assert "error[CN408]" in ends[0].error and "the node is gone" in ends[0].error and "report" not in ends[0].error


@pytest.mark.parametrize(
    "loss", [node.Reply(error="exit code -9: killed", was_killed=True), Ray.Error("gone")], ids=["process", "node"]
)
def test_a_run_that_is_lost_once_ends_once(loss: Any, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(answers(loss, node.Reply(), node.Reply(error="")))
    ends, notes = on_fake(ray, made, monkeypatch)
    assert ends == [RunEnd()] and ray.started == 2 and len(notes) == 1


def test_an_error_of_a_run_is_not_tried_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(answers(node.Reply(error="error[CN101]: the loss")))
    assert on_fake(ray, made, monkeypatch)[0] == [RunEnd("error[CN101]: the loss")] and ray.started == 1


def test_a_run_of_another_process_is_left_to_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_use(_lock: object) -> None:
        raise MachineError("CN211", "in use")

    monkeypatch.setattr(FolderLock, "acquire", in_use)
    ray = Ray(answers())
    assert "CN211" in on_fake(ray, made, monkeypatch)[0][0].error and "start" not in ray.calls


@pytest.mark.parametrize("name", ["classicnets", "torch", "python"])
def test_a_node_with_other_versions_is_not_used(name: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {**node.versions(), name: "0.0.1"}
    ray = Ray(answers(describe=[("gamma", versions, machine.processor())]))
    with pytest.raises(MachineError) as caught:
        on_fake(ray, made, monkeypatch)
    own = node.versions()[name]
    assert caught.value.code == "CN408" and caught.value.why == f"gamma has {name} 0.0.1, and this machine {own}"
    assert "start" not in ray.calls


def test_versions_of_a_node_are_those_of_this_machine_here() -> None:
    host, versions, processor = cluster._make_actor_class()().describe()
    assert host and versions == node.versions() and processor == machine.processor()


def test_a_node_with_another_processor_is_noted_once(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(answers(Ray.Error(), node.Reply(error=""), describe=[("gamma", node.versions(), "Z80")]))
    ends, notes = on_fake(ray, made, monkeypatch)
    assert ends == [RunEnd()] and sum("Z80" in note for note in notes) == 1


def test_a_run_that_fits_on_no_node_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineError, match="Ray") as caught:
        on_fake(Ray(answers(), cpus=2), made, monkeypatch, threads=3)
    assert caught.value.code == "CN408" and "gamma: 2 CPUs" in caught.value.why


def test_runs_that_fit_on_no_node_any_more_end_the_waiting(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(answers())

    def wait(references: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        ray.cpus = 0  # the only node with a core is lost
        return [], references

    monkeypatch.setattr(ray, "wait", wait)
    with pytest.raises(MachineError, match="Ray"):
        on_fake(ray, made, monkeypatch)


def test_a_run_is_stopped_and_its_last_files_are_written(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made / "untrained", tmp_path / "untrained")
    run = RunFolder(next((tmp_path / "untrained").iterdir()))
    step = to_line(Step(epoch=1, step=1, steps=3, images=8, seconds=0.1))
    saved = node.Reply(files={"history.jsonl": b"saved", "last.safetensors": b"state"})
    ray = Ray(answers(node.Reply(lines=[step, "no event"]), saved, node.Reply(error="exit code 130")))
    monkeypatch.setattr(machine, "require", lambda *_, **__: ray)
    events = cluster.follow({7: run}, "auto", 1, 300.0, print)
    assert next(events) == (7, from_line(step)) and "stop" not in ray.calls
    events.close()
    assert "stop" in ray.calls and ray.started == 1 and not (run.path / ".lock").exists()
    assert run.history.read_bytes() == b"saved" and run.last.read_bytes() == b"state"


def test_files_of_a_node_become_those_of_the_run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(made / "untrained", tmp_path / "untrained")
    path = next((tmp_path / "untrained").iterdir())
    facts = RunFolder(path).read()
    elsewhere = {**facts, "data": "/there", "spec": {**facts["spec"], "data": "/there"}, "started_at": "later"}
    files = {"run.json": json.dumps(elsewhere).encode(), "epochs/epoch-0001.safetensors": b"1", "history.jsonl": b"2"}
    ray = Ray(answers(node.Reply(files=files, error="")))
    on_fake(ray, tmp_path, monkeypatch)
    assert RunFolder(path).read() == {**facts, "started_at": "later", "checksum": RunFolder(path).read()["checksum"]}
    assert (path / "epochs" / "epoch-0001.safetensors").read_bytes() == b"1"


def test_nothing_at_an_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        assert "nothing answers" in refused(f"127.0.0.1:{port}")
        listening.listen()
        monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.1)
        assert "no cluster answers within 0.1 s" in refused(f"127.0.0.1:{port}")
    assert "HOST:PORT" in refused("nowhere")


def test_a_cluster_with_another_version_of_ray_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = (
        "Traceback\nRuntimeError: Version mismatch: The cluster was started with:\n    Ray: 2.0\n    Python: 3.11.9\n"
    )
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr=stderr))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    why = refused("gamma:6379")
    assert "Traceback" not in why and "Ray: 2.0" in why and "Python: 3.11.9" in why


def refused(address: str) -> str:
    with pytest.raises(MachineError) as caught:
        cluster._probe(address)
    assert caught.value.code == "CN408" and address in caught.value.where
    return caught.value.why


def test_without_a_cluster_one_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started, notes = list[tuple[str, int]](), list[str]()

    def init(address: str, *, num_cpus: int = 0, **_: object) -> None:
        if address == "auto":
            raise ConnectionError("no cluster")
        started.append((address, num_cpus))

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: started.append(("end", 0)))
    monkeypatch.setattr(machine, "require", lambda *_, **__: ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with cluster.connected("auto", notes.append):
        assert started == [("local", torch.get_num_threads())] and len(notes) == 1
    assert started[-1] == ("end", 0)


# --- data ------------------------------------------------------------------------------------------------------------


def make_csv(folder: Path) -> Path:
    """A CSV in a folder of its own, which lists images beside it."""
    images = make_image_folder(folder / "images", per_class=4)
    rows = [f"../images/{path.relative_to(images).as_posix()},{path.parent.name}" for path in images.rglob("*.*")]
    (folder / "lists").mkdir()
    (folder / "lists" / "all.csv").write_text("\n".join(["path,label", *sorted(rows)]))
    return folder / "lists" / "all.csv"


DATA = {
    "folder": lambda folder: make_image_folder(folder / "animals", per_class=4, test_per_class=2),
    "idx": lambda folder: make_idx_folder(folder / "blobs", train=20, test=10),
    "csv": make_csv,
}


@pytest.mark.parametrize("kind", DATA)
def test_data_is_unpacked_where_it_is_missing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = DATA[kind](tmp_path / "here")
    size = Preprocess(channels=1, image_size=28) if kind == "idx" else Preprocess(channels=3, image_size=28)
    before = loading.load(str(place), size, say=lambda _: None)
    parcel = parcels.describe(str(place))
    assert parcels.find(parcel) == str(place)  # this machine has it
    content = parcels.pack(parcel)
    (tmp_path / "here").rename(tmp_path / "gone")
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "node"))
    assert parcels.find(parcel) is None
    unpacked = parcels.unpack(parcel, content)
    assert parcels.find(parcel) == unpacked == parcels.unpack(parcel, content)
    after = loading.load(unpacked, size, say=lambda _: None)
    assert (after.name, after.fingerprint, after.left_out) == (before.name, before.fingerprint, before.left_out)
    assert [*(tmp_path / "node" / "ray").iterdir()] == [tmp_path / "node" / "ray" / parcel.digest]


def test_other_data_at_the_same_path_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = DATA["folder"](tmp_path)
    parcel = parcels.describe(str(place))
    image = next(place.rglob("*.png"))
    image.write_bytes(image.read_bytes()[:-1] + b"x")  # of the same size
    assert parcels.find(parcel) is None
    monkeypatch.setattr(parcels, "MAX_BYTES", 10)  # the contents of large data are not compared
    assert parcels.find(parcels.describe(str(place))) == str(place)


def test_data_that_cannot_be_sent_needs_shared_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_csv(tmp_path)
    table.write_text(table.read_text() + f"\n{tmp_path / 'images' / 'x.png'},cat")
    large = DATA["folder"](tmp_path)
    for place, reason in ((table, "absolute path"), (large, "at most 10 B")):
        with pytest.raises(DataError) as caught:
            parcels.pack(parcels.describe(str(place)))
        assert caught.value.code == "CN302" and reason in caught.value.why and "all nodes see" in caught.value.hints[0]
        monkeypatch.setattr(parcels, "MAX_BYTES", 10)


def test_a_published_data_set_is_sent_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_idx_folder(tmp_path / "files", train=20, test=10)
    monkeypatch.setitem(DATASETS, "toy", dataset_of(folder))
    shutil.copytree(folder, tmp_path / "cache" / "data" / "toy")
    parcel = parcels.describe("toy")
    assert parcels.find(parcel) == "toy"
    content = parcels.pack(parcel)
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "node"))
    assert parcels.find(parcel) is None
    assert parcels.unpack(parcel, content) == parcels.find(replace(parcel)) == "toy"
