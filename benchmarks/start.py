"""How soon the command answers, what importing costs beyond torch, and the installed size beyond torch.

    python benchmarks/start.py                              (half a minute)

Commands are timed as whole processes, after two warm-up runs. The import is that of the modules that train and predict
(`classicnets.api`, `classicnets.training.session`), timed in a new process that has imported torch. Sizes are those of
the installed files of every package that `pip install classicnets` needs, without torch's own dependencies and without
byte code, which only some installers write.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from timing import Row, arguments, clock, conditions, write

IMPORT = """import time, torch
started = time.perf_counter()
import classicnets.api, classicnets.training.session
print(time.perf_counter() - started)"""


def command() -> list[str]:
    """The installed command beside this Python, or else the module."""
    script = Path(sys.executable).with_name("classicnets")
    return [str(script)] if script.exists() else [sys.executable, "-m", "classicnets"]


def answers(arguments_: list[str], pairs: int) -> Row:
    """Seconds of a whole process."""
    seconds = clock(lambda: subprocess.run([*command(), *arguments_], stdout=subprocess.DEVNULL, check=True))
    for _ in range(2):
        seconds()
    return Row(
        what=f"`classicnets {' '.join(arguments_)}`, the whole process",
        ours="warm",
        values=[seconds() for _ in range(pairs)],
        unit="s",
        at_least=0.3,
        reach=0.15,
        less_is_better=True,
    )


def importing(pairs: int) -> Row:
    """Seconds of the import after that of torch."""
    values = []
    for _ in range(pairs + 1):
        process = subprocess.run([sys.executable, "-c", IMPORT], stdout=subprocess.PIPE, text=True, check=True)
        values.append(float(process.stdout))
    return Row(
        what="importing what trains and predicts",
        ours="`classicnets.api` and `classicnets.training.session`, after torch",
        values=values[1:],
        unit="s",
        at_least=0.5,
        reach=0.2,
        less_is_better=True,
    )


def needed_by(name: str) -> set[str]:
    """The packages that one needs, itself included, without extras of its own."""
    visited: set[tuple[str, str]] = set()
    queue = [(name, "")]
    while queue:
        package, extra = queue.pop()
        if (package, extra) in visited:
            continue
        visited.add((package, extra))
        for requirement in map(Requirement, metadata.requires(package) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                plain = re.sub(r"[-_.]+", "-", requirement.name).lower()
                queue += [(plain, more) for more in ("", *requirement.extras)]
    return {package for package, _ in visited}


def size_of(package: str) -> int:
    """Bytes of its installed files."""
    paths = (Path(str(file.locate())) for file in metadata.files(package) or [] if file.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file())


def installed() -> Row:
    """Megabytes beyond torch."""
    sizes = {name: size_of(name) for name in sorted(needed_by("classicnets") - needed_by("torch") - {"classicnets"})}
    return Row(
        what="installed size of what a plain installation needs beyond torch",
        ours=f"{len(sizes)} packages: {', '.join(sorted(sizes, key=lambda name: -sizes[name]))}",
        values=[sum(sizes.values()) / 1e6],
        unit="MB",
        at_least=150.0,
        reach=120.0,
        less_is_better=True,
        facts={"bytes": sizes},
    )


def main() -> None:
    args = arguments(__doc__, name="start", pairs=10).parse_args()
    before = conditions()
    rows = []
    for row in (answers(["--help"], args.pairs), answers(["list"], args.pairs), importing(args.pairs), installed()):
        print(row, flush=True)
        rows.append(row)
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
