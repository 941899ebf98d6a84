"""Two hosts on this machine: each has a network, a name and processes of its own. Linux, as root."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 29_500


@dataclass(frozen=True)
class Host:
    """A host: a network namespace, whose processes get a host name and process ids of their own.

    Attributes:
        name: of the host.
        address: its IP address.
        space: its network namespace.
        interface: its end of the link.
    """

    name: str
    address: str
    space: str
    interface: str

    def start(self, words: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
        """Start a command on this host. To kill it is to kill all processes of the host that it has started.

        Args:
            words: the command.
            output: a file that gets standard output and standard error.
        """
        line = f"hostname {self.name} && exec {shlex.join(words)}"
        apart = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", line]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": self.interface, "OMP_NUM_THREADS": "1"}
        with output.open("wb") as file:
            command = ["ip", "netns", "exec", self.space, *apart]
            return subprocess.Popen(command, stdout=file, stderr=file, env=environment)

    def unplug(self) -> None:
        """Take the cable out: nothing that this host sends arrives any more, nor that its connections are closed."""
        _run(["ip", "netns", "exec", self.space, "ip", "link", "set", self.interface, "down"])


def torchrun(host: Host, meeting: Host, job: str, words: Sequence[str], *, nodes: str = "1:2") -> list[str]:
    """The words of torchrun for `classicnets` on a host; all hosts meet at `meeting`."""
    conf = "keep_alive_interval=1,keep_alive_max_attempt=3,last_call_timeout=5,read_timeout=10"
    conf += f",is_host={'true' if host is meeting else 'false'}"
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes, "--nproc-per-node", "1"]
    agent += ["--rdzv-id", job, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{meeting.address}:{PORT}"]
    agent += ["--rdzv-conf", conf, "--local-addr", host.address, "--max-restarts", "3", "--monitor-interval", "0.2"]
    return [*agent, "-m", "classicnets", *words]


def missing() -> str:
    """What this machine lacks to have hosts; "" if nothing."""
    if not hasattr(os, "geteuid") or os.geteuid():
        return "Linux, as root"
    absent = [name for name in ("ip", "unshare", "hostname") if not shutil.which(name)]
    if absent:
        return ", ".join(absent)
    try:
        with two_hosts() as hosts:
            _run(["ip", "netns", "exec", hosts[0].space, "unshare", "--uts", "--pid", "--fork", "--mount-proc", "true"])
    except RuntimeError as error:
        return str(error)
    return ""


@contextmanager
def two_hosts(rate: str = "") -> Iterator[list[Host]]:
    """Yield two hosts that a link connects; their processes are to be ended before the end of the block.

    Args:
        rate: of the link, as `tc` reads it: "200mbit"; "" does not limit it.
    """
    tag = uuid.uuid4().hex[:6]
    hosts = [Host(f"host{n}", f"10.78.0.{n}", f"cn-{tag}-{n}", f"v{tag}{n}") for n in (1, 2)]
    try:
        for host in hosts:
            _run(["ip", "netns", "add", host.space])
        _run(["ip", "link", "add", hosts[0].interface, "type", "veth", "peer", "name", hosts[1].interface])
        for host in hosts:
            inside = ["ip", "netns", "exec", host.space, "ip"]
            _run(["ip", "link", "set", host.interface, "netns", host.space])
            _run([*inside, "address", "add", f"{host.address}/24", "dev", host.interface])
            _run([*inside, "link", "set", host.interface, "up"])
            _run([*inside, "link", "set", "lo", "up"])
            if rate:
                shaped = ["ip", "netns", "exec", host.space, "tc", "qdisc", "add", "dev", host.interface, "root", "tbf"]
                _run([*shaped, "rate", rate, "burst", "256kb", "latency", "50ms"])
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host.space], capture_output=True, check=False)


def _run(command: Sequence[str]) -> None:
    process = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if process.returncode:
        raise RuntimeError(process.stderr.strip())
