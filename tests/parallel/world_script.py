"""What each of several processes runs for test_world.py: a few steps, in which one of them fails in some way."""

from __future__ import annotations

import os
import signal
import sys
import time

import torch
from torch import distributed

from classicnets import api
from classicnets.errors import CheckFailed, ClassicnetsError
from classicnets.report import output


def main(fault: str, timeout: float) -> int:
    """Exchange a few values; rank 1, or all for "all", shows the fault in step 3."""
    with api.parallel.joined(timeout) as world:
        assert world.gather({"rank": world.rank}) == [{"rank": rank} for rank in range(world.size)]
        assert world.broadcast_bytes(b"\0\xff" if world.rank == 1 else None, source=1) == b"\0\xff"
        assert world.broadcast_bytes(b"" if world.rank == 0 else None) == b""
        turns, code = [], 0
        with world.alone_first():
            turns = world.store.multi_get(["first"]) if world.store.check(["first"]) else []
            if world.rank == 0:
                time.sleep(2 * timeout if fault == "slow" else 0)
                world.store.set("first", "done")
        assert bool(turns) == (world.rank > 0)
        for step in range(1, 6):
            world.phase("computing", step)
            if step == 3 and (world.rank == 1 or fault == "all"):
                _fail(world, fault)
            distributed.all_reduce(torch.ones(1))
            agreement = world.agree(save_due=world.rank == 0, seconds_per_step=0.1 * (world.rank + 1))
            assert (agreement.save, agreement.slowest, agreement.steps) == (True, world.size - 1, 2)
            if agreement.stop:
                code = 130
                break
        if fault == "different":
            world.check_equal("their options", {"lr": 0.1 if world.rank == 0 else 0.2, "seed": 0})
        if world.rank == 0:
            output.print("result")
        print("printed by every process")
    return code


def _fail(world: api.parallel.World, fault: str) -> None:
    if fault in ("own", "all"):
        raise CheckFailed("CN101", "the loss is not finite", where="here")
    if fault == "bug":
        raise ZeroDivisionError("a bug")
    if fault == "slow":
        world.request_stop()
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hangs":
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    code = 1
    try:
        code = main(sys.argv[1], float(sys.argv[2]))
    except ClassicnetsError as error:
        print(error, file=sys.stderr)
        code = error.exit_code
    finally:
        api.parallel.leave(code)
