"""Run the benchmarks behind docs/performance.md one after the other, each in a separate process.

    make bench                                              (ten to twelve minutes on 2 quiet cores)
    python benchmarks/suite.py --only lenet start
    python benchmarks/suite.py --mxnet-python mxnet-env/bin/python --keras-python keras-env/bin/python

If one fails, the others still run; the failed ones are listed at the end, and the exit code is 1. Peers that are not
installed are skipped and named (`python benchmarks/lenet.py -h` says how to install them). Results go to
benchmarks/results, or to the --results FOLDER, and from there into docs/performance.md by
`python docs/make.py performance.md`; a folder below benchmarks/results belongs to another machine and gets tables of
its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = ("start", "lenet", "alexnet", "evaluation", "lrn", "reach", "many_seeds")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS)
    parser.add_argument("--results", type=Path, default=HERE / "results", metavar="FOLDER")
    parser.add_argument("--keras-python", metavar="PATH", help="a Python with keras and jax")
    parser.add_argument("--mxnet-python", metavar="PATH", help="a Python with mxnet 1.9.1")
    args = parser.parse_args()
    peers = {"--keras-python": args.keras_python, "--mxnet-python": args.mxnet_python}
    args.results.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in args.only:
        line = [sys.executable, str(HERE / f"{name}.py"), "--out", str(args.results / f"{name}.json")]
        if name == "lenet":
            line += [word for option, path in peers.items() if path for word in (option, path)]
        print(f"== {name}", flush=True)
        started = time.perf_counter()
        if subprocess.run(line, check=False).returncode:
            failed.append(name)
        print(f"== {name}: {time.perf_counter() - started:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
