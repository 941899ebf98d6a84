"""The processes that share a run, for one of them: what they exchange besides tensors of the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch._C._distributed_c10d import Store

from classicnets.errors import UsageError
from classicnets.parallel.failure import Failures, end_now
from classicnets.parallel.place import Place
from classicnets.parallel.pulse import ENDED, Pulse
from classicnets.strict_json import dump, parse
from classicnets.text import _, command

_CONTROL_SECONDS = 0.5  # between two control points
_MOST_STEPS = 1000  # between two control points


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
    """This process among those that share a run; made by `meeting.join`.

    Attributes:
        rank, size, local_rank, local_size: as in `Place`.
        failures: what it does when it, or another process, fails.

    Args:
        place: of this process.
        store: of this attempt; the keys of earlier attempts are not in it.
        pulse_store: the same, with a connection of its own.
        timeout: seconds that an exchange waits for the others.
        job_store: of all attempts, if the launcher serves it.
    """

    def __init__(
        self, place: Place, store: Store, pulse_store: Store, timeout: float, job_store: Store | None = None
    ) -> None:
        self.place, self._store, self._job_store = place, store, job_store or store
        self.rank, self.size = place.rank, place.size
        self.local_rank, self.local_size = place.local_rank, place.local_size
        self._turns = 0
        self.pulse = Pulse(pulse_store, self.rank, self.size, end=end_now)
        self.failures = Failures(place, store, self.pulse, timeout, self._job_store)

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
        mine = torch.tensor(
            [float(self.failures.stop_requested), float(save_due), seconds_per_step], dtype=torch.float64
        )
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
            self.failures.wait_for([key])
        yield
        if leads:
            self._store.set(key, "done")

    @property
    def has_finished(self) -> bool:
        """Whether an earlier attempt has finished and printed the result."""
        return self._job_store.check(["finished"])

    def finish(self) -> None:
        """Record that the result is printed, for processes that are started again because one died after that."""
        self._job_store.set("finished", "yes")

    def request_stop(self) -> None:
        """Stop all processes at the next control point."""
        self.failures.stop_requested = True

    def close(self) -> None:
        """End the exchange after all have finished; rank 0 may still write while the others wait."""
        self.phase(_("waiting for the end"))
        self._store.set(f"done/{self.rank}", "done")
        self.failures.wait_for([f"done/{rank}" for rank in range(self.size)])
        self.pulse.set(state=ENDED)
        self.barrier()
        self.pulse.stop()
        distributed.destroy_process_group()


def _differences(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Where two dictionaries of plain values differ; of lists, which items only one of them has."""
    lines = []
    for key in [key for key in {**first, **other} if first.get(key) != other.get(key)][:5]:
        ours, theirs = first.get(key), other.get(key)
        if isinstance(ours, list) and isinstance(theirs, list):
            ours, theirs = ([item for item in a if item not in b] or a for a, b in ((ours, theirs), (theirs, ours)))
            ours, theirs = (command(*map(str, items)) for items in (ours, theirs))
        lines.append(_("{key}: {other} instead of {first}", key=key, other=theirs, first=ours))
    return lines
