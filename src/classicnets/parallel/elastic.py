"""Which run a job of torchrun resumes after a restart: a file in the folder of runs names it while it is unfinished."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from classicnets.errors import UsageError
from classicnets.files import write_json
from classicnets.parallel.place import Place
from classicnets.runs.folder import RunFolder
from classicnets.strict_json import parse
from classicnets.text import _, command

_NO_ID = "none"  # what torchrun calls a job without --rdzv-id


class Job:
    """A job of torchrun, whose processes may be started again: after a failure, or by a queue.

    Args:
        place: the place of this process, the first of the job.
        runs: the folder of runs.
        words: the words of the command line, which must be the same in each start.

    Raises:
        UsageError: CN213, the number of its hosts may change, and it has no id.
    """

    def __init__(self, place: Place, runs: Path, words: Sequence[str]) -> None:
        self._words, self._runs, self._restarted = [*words], runs, place.restart_count > 0
        name = place.run_id
        if name == _NO_ID:
            if place.local_size < place.size and _may_change(_command_of(os.getppid())):
                raise UsageError(
                    "CN213",
                    _("a job whose number of hosts may change needs an id, by which it finds its run again"),
                    where="torchrun --nnodes",
                    hint=command("--rdzv-id", "NAME"),
                )
            name = f"{platform.node()} {os.getppid()} {_started_at(os.getppid())}"
        self._file = runs / f".job-{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    def run(self) -> Path | None:
        """Return the unfinished run of this job, None if it has none; after a restart, it may be finished.

        Raises:
            UsageError: CN214, the job was started with other options.
        """
        try:
            facts = parse(self._file.read_bytes())
            run, words = RunFolder(self._runs / facts["run"]), facts["words"]
            if "result" in run.read() and not self._restarted:
                self.finish()  # a job of this id that has ended
                return None
        except (OSError, ValueError, KeyError, TypeError):  # also the UsageError that there is no such run any more
            return None
        if words != self._words:
            raise UsageError(
                "CN214",
                _("this job has an unfinished run with other options"),
                where=str(run.path),
                why=_("it was started by: {command}", command=command("classicnets", *words)),
                hint=(
                    command("classicnets", "train", "--resume", run.path),
                    _("{option}   # starts a new run", option=command("--rdzv-id", "NAME")),
                ),
            )
        return run.path

    def start(self, run: Path) -> None:
        """Record the run of this job. Raises MachineError CN401."""
        write_json(self._file, {"run": run.name, "words": self._words})

    def finish(self) -> None:
        """Forget the run, because it is finished."""
        with suppress(OSError):
            self._file.unlink()


def _may_change(words: Sequence[str]) -> bool:
    """Whether a command line of torchrun allows several numbers of hosts, as --nnodes 1:2 does."""
    values = [os.environ.get("PET_NNODES", "")]
    for word, value in zip(words, [*words[1:], ""], strict=True):
        if word.replace("_", "-").startswith("--nnodes"):
            values.append(word.partition("=")[2] or value)
    low, _colon, high = values[-1].partition(":")
    return high not in ("", low)


def _command_of(pid: int) -> list[str]:
    """The command line of a process; empty where the system does not show it."""
    with suppress(OSError):
        return [word.decode(errors="replace") for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    return []


def _started_at(pid: int) -> str:
    """When a process was started, in ticks since the start of the machine; "" where the system does not show it."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""
