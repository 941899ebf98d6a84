"""Fuzzes the readers of Caffe's and MXNet's files for a time, and prints what was read, refused, and how long it took.

    PYTHONPATH=src python tools/fuzz_readers.py hypothesis --seconds 600
    PYTHONPATH=src python tools/fuzz_readers.py atheris --seconds 600     # needs atheris, in an environment of its own

Hypothesis makes files that are nearly right (`tests/support/hostile_files.py`). Atheris changes their bytes, and those
of real files, so as to reach new branches of the readers. Anything but a DataError, and a file that takes more than a
second of CPU time, ends it with exit code 1; the file is kept in --out.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "tests/models/goldens")]
MAX_SECONDS = 1.0  # of CPU time, for one file
FILES_PER_SEED = 300


class Fuzzed:
    """Reads files of one kind, and counts them."""

    def __init__(self, name: str, out: Path) -> None:
        from support.hostile_files import READERS

        self.name, self.reader, self.out = name, READERS[name], out
        folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.path = Path(tempfile.mkdtemp(dir=folder)) / "file"
        self.read = self.refused = 0
        self.slowest = 0.0

    def check(self, content: bytes) -> None:
        """Read one file, which must be read or refused in time."""
        from classicnets.errors import DataError

        self.path.write_bytes(content)
        start = time.process_time()
        try:
            self.reader.read(self.path)
            self.read += 1
        except DataError as error:
            assert error.code == "CN305" and error.what and str(error), error
            self.refused += 1
        except BaseException:
            self._keep(content, "error")
            raise
        seconds = time.process_time() - start
        if self.read + self.refused > 1:  # the first one may import modules
            self.slowest = max(self.slowest, seconds)
            if seconds > MAX_SECONDS:
                self._keep(content, "slow")
                raise TimeoutError(f"{self.name}: {len(content):,} bytes take {seconds:.2f} s")

    def line(self) -> str:
        """Return the counts in words."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return (
            f"{self.name}: {self.read:,} read, {self.refused:,} refused, slowest {self.slowest:.3f} s of CPU,"
            f" process at most {memory:.0f} MB"
        )

    def _keep(self, content: bytes, what: str) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / f"{what}-{self.name.replace(' ', '-')}").write_bytes(content)


def hypothesis_run(seconds: float, out: Path) -> None:
    """Check files that hypothesis makes, with new seeds, until the time is up."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    from support.hostile_files import READERS

    for name in READERS:
        fuzzed, end = Fuzzed(name, out), time.monotonic() + seconds / len(READERS)
        files = st.one_of(fuzzed.reader.files, st.sampled_from(fuzzed.reader.real()))
        quiet = settings(
            max_examples=FILES_PER_SEED,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        for number in itertools.count(int(time.time())):
            test: Any = given(files)(fuzzed.check)
            seed(number)(quiet(test))()
            if time.monotonic() > end:
                break
        print(fuzzed.line(), flush=True)


def atheris_run(name: str, seconds: float, out: Path, *, structured: bool) -> None:
    """Let libFuzzer change bytes: those of files, or those that hypothesis makes files from. Ends the process."""
    import atheris

    with atheris.instrument_imports(include=["classicnets.weights", "classicnets.models", "classicnets.strict_json"]):
        fuzzed = Fuzzed(name, out)
    corpus = out / "corpus" / f"{name}-{structured}".replace(" ", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    call: Any = fuzzed.check
    real = fuzzed.reader.real()
    if structured:
        from hypothesis import given, settings

        call = settings(database=None, deadline=None)(given(content=fuzzed.reader.files)(fuzzed.check))
        call = call.hypothesis.fuzz_one_input
        real = [random.Random(i).randbytes(2000) for i in range(50)]
    for i, content in enumerate(real):
        (corpus / str(i)).write_bytes(content)
    start = time.monotonic()

    def one(data: bytes) -> None:
        call(data)
        if time.monotonic() - start > seconds:
            print(f"{'structured' if structured else 'bytes'}, {fuzzed.line()}", flush=True)
            os._exit(0)  # an exception would be a failure for libFuzzer

    options = ["-verbosity=0", f"-artifact_prefix={out}/", "-max_len=8192", "-len_control=0", "-timeout=60"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    """Share the time among the kinds of files; with atheris, each has a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("engine", choices=["hypothesis", "atheris"])
    parser.add_argument("--seconds", type=float, default=600, help="for all kinds of files together")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz", help="folder for files that fail")
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    parser.add_argument("--structured", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine == "hypothesis":
        hypothesis_run(args.seconds, args.out)
        return 0
    if args.reader:
        atheris_run(args.reader, args.seconds, args.out, structured=args.structured)
        return 0
    from support.hostile_files import READERS

    ways: list[list[str]] = [[], ["--structured"]]
    share = args.seconds / len(READERS) / len(ways)
    failed = False
    for name, way in itertools.product(READERS, ways):
        command = [sys.executable, "-u", __file__, args.engine, "--seconds", f"{share}", "--out", str(args.out)]
        failed |= subprocess.run([*command, "--reader", name, *way], check=False).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
