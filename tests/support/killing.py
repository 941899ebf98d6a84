"""Kills a training at random moments, resumes it until it ends, and reports whether it ends like an uninterrupted one.

    python tests/support/killing.py FOLDER ARGUMENTS...

FOLDER is an empty folder for the runs, ARGUMENTS are those of `classicnets train`; they end with settings. One JSON
document is printed to standard output. Linux only.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", CLASSICNETS_OFFLINE="1")

sys.path.extend(str(Path(__file__).parents[2] / folder) for folder in ("tests", "benchmarks"))

import torch

from classicnets.cli.main import main
from kills import fork, kill_at_random, wait_for

SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGKILL]


def import_modules(arguments: list[str], folder: Path) -> None:
    """Import in this process what a training imports, which takes longer than the rest of such a small run."""
    names, log, before = folder / "modules.json", folder / "modules.txt", set(sys.modules)

    def do() -> int:
        code = main(["train", *arguments, "epochs=1", "--runs", str(folder / "first")])
        new = [name for name in sys.modules if name not in before and not name.startswith("own")]
        names.write_text(json.dumps(new))
        return code

    assert wait_for(fork(do, log)) == 0, log.read_text()
    for name in json.loads(names.read_text()):
        importlib.import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1, "an import has started a thread"


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert len(os.listdir("/proc/self/task")) == 1, "only a process with a single thread can be forked"
    folder, arguments = Path(sys.argv[1]), sys.argv[2:]
    import_modules(arguments, folder)
    gc.freeze()  # so that a child does not touch, and copy, all there is
    print(json.dumps(kill_at_random([*arguments, "epochs=40"], SIGNALS, 0, folder)))
