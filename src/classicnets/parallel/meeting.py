"""How a process joins the others that share its run: they meet in a store, and are then connected with each other."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import torch
from torch import distributed
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from classicnets import text
from classicnets.errors import MachineError
from classicnets.parallel.failure import ENDED_BY, Quiet, first_line
from classicnets.parallel.place import Place, process_age, read_place
from classicnets.parallel.pulse import ERROR
from classicnets.parallel.world import World
from classicnets.strict_json import dump
from classicnets.text import _, command

_CONNECT_SECONDS = 30.0  # in which the store must answer; its process runs already
_MEETING_SECONDS = 30.0  # in which the next process must come; more if this machine is slow to start them
_POLL_SECONDS = 0.05


def join(timeout: float, place: Place | None = None) -> World:
    """Join the other processes that torchrun has started.

    Args:
        timeout: seconds that an exchange waits for the others.
        place: the place of this process (default: that of the environment).

    Raises:
        UsageError: CN213, the environment is not complete.
        MachineError: CN405, one has died; CN406, the others cannot be reached.
        Quiet: another process reports an error, or has reported one in an earlier attempt.
    """
    place = place or read_place()
    shared = _connect(place)
    if place.launcher_has_store and shared.check([ENDED_BY]):  # torchrun starts processes again after every error
        raise Quiet(int(bytes(shared.get(ENDED_BY)).decode()))
    prefix = meet(shared, place)
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
        raise world.failures.settle_joining(error, _no_connection(place, first_line(error))) from error
    except KeyboardInterrupt as error:
        raise world.failures.settle(error) from error
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
        raise _no_connection(place, first_line(error)) from error


def meet(store: Store, place: Place, patience: float | None = None) -> str:
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
