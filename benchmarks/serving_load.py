"""`classicnets serve` under load: many requests, workers that are killed, and files that are replaced.

    python benchmarks/serving_load.py                              (five minutes on 2 quiet cores)
    python benchmarks/serving_load.py --parts kill --seconds 5

64 clients send the same JPEG file of 28x28 pixels again and again, each on a connection of its own, and compare every
answer, byte for byte, with those that are right.

steady  --requests of them; memory of the server after each tenth.
kill    two workers, of which one is killed (SIGKILL) every two seconds, and when the next request on a new connection
        is answered. A connection may be closed before the status line of an answer, but not within it.
reload  the file is replaced by that of another network every two seconds: every answer is that of one of them.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from exported import write_file
from timing import Row, arguments, conditions, write

PARTS = ("steady", "kill", "reload")
CLIENTS = 64
PAUSE = 2.0  # seconds between two kills or replacements


@dataclass
class Count:
    """What became of the requests: `right`, `wrong`, `cut` (within an answer) or `closed` (before it)."""

    expected: set[bytes]
    ends: Counter[str] = field(default_factory=Counter)
    first_wrong: bytes = b""
    is_over: bool = False

    @property
    def failed(self) -> int:
        return self.ends.total() - self.ends["right"]


def request_bytes() -> bytes:
    """A request with a JPEG file."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((28, 28), Image.Resampling.BICUBIC).save(file, "JPEG")
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: {file.tell()}"
    return f"{head}\r\n\r\n".encode() + file.getvalue()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The status line and the body of an answer. Raises IncompleteReadError, with what came of it."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    try:
        return head.partition(b"\r\n")[0], await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise asyncio.IncompleteReadError(head + error.partial, None) from error


async def client(port: int, request: bytes, numbers: Iterator[int], count: Count) -> None:
    """Send requests on one connection, or on a new one where it is closed."""
    writer = None
    for _number in numbers:
        if count.is_over:
            break
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            status, body = await answer(reader)
            is_right = status.endswith(b" 200 OK") and body in count.expected
            count.ends["right" if is_right else "wrong"] += 1
            if not is_right:
                count.first_wrong = count.first_wrong or status + body
        except asyncio.IncompleteReadError as error:
            count.ends["cut" if error.partial else "closed"] += 1
            writer = None
        except OSError:
            count.ends["closed"] += 1
            writer = None
    if writer is not None:
        writer.close()


async def ask(port: int, request: bytes) -> bytes:
    """The body of the answer to one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    _status, body = await answer(reader)
    writer.close()
    return body


async def load(
    port: int, request: bytes, count: Count, most: int | None, beside: Callable[[], Coroutine[None, None, None]]
) -> float:
    """Send requests from all clients until `most` are sent or `beside` ends; return the seconds."""
    numbers = iter(range(most)) if most else itertools.count()
    started = time.perf_counter()
    clients = [asyncio.create_task(client(port, request, numbers, count)) for _ in range(CLIENTS)]
    other = asyncio.create_task(beside())
    await asyncio.wait([*clients] if most else [other])
    count.is_over = True
    await asyncio.gather(*clients)
    other.cancel()
    return time.perf_counter() - started


@contextmanager
def running(file: Path, *options: str) -> Iterator[tuple[int, int]]:
    """The process and the port of a server."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-m", "classicnets", "serve", str(file), "--port", "0", "--json", *options]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.pid, int(json.loads(process.stdout.readline())["url"].rsplit(":", 1)[1].strip("/"))
    finally:
        process.terminate()
        process.wait()


def workers(process: int) -> list[int]:
    """The processes that a server has started and that listen as it does."""
    import psutil

    children = psutil.Process(process).children(recursive=True)
    return [child.pid for child in children if child.is_running() and _sockets(child.pid) & _sockets(process)]


def _sockets(process: int) -> set[str]:
    """The sockets that a process has open; none if it has ended."""
    try:
        links = [link.readlink().name for link in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return set()
    return {name for name in links if name.startswith("socket:")}


def memory(process: int) -> float:
    """Megabytes of memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def outcome(what: str, count: Count, seconds: float, **facts: object) -> Row:
    """The row with the requests that had no right answer and should have had one."""
    if count.first_wrong:
        print(f"first wrong answer: {count.first_wrong[:300]!r}")
    allowed = count.ends["closed"] if "kills" in facts else 0
    row = Row(
        what=what,
        ours=f"{count.ends.total():,} requests from {CLIENTS} clients, {count.ends.total() / seconds:,.0f}/s",
        values=[count.failed - allowed],
        unit="requests",
        at_least=0,
        less_is_better=True,
        facts=dict(count.ends) | facts,
    )
    print(row, json.dumps(row.facts), flush=True)
    return row


def steady(files: list[Path], requests: int, _seconds: float) -> list[Row]:
    """Many requests, and the memory after each tenth of them."""
    request, sizes = request_bytes(), list[float]()
    with running(files[0]) as (process, port):
        count = Count({asyncio.run(ask(port, request))})

        async def observe() -> None:
            for tenth in range(1, 11):
                while count.ends.total() < requests * tenth // 10 - CLIENTS:
                    await asyncio.sleep(0.05)
                sizes.append(memory(process))

        seconds = asyncio.run(load(port, request, count, requests, observe))
        sizes.append(memory(process))
    rows = [outcome("requests without a right answer", count, seconds, megabytes=[round(size, 1) for size in sizes])]
    grown = sizes[-1] - sizes[len(sizes) // 2]
    what = f"memory of the server: growth in the second half of {requests:,} requests"
    ours = f"{sizes[0]:.0f} MB after a tenth of them, {sizes[-1]:.0f} MB at the end"
    return [*rows, Row(what=what, ours=ours, values=[grown], unit="MB", at_least=5.0, less_is_better=True)]


def kill(files: list[Path], _requests: int, seconds: float) -> list[Row]:
    """Workers that are killed while they answer."""
    request, delays = request_bytes(), list[float]()
    with running(files[0], "--workers", "2") as (process, port):
        count = Count({asyncio.run(ask(port, request))})

        async def attack() -> None:
            for _ in range(max(1, round(seconds / PAUSE))):
                while len(workers(process)) < 2:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(PAUSE)
                os.kill(workers(process)[0], signal.SIGKILL)
                killed = time.perf_counter()
                while True:
                    try:
                        await ask(port, request)
                        break
                    except (OSError, asyncio.IncompleteReadError):
                        continue
                delays.append(time.perf_counter() - killed)

        duration = asyncio.run(load(port, request, count, None, attack))
    what = "two workers, one of them killed again and again"
    return [
        outcome(f"{what}: requests with a wrong or an incomplete answer", count, duration, kills=len(delays)),
        Row(
            what=f"{what}: from the kill to the next answer on a new connection",
            ours=f"{count.ends['closed']:,} requests lost with their connection, before an answer began",
            values=delays,
            unit="s",
            at_least=1.0,
            less_is_better=True,
        ),
    ]


def reload(files: list[Path], _requests: int, seconds: float) -> list[Row]:
    """Files that are replaced while their predecessors answer."""
    request, answers = request_bytes(), set[bytes]()
    for file in files:
        with running(file) as (_process, port):
            answers.add(asyncio.run(ask(port, request)))
    contents = [file.read_bytes() for file in files]
    replacements = max(2, round(seconds / PAUSE))
    seen = set[bytes]()
    with running(files[0]) as (_process, port):
        count = Count(answers)

        async def replace() -> None:
            for number in range(1, replacements + 1):
                new = files[0].with_suffix(".new")
                new.write_bytes(contents[number % 2])
                new.replace(files[0])
                await asyncio.sleep(PAUSE)
                seen.add(await ask(port, request))

        duration = asyncio.run(load(port, request, count, None, replace))
    assert len(answers) == 2 and seen == answers, "the files were not used"
    return [outcome("files replaced under load: failed requests", count, duration, replacements=replacements)]


def main() -> None:
    parser = arguments(__doc__, name="serving_load", pairs=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--requests", type=int, default=100_000, help="of the steady load (default: 100000)")
    parser.add_argument("--seconds", type=float, default=20, help="of the other parts (default: 20)")
    args = parser.parse_args()
    before = conditions()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="serving-load-") as name:
        files = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            (Path(name) / str(seed)).mkdir()
            files.append(write_file(Path(name) / str(seed) / "lenet.onnx", "stretch"))
        for part in args.parts:
            print(f"== {part}", flush=True)
            rows += {"steady": steady, "kill": kill, "reload": reload}[part](files, args.requests, args.seconds)
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
