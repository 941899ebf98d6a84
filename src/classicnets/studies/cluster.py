"""Trains runs as actors of a Ray cluster, and yields their events as `processes.follow` does.

Each run is one actor, a process that Ray starts on a node with enough free cores. Its class is sent by value, so that a
node with another version of classicnets can say so. The actor checks versions, gets the files of the run folder, and
trains in a temporary folder (`node.py`). This process asks each actor for what has happened, one question at a time,
and writes the files into the run folder. So a run is only ever changed by the answers of its present actor: one that
is lost has no question left, and whatever it does later is not heard.

If an actor is lost with its node, or its process is killed, the run continues elsewhere from the checkpoint that has
arrived here, up to three times.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any, Generic

import torch

from classicnets import machine, strict_json
from classicnets.errors import ClassicnetsError, MachineError
from classicnets.events import Event
from classicnets.files import remove_parts, write_whole
from classicnets.runs.folder import RunFolder
from classicnets.runs.lock import FolderLock
from classicnets.studies import node, parcels
from classicnets.studies.node import Order, Reply, state_first
from classicnets.studies.parcels import Parcel
from classicnets.studies.processes import K, RunEnd, event_of
from classicnets.text import _, command, plural

AUTO = "auto"
MAX_LOSSES = 3  # of one run, after each of which it is resumed

_CONNECT_SECONDS = 60.0  # for an answer of the cluster
_PORT_SECONDS = 10.0  # for an answer of its port
_POLL_SECONDS = 1.0  # an actor without news answers after this time
_IDLE_SECONDS = 30.0  # without any answer, whether the nodes can run anything is checked
# Ray waits for minutes, and cannot be interrupted, where nothing or another program answers
_PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR'); ray.shutdown()"

Say = Callable[[str], None]


@contextmanager
def connected(address: str, say: Say) -> Iterator[ModuleType]:
    """Connect to a Ray cluster for the block, and yield the module ray; a connection of the caller's own is used.

    Args:
        address: HOST:PORT; or "auto", for a cluster that runs on this machine or that RAY_ADDRESS names, else one that
            is started for the block, with as many CPUs as torch uses threads.
        say: Receives a line if a cluster is started.

    Raises:
        MachineError: CN403, Ray is not installed; CN408, no cluster answers, or it has other versions.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # it would print the logs of lost nodes to standard output
    ray = machine.require("ray", extra="ray")
    if ray.is_initialized():
        yield ray
        return
    options = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS", AUTO)
    if address != AUTO:
        _probe(address)
    try:
        _start(ray, address, options, say)
        yield ray
    finally:
        ray.shutdown()


def _start(ray: ModuleType, address: str, options: Mapping[str, Any], say: Say) -> None:
    try:
        ray.init(address, **options)
    except ConnectionError as error:
        if address != AUTO:
            raise _unusable(address, str(error)) from error
        cpus = torch.get_num_threads()
        ray.init("local", num_cpus=cpus, include_dashboard=False, **options)
        say(
            plural(
                "ray     no cluster is running, so one is started on this machine, with {n} CPU",
                "ray     no cluster is running, so one is started on this machine, with {n} CPUs",
                cpus,
            )
        )
    except (RuntimeError, ValueError) as error:
        raise _unusable(address, str(error)) from error


def _probe(address: str) -> None:
    """Raise MachineError CN408 unless a cluster of Ray answers in time that this process can use."""
    host, _colon, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        raise _unusable(address, _("the address is not HOST:PORT"))
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PORT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unusable(address, _("nothing answers: {reason}", reason=error)) from error
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE, address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CONNECT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unusable(address, _("no cluster answers within {n:g} s", n=_CONNECT_SECONDS)) from error
    if ended.returncode:
        lines = ended.stderr.rstrip().splitlines() or [_("exit code {code}", code=ended.returncode)]
        start = next((i for i, line in enumerate(lines) if "Version mismatch" in line), len(lines) - 1)
        raise _unusable(address, "\n".join(line.strip() for line in lines[start:]))


def _unusable(address: str, why: str) -> MachineError:
    return MachineError(
        "CN408",
        _("the Ray cluster cannot be used"),
        where=command("--ray", address),
        why=why,
        hint=(
            _("{command}   # on a node of the cluster, shows its nodes", command="ray status"),
            _("{option}   # uses this machine", option="--ray auto"),
        ),
    )


def follow(
    runs: Mapping[K, RunFolder], address: str, threads: int, save_seconds: float, say: Say
) -> Generator[tuple[K, Event | RunEnd], None, None]:
    """Train runs on a Ray cluster and yield their events with their keys. If it is closed, the runs save and stop.

    As many runs are trained at a time as the nodes have CPUs for. The results are bit for bit those of
    `processes.follow` on the same kind of processor.

    Args:
        runs: The run folders by key.
        address: As for `connected`.
        threads: Number of CPU threads, and of Ray's CPUs, of each run.
        save_seconds: Time between two checkpoints.
        say: Receives notes.

    Raises:
        MachineError: CN403, CN408; CN401, a file of a run cannot be written here.
        DataError: CN302, a node lacks the data, and it cannot be sent.
    """
    with connected(address, say) as ray:
        cluster = _Cluster[K](ray, address, threads, save_seconds, say)
        try:
            for key, run in runs.items():
                cluster.add(key, run)
            while cluster.active:
                yield from cluster.step()
        finally:
            cluster.stop()


@dataclass
class _Task(Generic[K]):
    """A run, its facts at the start, its present actor with the answer that Ray owes, and how often it has lost one."""

    key: K
    run: RunFolder
    facts: dict[str, Any]
    lock: FolderLock
    actor: Any = None
    answer: Any = None
    losses: int = 0
    stage: str = ""  # the method of the actor that is being called

    @property
    def gpus(self) -> int:
        """The number of GPUs that the run needs."""
        return int(self.facts["device"].split(":")[0] == "cuda")

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files that an actor has sent into the run folder.

        A checkpoint is written after what belongs to it, and a run.json with a result last of all.
        """
        state = [self.run.file.name, self.run.last.name]
        facts = strict_json.parse(files[self.run.file.name]) if self.run.file.name in files else {}
        if "result" in facts:
            state.reverse()
        for name in [*(files.keys() - state), *state]:
            path = self.run.path / name
            if path == self.run.file and facts:
                facts["data"] = self.facts["data"]  # on the node it may be elsewhere
                if "spec" in facts:
                    facts["spec"]["data"] = self.facts["spec"]["data"]
                self.run.write(facts)
            elif name in files:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, files[name])


class _Cluster(Generic[K]):
    """The runs on a cluster; `active` are those that have not ended, the one that was asked last at the end."""

    def __init__(self, ray: ModuleType, address: str, threads: int, save_seconds: float, say: Say) -> None:
        self.ray, self.address, self.threads, self.save_seconds, self.say = ray, address, threads, save_seconds, say
        self.active: list[_Task[K]] = []
        self.parcels: dict[str, Parcel] = {}
        self.archives: dict[str, Any] = {}  # by the place of the data, references of Ray
        self.own_versions = node.versions()
        self.own_processor = machine.processor()
        self.other_processors: set[str] = set()
        self.actor_class = ray.remote(_make_actor_class())

    def add(self, key: K, run: RunFolder) -> None:
        """Add a run. Raises MachineError CN408 if no node can train it."""
        task = _Task(key, run, run.read(), FolderLock(run.path))
        self.check(task)
        self.active.append(task)
        self.submit(task)

    def check(self, task: _Task[K]) -> None:
        """Raise MachineError CN408 if no node has the CPUs, or the GPU, of a run."""
        gpus = task.gpus
        hosts = [(row["NodeManagerHostname"], row["Resources"]) for row in self.ray.nodes() if row["Alive"]]
        if any(has.get("CPU", 0) >= self.threads and has.get("GPU", 0) >= gpus for _host, has in hosts):
            return
        rows = [
            _("{host}: {cpus:g} CPUs, {gpus:g} GPUs", host=host, cpus=has.get("CPU", 0), gpus=has.get("GPU", 0))
            for host, has in hosts
        ]
        needed = _("each run needs {cpus} CPUs and {gpus} GPUs on one node", cpus=self.threads, gpus=gpus)
        raise _unusable(self.address, "\n".join([needed, *rows]))

    def submit(self, task: _Task[K]) -> None:
        """Let Ray start an actor for a run, when a node has room."""
        options = {"num_cpus": self.threads, "num_gpus": task.gpus, "max_restarts": 0, "max_task_retries": 0}
        task.actor = self.actor_class.options(**options).remote()
        self.call(task, "describe")

    def call(self, task: _Task[K], stage: str, *arguments: object) -> None:
        """Ask the actor of a run for something; the answer arrives in `step`."""
        task.answer, task.stage = getattr(task.actor, stage).remote(*arguments), stage
        self.active.remove(task)
        self.active.append(task)  # Ray reports the first answers of a list

    def step(self) -> Iterator[tuple[K, Event | RunEnd]]:
        """Wait for an answer, act on it, and yield what it reports."""
        tasks = {task.answer: task for task in self.active}
        ready, _waiting = self.ray.wait([*tasks], num_returns=1, timeout=_IDLE_SECONDS)
        if not ready and all(task.stage == "describe" for task in self.active):
            for task in self.active:
                self.check(task)
        for task in map(tasks.__getitem__, ready):
            try:
                yield from self.act(task, self.ray.get(task.answer))
            except self.ray.exceptions.RayTaskError as error:  # an error on the node, which would happen again
                kind = "" if isinstance(error.cause, ClassicnetsError) else f"{type(error.cause).__name__}: "
                yield self.end(task, f"{kind}{error.cause}")
            except self.ray.exceptions.RayError as error:  # the node or its process is lost
                yield from self.lose(task, " ".join(str(error).split("\n")[0].split()))

    def act(self, task: _Task[K], value: Any) -> Iterator[tuple[K, Event | RunEnd]]:
        """Act on an answer, and yield what it reports."""
        if task.stage == "describe":
            self.check_versions(*value)
            try:
                task.lock.acquire()
                remove_parts(task.run.path)
            except ClassicnetsError as error:  # another process has the run
                yield self.end(task, str(error))
                return
            self.call(task, "find", self.parcel(task))
        elif task.stage == "find":
            parcel, archive = self.parcel(task), []
            if value is None:
                if parcel.place not in self.archives:
                    self.archives[parcel.place] = self.ray.put(parcels.pack(parcel))
                archive = [self.archives[parcel.place]]  # in a list: only a node that lacks the data fetches it
            files = {path.relative_to(task.run.path).as_posix(): path.read_bytes() for path in state_first(task.run)}
            order = Order(str(task.run.path), files, self.threads, self.save_seconds, parcel, value)
            self.call(task, "start", order, archive)
        elif task.stage == "start":
            self.call(task, "next", _POLL_SECONDS)
        else:
            reply: Reply = value
            task.write(reply.files)
            if reply.error is None:
                self.call(task, "next", _POLL_SECONDS)
            for line in reply.lines:
                event = event_of(line)
                if event is not None:
                    yield task.key, event
            if reply.was_killed:
                yield from self.lose(task, reply.error or "")
            elif reply.error is not None:
                yield self.end(task, reply.error)

    def check_versions(self, host: str, versions: Mapping[str, str], processor: str) -> None:
        """Raise MachineError CN408 if a node has other versions; say so if it has another processor."""
        if versions != self.own_versions:
            rows = [
                _(
                    "{host} has {name} {version}, and this machine {own}",
                    host=host,
                    name=name,
                    version=versions[name],
                    own=own,
                )
                for name, own in self.own_versions.items()
                if versions[name] != own
            ]
            raise _unusable(self.address, "\n".join(rows))
        if processor != self.own_processor and host not in self.other_processors:
            self.other_processors.add(host)
            self.say(
                _(
                    "note: {host} has another processor ({processor}) than this machine, so the last digits of its"
                    " results may differ",
                    host=host,
                    processor=processor,
                )
            )

    def parcel(self, task: _Task[K]) -> Parcel:
        """What identifies the data of a run."""
        place = str(task.facts["data"])
        if place not in self.parcels:
            self.parcels[place] = parcels.describe(place)
        return self.parcels[place]

    def lose(self, task: _Task[K], reason: str) -> Iterator[tuple[K, RunEnd]]:
        """Start a run again that has lost its actor, or yield its end if that has happened too often."""
        self.kill(task)
        task.losses += 1
        if task.losses <= MAX_LOSSES:
            self.say(
                _(
                    "note: {run} is lost and continues from its last checkpoint: {reason}",
                    run=task.run.path,
                    reason=reason,
                )
            )
            self.submit(task)
            return
        error = MachineError(
            "CN408",
            _("the run was lost {n} times with its node or its process", n=task.losses),
            where=str(task.run.path),
            why=reason,
            hint=_("{command}   # on a node of the cluster, shows its nodes", command="ray status"),
        )
        yield self.end(task, str(error))

    def end(self, task: _Task[K], error: str) -> tuple[K, RunEnd]:
        """Give everything back that a run has used, and return its end."""
        self.kill(task)
        task.lock.release()
        self.active.remove(task)
        return task.key, RunEnd(error)

    def kill(self, task: _Task[K]) -> None:
        """End the process of a run, if it is there."""
        with suppress(self.ray.exceptions.RayError, ValueError):
            self.ray.kill(task.actor, no_restart=True)

    def stop(self) -> None:
        """Let all runs save and stop, and write their files; a second Ctrl-C ends this at once."""
        try:
            for task in self.active:
                if task.stage in {"start", "next"}:
                    task.actor.stop.remote()
            while self.active:
                task = self.active[0]
                if task.stage in {"start", "next"}:
                    with suppress(self.ray.exceptions.RayError, ClassicnetsError):
                        reply = self.ray.get(task.answer)
                        if reply is not None:
                            task.write(reply.files)
                        if reply is None or reply.error is None:
                            self.call(task, "next", _POLL_SECONDS)
                            continue
                self.end(task, "")
        finally:
            for task in self.active:
                task.lock.release()


def _make_actor_class() -> type:
    """Return the class of the actors. As a local class it is sent by value, and works where classicnets is missing."""

    def own() -> ModuleType:
        """What runs on the node, as it is installed there."""
        from classicnets.studies import node

        return node

    def version(package: str) -> str:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(package).partition("+")[0]
        return "missing"

    class Actor:
        """A process on a node that trains one run."""

        def describe(self) -> tuple[str, dict[str, str], str]:
            """Return the name of the host, the versions that it has installed, and its processor, if that is known."""
            try:
                return platform.node(), own().versions(), own().machine.processor()
            except ImportError:  # a package is missing, or is too old
                versions = {name: version(name) for name in ("classicnets", "torch")}
                return platform.node(), {"python": platform.python_version(), **versions}, ""

        def find(self, parcel: Parcel) -> str | None:
            """Return where the node has the data of the run; None if it must be sent."""
            place: str | None = own().parcels.find(parcel)
            return place

        def start(self, order: Order, archive: list[Any]) -> None:
            """Start the run, after unpacking the data if an archive is sent."""
            import ray

            self.node = own().Node(order, *map(ray.get, archive))

        def next(self, seconds: float) -> Reply:
            """Return what has happened in the run."""
            reply: Reply = self.node.next(seconds)
            return reply

        def stop(self) -> None:
            """Let the run save and stop."""
            self.node.stop()

    return Actor
