"""The processes that share a run: how one joins the others, what they exchange besides tensors, and how they end.

One of them may fail while the others wait for it. Then exactly one of them reports the error, and all of them end with
its exit code: the first one that claims the error in the store publishes and reports it, the others end quietly.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, distributed
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from classicnets import text
from classicnets.errors import ClassicnetsError, MachineError, UsageError
from classicnets.parallel.place import Place, process_age, read_place
from classicnets.parallel.pulse import ENDED, ERROR, FAILED, INTERVAL, RESTART, SILENCE, WORKING, Beat, Pulse
from classicnets.strict_json import dump, parse
from classicnets.text import _, command, note

_CONNECT_SECONDS = 30.0  # in which the store must answer; its process runs already
_MEETING_SECONDS = 30.0  # in which the next process must come; more if this machine is slow to start them
_POLL_SECONDS = 0.05
_FIRST_SECONDS = 0.5  # that rank 0 has to report an error that all raise
_CONTROL_SECONDS = 0.5  # between two control points
_MOST_STEPS = 1000  # between two control points


class Quiet(BaseException):
    """Another process reports the error; this one ends without a word.

    Args:
        exit_code: with which it ends.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Lost(MachineError):
    """Another process is gone or hangs; with `restarts`, the processes start again."""

    restarts = False


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What all processes decide together at a control point.

    Attributes:
        stop: whether one of them is to stop.
        save: whether rank 0 wants to save.
        steps: number of steps until the next control point.
        slowest: the rank that computes longest for a step.
        slowest_seconds: its seconds for a step.
        mean_seconds: the mean of all.
    """

    stop: bool
    save: bool
    steps: int
    slowest: int
    slowest_seconds: float
    mean_seconds: float


class World:
    """This process among those that share a run; made by `join`.

    Attributes:
        rank, size, local_rank, local_size, restart_count, run_id: as in `Place`.
        timeout: seconds that an exchange waits for the others.
        store: of this attempt; the keys of earlier attempts are not in it.
        folder: the run folder, once it is known; errors name it.

    Args:
        place: of this process.
        store: of this attempt.
        pulse_store: the same, with a connection of its own.
        timeout: seconds that an exchange waits for the others.
        job_store: of all attempts, if the launcher serves it.
    """

    def __init__(
        self, place: Place, store: Store, pulse_store: Store, timeout: float, job_store: Store | None = None
    ) -> None:
        self.place, self.store, self.timeout = place, store, timeout
        self._job_store = job_store or store
        self.rank, self.size = place.rank, place.size
        self.local_rank, self.local_size = place.local_rank, place.local_size
        self.restart_count, self.run_id = place.restart_count, place.run_id
        self.stop_requested = False
        self.folder: str | Path = "RUN"
        self._turns = 0
        self.pulse = Pulse(pulse_store, self.rank, self.size, end=end_now)

    # what the processes exchange

    def phase(self, name: str, step: int = 0) -> None:
        """Record what this process does now, for the message of the others if it is gone or hangs."""
        self.pulse.set(name, step)

    def broadcast(self, value: Any, source: int = 0) -> Any:
        """Return the plain value (as in JSON) that the process `source` passes."""
        return parse(self.broadcast_bytes(dump(value).encode() if self.rank == source else None, source))

    def broadcast_bytes(self, content: bytes | None, source: int = 0) -> bytes:
        """Return the bytes that the process `source` passes."""
        size = torch.tensor([len(content or b"")])
        distributed.broadcast(size, source)
        data = torch.empty(int(size), dtype=torch.uint8)
        if content:
            data.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        if len(data):
            distributed.broadcast(data, source)
        return data.numpy().tobytes()

    def gather(self, value: Any) -> list[Any]:
        """Return the plain values (as in JSON) of all processes, by rank."""
        content = torch.frombuffer(bytearray(dump(value).encode()), dtype=torch.uint8)
        sizes = self._all_gather(torch.tensor([len(content)])).flatten().tolist()
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(content)] = content
        rows = self._all_gather(padded)
        return [parse(row[:size].numpy().tobytes()) for row, size in zip(rows, sizes, strict=True)]

    def _all_gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, of equal shape, as rows."""
        rows = [torch.empty_like(tensor) for _rank in range(self.size)]
        distributed.all_gather(rows, tensor)
        return torch.stack(rows)

    def barrier(self) -> None:
        """Wait until all processes are here, at most `timeout` seconds."""
        distributed.all_reduce(torch.zeros(1))  # on the CPU; distributed.barrier() would use a GPU if there is one

    def agree(self, *, save_due: bool = False, seconds_per_step: float = 0.0) -> Agreement:
        """Decide together whether to stop or to save, and when to decide again.

        Args:
            save_due: whether this process wants to save; that of rank 0 counts.
            seconds_per_step: that this process computes, without waiting for the others.
        """
        mine = torch.tensor([float(self.stop_requested), float(save_due), seconds_per_step], dtype=torch.float64)
        stop, save, seconds = self._all_gather(mine).unbind(dim=1)
        slowest = int(seconds.argmax())
        most = float(seconds[slowest])
        return Agreement(
            stop=bool(stop.any()),
            save=bool(save[0]),
            steps=max(1, min(_MOST_STEPS, int(_CONTROL_SECONDS / most) if most else 1)),
            slowest=slowest,
            slowest_seconds=most,
            mean_seconds=float(seconds.mean()),
        )

    def check_equal(self, name: str, value: Any, hint: str = "") -> None:
        """Check that all processes have the same plain value.

        Args:
            name: what it is, for the message.
            value: a plain value; the message names the first keys of a dictionary that differ.
            hint: what to do if they differ.

        Raises:
            UsageError: CN214, on all processes, for the first one that differs.
        """
        values = self.gather(value)
        hosts = self.gather(self.pulse.beat.host)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise UsageError(
                    "CN214",
                    _("the processes of the run differ: {name}", name=name),
                    where=_(
                        "rank {rank} on {host}, compared with rank 0 on {first}",
                        rank=rank,
                        host=hosts[rank],
                        first=hosts[0],
                    ),
                    why="\n".join(_differences(values[0], other)),
                    hint=hint or _("start every process with the same command, program and data"),
                )

    @contextmanager
    def alone_first(self, *, on_each_host: bool = False) -> Iterator[None]:
        """Run the block on rank 0 first, then on all others, which wait as long as that process lives.

        The wait is no exchange, so it has no time limit: rank 0 may read images for an hour.

        Args:
            on_each_host: the first process of each host runs the block first.
        """
        self._turns += 1
        leads = self.local_rank == 0 if on_each_host else self.rank == 0
        key = f"turn/{self._turns}/{self.place.host_index if on_each_host else 0}"
        if not leads:
            self.wait_for([key])
        yield
        if leads:
            self.store.set(key, "done")

    def wait_for(self, keys: list[str]) -> None:
        """Wait until keys are in the store, as long as all processes live.

        Raises:
            Quiet: another process has failed.
            Lost: CN405, a process is gone.
        """
        while not self.store.check(keys):
            if self.pulse.error():
                self._end_quietly()
            for rank, beat in self.pulse.others.items():
                silent = self.pulse.silence(rank) > max(self.timeout, SILENCE)
                if rank != self.rank and beat.state != ENDED and (beat.is_dead() or silent):
                    raise self._lost(rank, beat)
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """While open, Ctrl-C and SIGTERM stop the run only if all processes live.

        The launcher ends the processes that remain in the same way when another one has died.

        Raises:
            KeyboardInterrupt: the run is stopped.
            Lost: CN405, a process is gone.
            Quiet: another process reports an error.
        """
        try:
            yield
        except KeyboardInterrupt as error:
            try:
                if not self.stop_requested and self._anyone_dead():
                    raise self._cause(error) from error
            except RuntimeError as unreachable:
                raise self._without_store(unreachable) from error
            raise

    # how they end

    @property
    def has_finished(self) -> bool:
        """Whether an earlier attempt has finished and printed the result."""
        return self._job_store.check(["finished"])

    def finish(self) -> None:
        """Record that the result is printed, for processes that are started again because one died after that."""
        self._job_store.set("finished", "yes")

    def request_stop(self) -> None:
        """Stop all processes at the next control point."""
        self.stop_requested = True

    def close(self) -> None:
        """End the exchange after all have finished; rank 0 may still write while the others wait."""
        self.phase(_("waiting for the end"))
        self.store.set(f"done/{self.rank}", "done")
        self.wait_for([f"done/{rank}" for rank in range(self.size)])
        self.pulse.set(state=ENDED)
        self.barrier()
        self.pulse.stop()
        distributed.destroy_process_group()

    def settle(self, error: BaseException) -> BaseException:
        """Return the exception with which this process ends after `error`: what it has to report, or `Quiet`.

        An error of the exchange is the consequence of what another process does: its error is waited for, or the
        process is named that is gone or hangs.
        """
        if isinstance(error, Quiet):
            return error
        try:
            self.pulse.set(state=FAILED)
            if isinstance(error, KeyboardInterrupt) and not self._anyone_dead():
                return self._claim(error)
            if isinstance(error, Lost | KeyboardInterrupt) or _is_exchange(error):
                error = self._cause(error)
            return self._claim(error)
        except RuntimeError as unreachable:  # the store is gone, and the process that served it
            return self._without_store(unreachable)

    def _claim(self, error: BaseException) -> BaseException:
        """`error` if this process is the first to report one, after publishing it; else Quiet.

        If all raise it, such as for a loss that is not finite, rank 0 reports it, because it has the run folder.
        """
        ends_at = time.monotonic() + (_FIRST_SECONDS if self.rank else 0)
        while time.monotonic() < ends_at and not self.pulse.error():
            time.sleep(_POLL_SECONDS)
        if self.store.add("claim", 1) > 1:
            return Quiet(self._published_exit_code())
        if self.rank and isinstance(error, ClassicnetsError) and not isinstance(error, Lost):
            here = _("rank {rank} on {host}", rank=self.rank, host=self.pulse.beat.host)
            error.where = _("{where} ({rank})", where=error.where, rank=here) if error.where else here
        code = exit_code(error)
        restarts = isinstance(error, Lost) and self.place.restarts_left > 0
        self.store.set(ERROR, dump({"exit_code": code, "restarts": restarts}))
        if isinstance(error, Lost) and restarts:
            error.restarts = True
        return error

    def _published_exit_code(self) -> int:
        """The exit code of the error of the process that has claimed it; it publishes it at once."""
        for _attempt in range(100):
            if text := self.pulse.error():
                break
            time.sleep(_POLL_SECONDS)
        else:
            return 4
        published = parse(text)
        return RESTART if published["restarts"] else int(published["exit_code"])

    def _end_quietly(self) -> NoReturn:
        raise Quiet(self._published_exit_code())

    def _anyone_dead(self) -> bool:
        """Whether another process has failed, or died without a word."""
        for _attempt in range(4):
            self.pulse.look()
            if self.pulse.error() or self.pulse.dead():
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def settle_joining(self, error: BaseException, no_connection: MachineError) -> BaseException:
        """As `settle`, if the processes could not be connected; `no_connection` says so if all of them live."""
        try:
            dead = self._anyone_dead()
        except RuntimeError:
            dead = True
        return self.settle(Lost("CN405", _first_line(error)) if dead else no_connection)

    def _cause(self, error: BaseException) -> BaseException:
        """What made the exchange fail: Quiet, or Lost for the process that is gone or hangs."""
        started = time.monotonic()
        while True:
            if self.pulse.error():
                return Quiet(self._published_exit_code())
            self.pulse.look()
            suspects = {r: b for r, b in self.pulse.others.items() if b.state == WORKING and r != self.rank}
            for rank, beat in suspects.items():
                if beat.is_dead():
                    return self._lost(rank, beat)
            if not suspects or time.monotonic() - started > SILENCE:
                break
            time.sleep(_POLL_SECONDS)
        if isinstance(error, Lost):
            return error
        if not suspects:
            return self._disconnected(error)
        silent = {rank: beat for rank, beat in suspects.items() if self.pulse.silence(rank) > SILENCE - INTERVAL}
        rank, beat = min((silent or suspects).items(), key=lambda item: (item[1].step, item[0]))
        lost = self._lost(rank, beat, hangs="timed out" in str(error).lower() or rank not in silent)
        beat.kill()
        return lost

    def _lost(self, rank: int, beat: Beat, *, hangs: bool = False) -> Lost:
        fields = {"rank": rank, "size": self.size, "host": beat.host, "pid": beat.pid, "doing": beat.doing()}
        what = _("process {rank} of {size} is gone", **fields)
        why = _("it ended without an error, as a process that is killed; the system kills one if memory runs out")
        if hangs:
            what = _("process {rank} of {size} does not respond", **fields)
            why = _("the others have waited for it for {seconds:g} s (--process-timeout)", seconds=self.timeout)
        where = _("rank {rank} on {host}, process {pid}; last seen: {doing}", **fields)
        return Lost("CN405", what, where=where, why=why, hint=self._resume_hint())

    def _disconnected(self, error: BaseException) -> Lost:
        return Lost(
            "CN405",
            _("the processes have lost their connection"),
            where=_("rank {rank} on {host}", rank=self.rank, host=self.pulse.beat.host),
            why=_first_line(error),
            hint=self._resume_hint(),
        )

    def _without_store(self, error: BaseException) -> BaseException:
        """The end of a process that cannot reach the store, whose process is gone. One of those that remain reports it.

        Without the store, they cannot agree who that is: it is rank 1, or the first process of the second host.
        """
        place = self.place
        if place.launcher_has_store and place.local_size < place.size:
            if not (place.host_index == 1 and place.local_rank == 0):
                return Quiet(4)
            return Lost(
                "CN405",
                _("the first machine of the run is lost"),
                where=_("{host}, port {port}", host=place.master[0], port=place.master[1]),
                why=_("its store does not answer: {why}", why=_first_line(error)),
                hint=(
                    _("wait: torchrun starts again, unless that machine is the one of its --rdzv-endpoint"),
                    self._resume_hint(),
                ),
            )
        restarts = place.restarts_left > 0
        if self.rank != 1:
            return Quiet(RESTART if restarts else 4)
        lost = self._disconnected(error)
        if beat := self.pulse.others.get(0):
            lost = self._lost(0, beat)
        lost.restarts = restarts
        return lost

    def _resume_hint(self) -> str:
        return _(
            "{command}   # goes on from the last checkpoint",
            command=command("classicnets", "train", "--resume", self.folder),
        )


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command for an exception."""
    if isinstance(error, Quiet | ClassicnetsError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def end_now(code: int) -> NoReturn:
    """End this process without the destructors of torch, which may wait for each other."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def join(timeout: float, place: Place | None = None) -> World:
    """Join the other processes that torchrun has started.

    Args:
        timeout: seconds that an exchange waits for the others.
        place: the place of this process (default: that of the environment).

    Raises:
        UsageError: CN213, the environment is not complete.
        MachineError: CN405, one has died; CN406, the others cannot be reached.
        Quiet: another process reports an error.
    """
    place = place or read_place()
    shared = _connect(place)
    prefix = _meet(shared, place)
    store = PrefixStore(prefix, shared)
    job_store = shared if place.launcher_has_store else None
    world = World(place, store, PrefixStore(prefix, _connect(place, serve=False)), timeout, job_store)
    backend = "gloo"
    if torch.cuda.is_available() and distributed.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    try:
        distributed.init_process_group(
            backend, store=store, rank=place.rank, world_size=place.size, timeout=timedelta(seconds=timeout)
        )
    except RuntimeError as error:
        raise world.settle_joining(error, _no_connection(place, _first_line(error))) from error
    except KeyboardInterrupt as error:
        raise world.settle(error) from error
    world.pulse.is_joining = False
    return world


def _connect(place: Place, *, serve: bool = True) -> TCPStore:
    """A connection to the store. Raises MachineError CN406."""
    host, port = place.master
    try:
        return TCPStore(
            host,
            port,
            is_master=serve and place.rank == 0 and not place.launcher_has_store,
            timeout=timedelta(seconds=_CONNECT_SECONDS),
            wait_for_workers=False,
            multi_tenant=True,
        )
    except (RuntimeError, ValueError) as error:
        raise _no_connection(place, _first_line(error)) from error


def _meet(store: Store, place: Place, patience: float | None = None) -> str:
    """Return a prefix of keys that all processes of this attempt agree on.

    The store may be that of the launcher, which still has the keys of earlier attempts. Each process calls itself by a
    new name, and rank 0 answers to that name with the prefix.

    Args:
        store: in which they meet.
        place: of this process.
        patience: seconds in which the next one must come. By default 30, or twice what this process needed to start.

    Raises:
        MachineError: CN406, one does not come.
        Quiet: the same, and another process reports it.
    """
    patience = patience or max(_MEETING_SECONDS, 2 * process_age())
    name, failures = uuid.uuid4().hex, store.add("unmet", 0)
    store.set(f"hello/{place.rank}", name)
    prefix = name if place.rank == 0 else ""
    others = [*range(1, place.size)]
    ends_at = time.monotonic() + patience
    while time.monotonic() < ends_at:
        if place.rank:
            if store.check([f"welcome/{name}"]):
                prefix = bytes(store.get(f"welcome/{name}")).decode()
                store.set(f"{prefix}/here/{place.rank}", "here")
                return prefix
        else:
            missing = [rank for rank in others if not store.check([f"{prefix}/here/{rank}"])]
            if not missing:
                return prefix
            if len(missing) < len(others):
                ends_at = time.monotonic() + patience
            others = missing
            for rank in others:
                if store.check([f"hello/{rank}"]):
                    store.set(f"welcome/{bytes(store.get(f'hello/{rank}')).decode()}", prefix)
        time.sleep(_POLL_SECONDS)
    if place.rank == 0:  # those who have come wait for the others, too
        store.set(f"{prefix}/{ERROR}", dump({"exit_code": 4, "restarts": False}))
    if store.add("unmet", 1) > failures + 1:
        raise Quiet(4)
    missing = others if place.rank == 0 else [0]
    why = _("no answer from rank {ranks} in {seconds:.0f} s", ranks=text.join([*map(str, missing)]), seconds=patience)
    raise _no_connection(place, why, _("start again; a process that waits for a disk or a device may start too late"))


def _no_connection(place: Place, why: str, hint: str = "") -> MachineError:
    host, port = place.master
    hints = [
        hint
        or _("check that the port {port} of {host} is free, and that a firewall lets it pass", port=port, host=host)
    ]
    if place.local_size < place.size:
        variable = command("export", "GLOO_SOCKET_IFNAME=INTERFACE")
        hints.append(_("{command}   # the network interface that connects the machines", command=variable))
    return MachineError(
        "CN406",
        _("the processes of the run cannot be connected"),
        where=_(
            "rank {rank} of {size}, store at {host}, port {port}",
            rank=place.rank,
            size=place.size,
            host=host,
            port=port,
        ),
        why=why,
        hint=tuple(hints),
    )


def _is_exchange(error: BaseException) -> bool:
    """Whether an exception says that an exchange with the other processes failed."""
    if isinstance(error, distributed.DistError):
        return True
    text = str(error).lower()
    words = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe", "processgroup")
    return isinstance(error, RuntimeError) and any(word in text for word in words)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _differences(first: Any, other: Any) -> list[str]:
    """Where two plain values differ."""
    if isinstance(first, dict) and isinstance(other, dict):
        keys = [key for key in {**first, **other} if first.get(key) != other.get(key)]
        return [
            _("{key} is {other}, and {first} on rank 0", key=key, other=other.get(key), first=first.get(key))
            for key in keys[:5]
        ]
    return [_("{other} instead of {first}", other=other, first=first)]


def say_restart(error: Lost, place: Place) -> None:
    """Print a note that the processes start again."""
    note(
        _(
            "{what} ({where}); the run goes on from its last checkpoint, restart {n} of {most}",
            what=error.what,
            where=error.where,
            n=place.restart_count + 1,
            most=place.max_restarts,
        )
    )
