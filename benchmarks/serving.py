"""`classicnets serve` against FastAPI and onnxruntime by hand (peers/plain_server.py), with the client wrk.

    python benchmarks/serving.py                                     (fifteen minutes on 2 quiet cores)
    python benchmarks/serving.py --networks lenet_d2l --pairs 3 --seconds 2
    python benchmarks/serving.py --networks alexnet_torchvision --alexnet FILE.onnx

Both run on uvicorn with uvloop and httptools, and answer with the same exported file. The servers run on one core, wrk
on another; a reading is what one server answers in --seconds, and the seconds of a request are their quotient.

raw     the pixels of one image in the size of the network, uint8 [H, W, 3]. Ours takes them as a request of the Open
        Inference Protocol with a binary tensor: it parses the JSON in front of them, and answers in the protocol's
        JSON. The plain server takes the bytes as the body (`np.frombuffer`), and answers with a list of probabilities.
jpeg    a JPEG file of that size as the body of `/predict`. Both answer with the three most probable classes.

The networks are `lenet_d2l` with its initial weights, and an AlexNet that is trained on a few images of noise and
exported with int8: the time does not depend on the weights. Needs Linux, two cores, the extra `serve`, and wrk
(apt-get install wrk).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import classicnets as cn
from exported import write_file
from timing import Row, arguments, compared, conditions, pair_by_pair, write

LENET, ALEXNET = "lenet_d2l", "alexnet_torchvision"
CONNECTIONS = (64, 1)
TARGETS = {LENET: 1.0, ALEXNET: 1.5}  # with many connections
SERVER_CORE, CLIENT_CORE = "1", "0"
PEERS = Path(__file__).parent / "peers"
PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "onnxruntime")


@dataclass(frozen=True)
class Body:
    """A request: its body in a file, its headers, and the path."""

    file: Path
    headers: tuple[str, ...]
    path: str


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: int

    @property
    def cpu_seconds(self) -> float:
        """What it has worked, all its threads together."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_alexnet(folder: Path) -> Path:
    """Train on images of noise, three classes of a few each, and export with int8."""
    random = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for name in ("a", "b", "c"):
            (folder / "data" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 256, (224, 224, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "data" / split / name / f"{i}.png")
    settings: dict[str, Any] = {"epochs": 1, "validation": 0, "monitor": "none", "batch_size": 12}
    run = cn.train(ALEXNET, data=folder / "data", recipe="fast", runs=folder / "runs", quiet=True, **settings)
    return Path(run.export(folder / "alexnet.onnx", int8=True, max_loss=100.0).path)


def bodies(folder: Path, side: int, name: str) -> dict[str, tuple[Body, Body]]:
    """The requests for ours and for the plain server."""
    coarse = np.random.default_rng(0).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    raw = image.tobytes()
    tensor = {"name": "pixels", "shape": [1, side, side, 3], "datatype": "UINT8"}
    header = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}]}).encode()
    binary = ("Content-Type", "application/octet-stream")
    length = ("Inference-Header-Content-Length", str(len(header)))
    for suffix, content in (("jpg", file.getvalue()), ("raw", raw), ("v2", header + raw)):
        (folder / f"{name}.{suffix}").write_bytes(content)
    jpeg = Body(folder / f"{name}.jpg", binary, "/predict")
    ours = Body(folder / f"{name}.v2", binary + length, f"/v2/models/{name}/infer")
    return {"raw": (ours, Body(folder / f"{name}.raw", binary, "/raw")), "jpeg": (jpeg, jpeg)}


@contextmanager
def running(command: list[str], port: int) -> Iterator[Server]:
    """A server on the core of servers, which is stopped at the end."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, sys.executable, *command, "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _attempt in range(600):
            if process.poll() is not None:
                sys.exit(f"the server has ended: {' '.join(command)}")
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield Server(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def answer(server: Server, body: Body) -> Any:
    """The answer to one request."""
    headers = dict(zip(body.headers[::2], body.headers[1::2], strict=True))
    request = urllib.request.Request(server.url + body.path, body.file.read_bytes(), headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def probabilities(values: Any) -> np.ndarray:
    """The probabilities in an answer of ours or of the plain server."""
    values = values.get("outputs", values.get("predictions", [values]))[0]
    return np.array(values.get("data") or values.get("probabilities") or [top["probability"] for top in values["top"]])


def wrk(server: Server, body: Body, connections: int, seconds: int) -> dict[str, float]:
    """Requests, seconds, seconds of the processor, and latencies of one reading."""
    url, cpu = server.url + body.path, server.cpu_seconds
    line = f"taskset -c {CLIENT_CORE} wrk -t1 -c{connections} -d{seconds}s --latency --timeout 60s".split()
    line += ["-s", str(PEERS / "requests.lua"), url, "--", str(body.file), *body.headers]
    output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    if result["failed"] or not result["requests"]:
        sys.exit(f"{url}: {result}")
    return result | {"cpu": server.cpu_seconds - cpu}


def measure(name: str, file: Path, kinds: list[str], folder: Path, pairs: int, seconds: int) -> list[Row]:
    """The rows of one network."""
    facts: dict[str, Any] = json.loads(_metadata(file))
    requests = bodies(folder, facts["preprocess"]["image_size"], file.stem)
    commands = (["-m", "classicnets", "serve", str(file)], [str(PEERS / "plain_server.py"), str(file)])
    rows = []
    with running(commands[0], free_port()) as ours, running(commands[1], free_port()) as plain:
        for kind in kinds:
            our_body, plain_body = requests[kind]
            difference = probabilities(answer(ours, our_body)) - probabilities(answer(plain, plain_body))
            for connections in CONNECTIONS:
                readings: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}

                def timed(
                    who: str, server: Server, body: Body, c: int = connections, r: Any = readings
                ) -> Callable[[], float]:
                    def seconds_per_request() -> float:
                        r[who].append(wrk(server, body, c, seconds))
                        return float(r[who][-1]["seconds"] / r[who][-1]["requests"])

                    return seconds_per_request

                ratios = pair_by_pair(
                    timed("ours", ours, our_body), timed("plain", plain, plain_body), pairs=pairs, warm_up=1
                )
                rows.append(
                    compared(
                        ratios,
                        what=f"requests to `{name}`{' in int8' if facts['int8'] else ''}, {kind}, "
                        f"{connections} connection{'s' * (connections > 1)}",
                        ours=f"`classicnets serve`: {described(readings['ours'])}",
                        theirs=f"FastAPI and onnxruntime by hand: {described(readings['plain'])}",
                        at_least=TARGETS[name] if connections > 1 else None,
                        facts={
                            "largest_difference": float(np.abs(difference).max()),
                            "readings": readings,
                            "versions": {package: version(package) for package in PACKAGES},
                        },
                    )
                )
    return rows


def described(readings: list[dict[str, float]]) -> str:
    """Medians of the readings but the first, which warms up: "9,000 requests/s, p50 7.0 ms, p99 9.1 ms"."""
    measured = readings[1:]
    rate = statistics.median(r["requests"] / r["seconds"] for r in measured)
    p50, p99 = (1000 * statistics.median(r[name] for r in measured) for name in ("p50", "p99"))
    cpu = 1e6 * statistics.median(r["cpu"] / r["requests"] for r in measured)
    return f"{rate:,.0f} requests/s, p50 {p50:.3g} ms, p99 {p99:.3g} ms, {cpu:,.0f} µs of the processor; a request"


def _metadata(file: Path) -> str:
    """The facts in an exported file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    text: str = session.get_modelmeta().custom_metadata_map["classicnets"]
    return text


def main() -> None:
    parser = arguments(__doc__, name="serving", pairs=5)
    parser.add_argument("--networks", nargs="+", choices=(LENET, ALEXNET), default=(LENET, ALEXNET))
    parser.add_argument("--bodies", nargs="+", choices=("raw", "jpeg"), default=("raw", "jpeg"))
    parser.add_argument("--seconds", type=int, default=5, help="of a reading (default: 5)")
    parser.add_argument("--alexnet", type=Path, metavar="FILE", help="an exported AlexNet, in place of training one")
    args = parser.parse_args()
    for program, how in (("wrk", "apt-get install wrk"), ("taskset", "apt-get install util-linux")):
        if shutil.which(program) is None:
            sys.exit(f"the program {program} is missing ({how})")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        folder = Path(name)
        files = {}
        if LENET in args.networks:
            files[LENET] = write_file(folder / "lenet.onnx", "stretch")
        if ALEXNET in args.networks:
            files[ALEXNET] = args.alexnet or write_alexnet(folder)
        before = conditions()
        for network, file in files.items():
            rows += measure(network, file, args.bodies, folder, args.pairs, args.seconds)
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
